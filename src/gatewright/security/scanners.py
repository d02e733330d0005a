"""Scanners. Each says what it found; one that could not do its work says so and is no clean bill.

None is told what to leave out but by the file of waivers: comments in the code waive nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gatewright.adapters.git import Git
from gatewright.errors import Undecided
from gatewright.run_context import current
from gatewright.security.data_files import data_files
from gatewright.security.waivers import Found, Tool

TIMEOUT = 900  # seconds for any scanner
# That a process is started says nothing; how it is (a shell, say) is judged all the same. Tests
# assert, draw at random, and make the hostile files that are refused.
STARTS = ("B404", "B603", "B607")
CODE = {"src": STARTS, "tests": (*STARTS, "B101", "B105", "B311", "B403")}
RULES = Path("security/secrets.yaml")
HARMLESS = "--require-hashes flag with --service osv"  # uv checks the hashes when it installs


class NotScanned(Undecided):
    """A scanner did not do its work, so nothing is known."""


def code(root: Path) -> list[Found]:
    """Risky Python, by bandit."""
    found = []
    for folder, skipped in CODE.items():
        out = _run(root, "bandit", "bandit", "--quiet", "--ignore-nosec", "--format", "json",
                   "--skip", ",".join(skipped), "--recursive", folder)  # fmt: skip
        report = _json("bandit", out)
        if report["errors"]:
            first = report["errors"][0]
            raise _not("bandit", f"it could not read {first['filename']}: {first['reason']}")
        if not report["metrics"]["_totals"]["loc"]:
            raise _not("bandit", f"it saw no line of code in {folder}")
        found += [
            Found("bandit", r["test_id"], r["filename"], r["issue_text"], r["line_number"])
            for r in report["results"]
        ]
    return found


def packages(root: Path, where: str = "uv.lock") -> list[Found]:
    """Locked packages with a known weakness, by pip-audit.

    The lock of `root` is exported with its hashes, so what is asked about is what is installed.
    `where` is what a finding calls the place.
    """
    export = _run(root, "uv", "uv", "export", "--quiet", "--frozen", "--no-emit-project",
                  "--no-emit-local", "--no-annotate", "--no-header")  # fmt: skip
    lists, names = _of_every_platform(export)
    report = []
    with tempfile.TemporaryDirectory() as folder:
        for text in lists:
            path = Path(folder, "locked.txt")
            path.write_text(text, encoding="utf-8")
            out = _run(root, "pip-audit", "pip-audit", "--strict", "--require-hashes",
                       "--disable-pip", "--progress-spinner", "off", "--format", "json",
                       "--requirement", str(path), unwarned=True)  # fmt: skip
            report += _json("pip-audit", out)["dependencies"]
    if skipped := [item for item in report if "skip_reason" in item]:
        raise _not("pip-audit", f"{skipped[0]['name']}: {skipped[0]['skip_reason']}")
    if unasked := names - {item["name"] for item in report}:
        raise _not("pip-audit", f"it says nothing of {', '.join(sorted(unasked)[:5])}")
    return [
        Found("pip-audit", weakness["id"], where, _advice(item, weakness))
        for item in report
        for weakness in item["vulns"]
    ]


def _of_every_platform(export: str) -> tuple[list[str], set[str]]:
    """Locked requirements without the markers that would leave some out here, and their names.

    A name that is locked in several versions stands in as many lists.
    """
    lists: list[str] = []
    seen: dict[str, int] = {}
    number = 0
    for line in export.splitlines(keepends=True):
        if named := re.match(r"([\w.-]+)==", line):
            number = seen.get(named[1], 0)
            seen[named[1]] = number + 1
            line = re.sub(r" ; [^\\\n]*[^\\\n ]", "", line)
        lists += [""] * (number + 1 - len(lists))
        lists[number] += line
    return lists, set(seen)


def _advice(item: dict[str, Any], weakness: dict[str, Any]) -> str:
    mended = ", ".join(weakness["fix_versions"]) or "nothing yet"
    return f"{item['name']} {item['version']} is known to be weak; mended in {mended}"


def secrets(root: Path, history: bool = False) -> list[Found]:
    """Keys, tokens and passwords in the files of the project, or in all that Git ever held.

    By Kingfisher and the rules of security/secrets.yaml. No secret is tried out or printed.
    """
    git, paths = Git(root), [".git"]
    if history:
        if git("rev-parse", "--is-shallow-repository") != "false":
            raise _not("kingfisher", "this clone is shallow, so most of the history is not here")
        paths = [git("rev-parse", "--absolute-git-dir")]
    else:
        listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        paths = [path for path in listed if (root / path).is_file()]
    out = _run(root, "kingfisher", "kingfisher", "--quiet", "--no-update-check", "scan",
               "--no-validate", "--redact", "--no-ignore", "--max-file-size", "0",
               "--rules-path", str(RULES), "--format", "jsonl",
               "--git-history", "full" if history else "none", "--", *paths,
               good=(0, 200))  # fmt: skip
    lines = [json.loads(line) for line in out.splitlines()]
    audit = [line["audit"]["summary"] for line in lines if "audit" in line]
    wanted = len(paths)
    if len(audit) != 1 or not audit[0]["scan_succeeded"] == audit[0]["discovered"] == wanted:
        raise _not("kingfisher", f"of {wanted} places it read {audit or 'none'}")
    return [
        Found(
            "kingfisher",
            str(line["finding"]["fingerprint"]),
            line["finding"]["path"],
            line["rule"]["description"],
            line["finding"]["line"],
        )
        for line in lines
        if "finding" in line
    ]


def workflows(root: Path) -> list[Found]:
    """Workflows and actions that could be attacked, by zizmor's strictest persona.

    Its audits that ask GitHub need a token; in a workflow they must not be left out.
    """
    run = current()
    offline = not (run.own_token or run.token)
    if offline and run.on_github and not os.environ.get("ZIZMOR_OFFLINE"):
        raise _not("zizmor", "it has no token, so audits that ask GitHub would be left out")
    out = _run(root, "zizmor", "zizmor", "--persona", "auditor", "--strict-collection",
               "--no-progress", "--no-exit-codes", "--format", "json",
               *(["--offline"] if offline else []), ".", good=(0,))  # fmt: skip
    return [
        Found(
            "zizmor",
            item["ident"],
            place["symbolic"]["key"]["Local"]["verbatim_path"].removeprefix("./"),
            item["desc"],
            place["concrete"]["location"]["start_point"]["row"] + 1,
        )
        for item in _json("zizmor", out)
        for place in item["locations"][:1]
    ]


SCANNERS: dict[str, tuple[Tool, Callable[[Path], Sequence[Found]]]] = {
    "code": ("bandit", code),
    "packages": ("pip-audit", packages),
    "secrets": ("kingfisher", secrets),
    "workflows": ("zizmor", workflows),
    "data": ("data", data_files),
}


def _run(
    root: Path, tool: str, *command: str, good: Sequence[int] = (0, 1), unwarned: bool = False
) -> str:
    """What a tool prints. Raises NotScanned if it is absent, late, fails, or warns where it must
    end `unwarned`: some say "nothing found" after a warning that they did not look."""
    ours = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, "PATH": ours, "RUST_BACKTRACE": "0"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except FileNotFoundError:
        raise _not(tool, "it is not installed; `uv sync` installs it") from None
    except subprocess.TimeoutExpired:
        raise _not(tool, f"it did not end within {TIMEOUT} seconds") from None
    told = done.stderr.strip()
    warned = unwarned and any("WARNING" in s and HARMLESS not in s for s in told.splitlines())
    silent = done.returncode and not done.stdout.strip()
    if done.returncode not in good or warned or silent:
        raise _not(tool, told[-800:] or f"it ended with status {done.returncode}")
    return done.stdout


def _json(tool: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise _not(tool, f"it gave no report: {text.strip()[-300:] or 'nothing'}") from None


def _not(tool: str, why: str) -> NotScanned:
    return NotScanned(
        f"{tool} did not scan, and what was not scanned is not clean. {why.strip().rstrip('.')}. "
        "Mend that and run again."
    )
