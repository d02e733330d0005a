"""Are honest models ever refused because they cannot be built again? Writes reproduction.md.

    uv run --no-project --python PROJECT/.venv/bin/python benchmarks/reproduction.py PROJECT

PROJECT is a project generated with the default answers, whose pipeline has run and is committed.
In a copy of it a version goes live; then pull requests of honest models walk through the commands
that the workflows run, each in a process of its own and in fresh clones. Takes about ten minutes
on one core.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pages import made_with, put

PAGE = Path(__file__).with_suffix(".md")
MONTHS = ("2013-05", "2013-06", "2013-07", "2013-08")  # that the copy keeps, to be quick
EACH = 1  # pull requests of a kind
ENDS = (0, 1, 2)  # yes, no, undecided


def run(folder: Path, *command: str, ends: tuple[int, ...] = (0,)) -> tuple[int, str, str]:
    """Its status, and what it writes to standard output and error; stops at another status."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode not in ends:
        sys.exit(f"{command} gave {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.returncode, done.stdout, done.stderr


def clone(folder: Path, name: str) -> Path:
    run(folder, "git", "clone", "--quiet", str(folder / "origin.git"), name)
    run(folder / name, "mlops", "setup")
    return folder / name


def commit(root: Path, message: str, branch: str) -> None:
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--no-verify", "-m", message)
    run(root, "git", "push", "--quiet", "--no-verify", "origin", branch)


def go_live(project: Path, folder: Path) -> None:
    """A copy with fewer months, of which 1.0.0 is live in dev."""
    root = folder / "first"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns(".venv", "*_cache"))
    run(root, "git", "init", "--quiet", "--bare", "-b", "main", str(folder / "origin.git"))
    run(root, "git", "remote", "set-url", "origin", str(folder / "origin.git"))
    run(root, "git", "push", "--quiet", "--no-verify", "origin", "main", "dvc-storage")
    for path in (root / "data/raw").glob("*.parquet"):
        if path.stem not in MONTHS:
            path.unlink()
    run(root, "mlops", "run")
    commit(root, "Train the first model", "main")
    run(root, "mlops", "register")
    run(root, "mlops", "promote", "1.0.0", "--to", "dev")


def settings(**changed: str) -> Callable[[Path, int], list[str]]:
    """Other lines of params.yaml, in which {n} is the number of the pull request."""

    def change(root: Path, number: int) -> list[str]:
        text = (root / "params.yaml").read_text(encoding="utf-8")
        for name, new in changed.items():
            (old,) = (line for line in text.splitlines() if line.strip().startswith(f"{name}:"))
            kept = old[: old.index(name)]
            text = text.replace(f"{old}\n", f"{kept}{name}: {new.format(n=number + 1)}\n")
        (root / "params.yaml").write_text(text, encoding="utf-8")
        return []

    return change


def arrives(root: Path, number: int) -> list[str]:
    """A month that came later."""
    return [str(root.parents[1] / f"first/data/incoming/2013-{number + 9:02}.parquet")]


KINDS = {
    "boosted trees, another seed and learning rate": settings(seed="{n}", learning_rate="0.1{n}"),
    "a random forest, another seed each": settings(model="random_forest", seed="{n}"),
    "logistic regression, another strength each": settings(model="linear", C="{n}.5"),
    "another month of data each": arrives,
}


@dataclass(frozen=True)
class Walk:
    """What became of a pull request.

    again: the stages that were built again; problems: why not all have the same bytes, by `prove`
    and `register`. decision: the gate's; registered: whether it became a version once merged.
    """

    again: int
    problems: tuple[str, ...]
    decision: str
    registered: bool


def walk(live: Path, folder: Path, kind: str, number: int) -> Walk:
    shutil.copytree(live / "origin.git", folder / "origin.git")
    base, candidate = clone(folder, "base"), clone(folder, "candidate")
    run(candidate, "git", "checkout", "--quiet", "-b", "change")
    run(candidate, "dvc", "pull", "--quiet", "data/raw.dvc")
    if files := KINDS[kind](candidate, number):
        run(candidate, "mlops", "ingest", *files)
    run(candidate, "mlops", "run")
    run(candidate, "mlops", "push")
    commit(candidate, kind, "change")
    claims = folder / "claims"
    run(candidate, "mlops", "prove", "--base", "origin/main", "--out", str(claims), ends=ENDS)
    proven = json.loads((claims / "claims.json").read_text(encoding="utf-8"))
    words = ("mlops", "review", str(candidate), "--claims", str(claims), "--json")
    verdict = json.loads(run(base, *words, ends=ENDS)[1])
    run(candidate, "git", "push", "--quiet", "--no-verify", "origin", "change:main")
    merged = clone(folder, "merged")
    status, told, error = run(merged, "mlops", "register", "--build", ends=ENDS)
    said = (told + error).splitlines()[-1]
    print(f"{kind} {number}: {proven}\n{verdict['sentence']}\n{said}", flush=True)
    differs = "not what its data and code give" in " ".join(f"{told} {error}".split())
    problems = [*proven["not_reproduced"], *([said] if differs else [])]
    decision = verdict["decision"]
    return Walk(len(proven["reproduced"]), tuple(problems), decision, status == 0)


def main(project: Path) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        live = Path(name) / "live"
        live.mkdir()
        go_live(project, live)
        for kind in KINDS:
            walks = []
            for number in range(EACH):
                folder = live / f"{len(rows)}-{number}"
                folder.mkdir()
                walks.append(walk(live, folder, kind, number))
                shutil.rmtree(folder)
            cells = [
                kind,
                len(walks),
                sum(one.again for one in walks),
                sum(bool(one.problems) for one in walks),
                sum(one.decision == "yes" for one in walks),
                sum(one.registered for one in walks),
            ]
            rows.append(f"| {' | '.join(map(str, cells))} |")
    text = TEXT.format(made_with=made_with(), rows="\n".join(rows))
    PAGE.write_text(f"# Honest models, built again\n\n{text}", encoding="utf-8")
    put("reproduce.md", "reproduction", text)


TEXT = """\
By `benchmarks/reproduction.py` of the template, with {made_with}. On
the example, of four months to be quick, pull requests of honest models walked through `mlops prove`,
`mlops review` and, merged, `mlops register`, with `reproduce: always`, in fresh clones:

| change | pull requests | stages that `prove` built again | refused as not the same bytes | the gate said yes | registered |
| --- | --- | --- | --- | --- | --- |
{rows}

Where nothing is other bytes and the gate said no, it was for what the model does.
"""  # noqa: E501

if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
