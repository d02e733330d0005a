"""Which version of gatewright the project has, and whether the wheel at hand is that version's."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gatewright.adapters.files import digest, read_text
from gatewright.errors import Refused
from gatewright.repo_settings.audit.rows import Row

NAME = "gatewright"
_PIN = re.compile(rf"{NAME}(?:\[[^]]*\])?\s*==\s*([\w.!+-]+)\s*")
_MEND = "Run `uv lock` and `uv sync`, and commit uv.lock"


def versions(root: Path) -> Iterator[Row]:
    """The version pinned, locked, installed and in vendor/: one row if all agree.

    Each disagreement is a row of its own, with the command that mends it.
    """
    project = _toml(root / "pyproject.toml")
    pinned = _pinned(project)
    if pinned is None:
        words = f"pyproject.toml pins no version of {NAME}, so any may judge: run "
        yield Row("bad", "library", words + f"`uv add '{NAME}[project]=={_installed()}'`")
        return
    wrong = [*_environment(pinned), *_lock(root, project, pinned)]
    for words in wrong:
        yield Row("bad", "library", words)
    if not wrong:
        yield Row("good", "library", f"{NAME} {pinned} is pinned, locked and installed")


def _environment(pinned: str) -> Iterator[str]:
    installed = _installed()
    if installed != pinned:
        yield f"pyproject.toml pins {pinned}, and {installed} is installed: run `uv sync`"


def _lock(root: Path, project: dict[str, Any], pinned: str) -> Iterator[str]:
    """What uv.lock and the wheel say otherwise than pyproject.toml."""
    packages = _toml(root / "uv.lock").get("package", ())
    locked: dict[str, Any] = next((p for p in packages if p.get("name") == NAME), {})
    if (there := locked.get("version")) != pinned:
        yield f"pyproject.toml pins {pinned}, and uv.lock holds {there or 'none'}. {_MEND}"
        return
    source = project.get("tool", {}).get("uv", {}).get("sources", {}).get(NAME, {}).get("path")
    if source is None:
        return  # it comes from a package index, and uv holds it to the digest in the lock
    wheel = root / source
    named = wheel.name.split("-")[1] if wheel.name.count("-") >= 4 else ""
    if named != pinned:
        yield (
            f"pyproject.toml pins {pinned}, and its source is {source}: correct "
            f"[tool.uv.sources]. {_MEND}"
        )
    hashes = {str(item.get("hash", "")) for item in locked.get("wheels", ())}
    if not wheel.is_file():
        yield f"{source} is missing: restore it with `git restore {source}`"
    elif f"sha256:{(found := digest(wheel))}" not in hashes:
        yield (
            f"{source} has the sha256 {found[:12]}, which is not what uv.lock names: it is not the "
            f"wheel that was locked. Restore both with `git restore {source} uv.lock`; if the "
            f"wheel is meant, run `uv lock --refresh-package {NAME}` and commit both"
        )


def _pinned(project: dict[str, Any]) -> str | None:
    """The version that the project's own dependencies ask for, if it is exactly one."""
    asked = project.get("project", {}).get("dependencies", ())
    found = {match[1] for text in asked if (match := _PIN.fullmatch(str(text).partition(";")[0]))}
    return found.pop() if len(found) == 1 else None


def _installed() -> str:
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "none"


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise Refused(
            f"{path.name} is no TOML ({error}). Restore it: `git restore {path.name}`."
        ) from None
