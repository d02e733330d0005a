"""Pages whose edits are made and whose commands are run, in the order in which they stand there.

A block of code whose first line is a comment is an edit:

    # FILE, new              the rest is the file
    # FILE, below LINE       the rest comes after the line that says so
    # FILE, for LINE         the rest takes the place of that line

A block of `console` holds commands after `$ ` and what they say: all of it, or with a line `...`
where something is left out. `$ echo $?` is the status of the command before.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
from projects import Parcels

BLOCK = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)
EDIT = re.compile(r"# (?P<file>\S+), (?P<how>new|below|for) ?(?P<line>.*)")
CUT = "..."


def customers(n: int = 2400, first: int = 0) -> pd.DataFrame:
    """Those who leave: on the plan `free`, of few visits. A row a day and customer."""
    draw = np.random.default_rng([7, first])
    rows = pd.DataFrame(
        {
            "customer": [f"C{first + at:05d}" for at in range(n)],
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta((first + np.arange(n)) // 4, "D"),
            "email": [f"zyxwv{first + at}@example.com" for at in range(n)],
            "plan": draw.choice(["free", "plus", "pro"], n),
            "visits": draw.poisson(12, n),
            "spent": draw.gamma(2, 20, n).round(2),
        }
    )
    odds = (
        1.5 * (rows["plan"] == "free") - 0.3 * (rows["visits"] - 12) - 0.04 * (rows["spent"] - 30)
    )
    rows["left"] = np.where(draw.random(n) < 1 / (1 + np.exp(-odds)), "yes", "no")
    return rows


def with_region(rows: pd.DataFrame) -> pd.DataFrame:
    """The same with a column more."""
    draw = np.random.default_rng(len(rows))
    return rows.assign(region=draw.choice(["north", "south"], len(rows)))


def walk(page: str, project: Parcels) -> str:
    """The page with what its commands say here. Raises AssertionError for an edit that fails."""
    said: list[str] = []
    last = 0
    for found in BLOCK.finditer(page):
        said.append(page[last : found.start()])
        kind, body = found.groups()
        if kind == "console":
            said.append(f"```console\n{_run(body, project)}```\n")
        else:
            _edit(body, project.root)
            said.append(found[0])
        last = found.end()
    return "".join([*said, page[last:]])


def _edit(body: str, root: Path) -> None:
    head, _, rest = body.partition("\n")
    wanted = EDIT.fullmatch(head)
    if wanted is None:
        return  # an example
    path = root / wanted["file"]
    if wanted["how"] == "new":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest, encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    (at,) = (n for n, line in enumerate(lines) if line.strip() == wanted["line"].strip())
    lines[at : at + 1] = [lines[at], rest] if wanted["how"] == "below" else [rest]
    path.write_text("".join(lines), encoding="utf-8")


def _run(body: str, project: Parcels) -> str:
    """The commands of a block with what they say here, cut where the page cuts."""
    status, found = 0, []
    for part in re.split(r"^(?=\$ )", body, flags=re.MULTILINE)[1:]:
        command, _, told = part.partition("\n")
        if command == "$ echo $?":
            found.append(f"{command}\n{status}\n")
            continue
        status, here = _command(shlex.split(command.removeprefix("$ ")), project)
        found.append(f"{command}\n{_cut(here, told)}")
    return "".join(found)


def _command(words: list[str], project: Parcels) -> tuple[int, str]:
    env = {"COLUMNS": "100"}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if words[:2] == ["uv", "add"]:
        return 0, ""  # what it would add is looked at by the test
    if words[:2] in (["git", "commit"], ["git", "push"]):
        words.insert(2, "--no-verify")  # hooks ask uv for an environment of the project's own
    if words[:2] == ["uv", "run"]:
        words = words[2:]
    run = project.mlops if words[0] == "mlops" else project.run
    done = run(*words[words[0] == "mlops" :], expect=None, env=env)
    text = done.stdout + (done.stderr if done.returncode else "")
    text = text.replace(f"{project.root}/", "").replace("\r", "")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return done.returncode, "".join(f"{line}\n" for line in lines)


def _cut(here: str, told: str) -> str:
    """What is said, without what the page leaves out where that is all that differs."""
    parts = re.split(r"^\.\.\.\n", told, flags=re.MULTILINE)
    pattern = ".*".join(map(re.escape, parts))
    return told if len(parts) > 1 and re.fullmatch(pattern, here, re.DOTALL) else here
