"""What the files below .github hold: owners of what guards the model, and pinned actions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Release
from gatewright.repo_settings import desired
from gatewright.repo_settings.audit.rows import Row
from gatewright.security.data_files import data_files

GUARDED = (
    *("/.github/", "/gates.yaml", "/vendor/", "/uv.lock", "/model-types.txt", "/security/"),
    "/data/",
)
_USES = re.compile(r"uses:\s*([\w.-]+/[\w.-]+)(?:/[\w./-]+)?@(\S+)(?:\s*#\s*(\S+))?")


def owners(root: Path) -> Iterator[Row]:
    """Whether somebody owns what judges and what a model is made from."""
    path = root / desired.OWNERS
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    alone = [path for path in GUARDED if not desired.owners(text, path.removeprefix("/"))]
    if alone:
        yield Row("bad", "owners", f"CODEOWNERS names nobody for {', '.join(alone)}")
    else:
        yield Row("good", "owners", "CODEOWNERS names somebody for policy, library and data")


def pins(root: Path, github: GitHub | None) -> Iterator[Row]:
    """Actions by commit, with the version that it is; stale where a newer release is out."""
    used: dict[str, str | None] = {}
    loose = []
    for path in sorted((root / ".github").rglob("*.yml")):
        for name, ref, version in _USES.findall(path.read_text(encoding="utf-8")):
            used[name] = version
            if not re.fullmatch(r"[0-9a-f]{40}", ref):
                loose.append(f"{name}@{ref} in {path.name}")
    if loose:
        yield Row("bad", "pins", f"not pinned to a commit: {', '.join(loose)}")
    else:
        yield Row("good", "pins", f"{len(used)} actions, each pinned to a commit")
    if github is None or github.host != "github.com":
        return
    for name, version in sorted(used.items()):
        newest = github.find(f"/repos/{name}/releases/latest", Release)
        if newest and version and newest.tag_name != version:
            words = f"{name} is {version}, the newest is {newest.tag_name}"
            yield Row("note", "pins", f"stale: {words}")


def data_in_git(root: Path) -> Iterator[Row]:
    """Whether files that Git tracks hold data."""
    there = data_files(root)
    if not there:
        yield Row("good", "data in Git", "no file that Git tracks holds data")
    for found in there:
        yield Row("bad", "data in Git", f"{found.where} is {found.id}: {found.words}")
