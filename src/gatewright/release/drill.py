"""A rollback, rehearsed: the real commands, on a copy of origin that nobody else sees."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gatewright.adapters.git import REMOTE, Git
from gatewright.errors import Refused
from gatewright.project import Project
from gatewright.release.rollback import roll_back
from gatewright.release.smoke_test import smoke
from gatewright.release.workspace import Workspace

CONFIG = Path(".dvc/config.local")  # how this machine signs in to the storage
T = TypeVar("T")


@dataclass(frozen=True)
class Drill:
    """What was rehearsed: from which version to which, and the seconds of each step."""

    environment: str
    before: str
    after: str
    seconds: dict[str, float]

    @property
    def sentence(self) -> str:
        total = sum(self.seconds.values())
        return (
            f"{self.environment} would be back on {self.after} (is on {self.before}) in "
            f"{total:.1f} seconds, and {self.after} answers as it was registered. Nothing changed."
        )


def drill(root: Path, environment: str) -> Drill:
    """Roll an environment back in a scratch clone, try what is live then, and time it.

    Raises Refused for whatever would stop the real rollback, and Misuse for an environment that
    there is not. The storage is only read.
    """
    Project(root).known(environment)
    git = Git(root)
    git.fetch()  # whether there is an origin, and whether it answers
    seconds: dict[str, float] = {}

    def timed(words: str, do: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = do()
        seconds[words] = time.perf_counter() - start
        return result

    with tempfile.TemporaryDirectory() as name:
        scratch, clone = Path(name, "origin.git"), Path(name, "clone")
        address = git("remote", "get-url", REMOTE)
        timed("clone", lambda: _clone(git, address, scratch, clone))
        if (root / CONFIG).exists():
            shutil.copy(root / CONFIG, clone / CONFIG)
        workspace = Workspace(clone)
        live = workspace.registry().live(environment)
        if live is None:
            raise Refused(f"Nothing is live in {environment}, so there is nothing to rehearse.")
        back = timed(
            "roll back",
            lambda: roll_back(workspace, environment, None, "a drill", leave=live.version),
        )
        timed("smoke check", lambda: smoke(workspace, environment, False))
    return Drill(environment, live.version, back.version, seconds)


def _clone(git: Git, address: str, scratch: Path, clone: Path) -> None:
    git("clone", "--quiet", "--bare", "--", address, str(scratch))
    bare = Git(scratch)
    if not bare.sha("HEAD"):  # a repository that was made before its first push
        branch = next((name for name in ("main", "master") if bare.sha(f"refs/heads/{name}")), None)
        if branch:
            bare("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    git("clone", "--quiet", "--", str(scratch), str(clone))
