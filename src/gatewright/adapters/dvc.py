"""DVC, by its Python API: the one module that may import it.

A DVC remote an environment keeps data and models. The embedded default is a folder an environment
on the branch `dvc-storage`; any other DVC remote works by its URL alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from gatewright.adapters.console import as_it_is
from gatewright.adapters.files import digest, refuse_special
from gatewright.adapters.git import Git
from gatewright.adapters.git_storage import BRANCH, StorageBranch
from gatewright.errors import Misuse, Refused, Undecided

PIPELINE_FAILS = (
    "The pipeline fails; its message stands above. Where data is missing, run `uv run mlops push` "
    "on the machine that has it; else mend the pipeline. Then run again."
)
RAW = "data/raw"  # DVC would read a pipe in it for ever
_INTERRUPTED = 252  # the status of DVC's command line after Ctrl-C


@dataclass(frozen=True)
class StoredFile:
    """One file: its place in the project and its digests; one of a version has both."""

    path: str
    sha256: str | None
    md5: str
    size: int


def describe(root: Path, path: str) -> StoredFile:
    full = root / path
    return StoredFile(path, digest(full), digest(full, "md5"), full.stat().st_size)


@dataclass(frozen=True)
class Remote:
    """The object database of one DVC remote: files by their md5."""

    odb: Any

    def holds(self, md5: str) -> bool:
        return bool(self.odb.exists(md5))

    def open(self, md5: str) -> BinaryIO:
        """Raises FileNotFoundError for what it does not hold."""
        source: BinaryIO = self.odb.fs.open(self.odb.oid_to_path(md5), "rb")
        return source

    def add(self, path: Path, md5: str) -> None:
        from dvc.fs import localfs

        self.odb.add(str(path.resolve()), localfs, md5)

    def copy_from(self, other: Remote) -> int:
        """Copy every object of another remote; how many those are."""
        oids = list(other.odb.all()) if other.odb.fs.exists(other.odb.path) else []
        for oid in oids:
            self.odb.add(other.odb.oid_to_path(oid), other.odb.fs, oid)
        return len(oids)


class Storage:
    """The DVC remotes of one project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.branch = StorageBranch(root)

    @cached_property
    def _repo(self) -> Any:
        from dvc.repo import Repo

        with _in_words(self.root):
            return Repo(str(self.root))

    def remote(self, environment: str) -> Remote:
        """The remote of an environment. Raises Misuse if there is none of that name."""
        from dvc.exceptions import DvcException

        repo = self._repo
        try:
            with _in_words(self.root, DvcException):
                return Remote(repo.cloud.get_remote_odb(environment))
        except DvcException as error:
            raise Misuse(f"No DVC remote is named '{environment}' ({error}).") from None

    def set_up(self) -> None:
        """Make a fresh project, or a fresh clone of one, ready to work in. Safe to run again."""
        self.branch.sync()
        if (self.root / "data/raw").exists():
            # A new project: its files are here, and DVC has not met them yet.
            must(self.root, "add", "--quiet", "data/raw")
            self.push()
        else:
            must(self.root, "pull", "--quiet", "--allow-missing")
        subprocess.run(["pre-commit", "install"], cwd=self.root)

    def ready(self) -> None:
        """Bring the embedded storage up to what origin has, alone in this clone."""
        with self.git.alone():
            self.branch.sync()

    def get(self, paths: Iterable[str]) -> None:
        """Put outputs of the pipeline into the work tree, as dvc.lock names them."""
        self.ready()
        must(self.root, "pull", "--quiet", *paths)

    def get_what_is_there(self) -> None:
        """Put all outputs and data into the work tree that the storage has."""
        must(self.root, "pull", "--quiet", "--allow-missing")

    def push(self) -> None:
        """Store all outputs of the pipeline and the raw data in the first environment."""
        self.branch.sync()
        must(self.root, "push", "--quiet")
        self.branch.publish()

    def fetch(self, files: Iterable[StoredFile], environment: str, folder: Path) -> None:
        """Copy a version's files out of an environment's storage, checking every byte."""
        remote = self.remote(environment)
        for file in files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                source = remote.open(file.md5)
            except FileNotFoundError:
                raise Refused(
                    f"{file.path} ({file.md5}) is missing from the storage of {environment}, so "
                    "the version is not whole. Restore the storage, or promote the version into "
                    f"{environment} again."
                ) from None
            with source, target.open("wb") as copy:
                size, sha256, md5 = _copied(source, copy, file.size if file.sha256 else None)
            if file.sha256 is None and md5 != file.md5:
                target.unlink()
                raise Refused(
                    f"{file.path} in the storage of {environment} is not the file that its "
                    f"name {file.md5} says. Restore the storage from a good copy."
                )
            if file.sha256 not in (None, sha256):
                target.unlink()
                raise Refused(
                    f"{file.path} in the storage of {environment} is not what was registered: "
                    f"{size} bytes, sha256 {sha256[:12]}, where {file.size} bytes, "
                    f"{file.sha256[:12]} were. It was truncated or altered. Find the change with "
                    f"`git log {BRANCH}` and restore the file from a good copy."
                )

    def verify(self, files: Iterable[StoredFile], environment: str) -> None:
        """Refuse unless the environment's storage holds exactly these bytes."""
        with tempfile.TemporaryDirectory() as folder:
            self.fetch(files, environment, Path(folder))

    def store(self, files: Iterable[StoredFile], folder: Path, environment: str) -> None:
        """Put files into an environment's storage and publish them."""
        remote = self.remote(environment)
        for file in files:
            if not remote.holds(file.md5):
                remote.add(folder / file.path, file.md5)
        self.branch.publish()

    def move(self, url: str, environments: Iterable[str]) -> None:
        """Copy every object to `url`/ENVIRONMENT and point the remotes there."""
        self.branch.sync()
        for environment in environments:
            old = self.remote(environment)
            place = f"{url.rstrip('/')}/{environment}"
            must(self.root, "remote", "modify", environment, "url", place)
            new = Storage(self.root).remote(environment)
            count = new.copy_from(old)
            print(f"{environment}: {count} objects moved to {new.odb.path}", file=sys.stderr)


@dataclass(frozen=True)
class PipelineStage:
    """One stage of the pipeline that runs something.

    `folder` is where its commands run, and `deps` are the files and folders that DVC watches for
    it; both are seen from the project's root. A `frozen` stage is watched for nothing. `changed`
    says that its command or its inputs are not those of dvc.lock.
    """

    name: str
    commands: tuple[str, ...]
    folder: str
    deps: frozenset[str]
    frozen: bool
    changed: bool


@dataclass(frozen=True)
class Pipeline:
    """The stages as DVC reads them, and everything in dvc.lock or a .dvc file that is stale."""

    stages: tuple[PipelineStage, ...]
    stale: tuple[str, ...]


def read_pipeline(root: Path) -> Pipeline:
    """The stages of every dvc.yaml below `root`; nothing of them is run.

    Nothing need be here but what Git holds: inputs that are missing are not asked for, as a dry
    `dvc repro` would.
    """
    from dvc.repo import Repo

    refuse_special(root / RAW)
    with _in_words(root), chdir(root), redirect_stdout(io.StringIO()), Repo(".") as repo, repo.lock:
        inputs = repo.index.graph.successors
        changed = {
            stage.addressing: stage.changed(allow_missing=True, upstream=list(inputs(stage)))
            for stage in repo.index.stages
        }
        stages = tuple(
            _stage(repo, stage, changed[stage.addressing])
            for stage in repo.index.stages
            if stage.cmd
        )
        return Pipeline(stages, tuple(name for name, is_so in changed.items() if is_so))


def hidden(root: Path, paths: Iterable[str]) -> set[str]:
    """Which of these files .dvcignore hides, so that no folder's digest holds them."""
    from dvc.repo import Repo

    with _in_words(root), chdir(root), Repo(".") as repo:
        return {path for path in paths if repo.dvcignore.is_ignored_file(os.path.abspath(path))}


def _stage(repo: Any, stage: Any, changed: bool) -> PipelineStage:
    from dvc.dependency import ParamsDependency

    def seen(path: str) -> str:
        return Path(os.path.relpath(path, repo.root_dir)).as_posix()

    return PipelineStage(
        name=stage.addressing,
        commands=(stage.cmd,) if isinstance(stage.cmd, str) else tuple(stage.cmd),
        folder=seen(stage.wdir),
        deps=frozenset(
            seen(dep.fs_path)
            for dep in stage.deps
            # Of a file of parameters DVC watches some keys only.
            if dep.protocol == "local" and not isinstance(dep, ParamsDependency)
        ),
        frozen=bool(stage.frozen),
        changed=changed,
    )


def dvc(root: Path, *args: str) -> int:
    """Run one DVC command in this process: starting another would cost half a second."""
    from dvc.cli import main

    refuse_special(root / RAW)
    # Stages call `python` and `mlops` by name, so those of this environment must be found first.
    ours = str(Path(sys.executable).parent)
    if not os.environ.get("PATH", "").startswith(ours + os.pathsep):
        os.environ["PATH"] = ours + os.pathsep + os.environ.get("PATH", "")
    with _in_words(root), as_it_is(), chdir(root):
        return int(main(list(args)))


@contextmanager
def _in_words(root: Path, *but: type[Exception]) -> Iterator[None]:
    """What DVC cannot read, or lacks, is told in a sentence; errors of the types `but` are not."""
    try:
        yield
    except Refused:
        raise
    except ImportError as error:
        package = re.search(r"dvc-\w+", str(error))
        mend = f"Run `uv add {package[0]}`" if package else "Run `uv sync`"
        words = f"The storage of .dvc/config needs a package that is not installed ({error})"
        raise Undecided(f"{words}, so it cannot be read. {mend}, and run again.") from error
    except Exception as error:
        from dvc.exceptions import DvcException

        if isinstance(error, but):
            raise
        if not _is_configured(root):
            raise Refused(
                f".dvc/config, which says where data and models are stored, cannot be read "
                f"({error}). Restore it with Git, or correct it, and run again."
            ) from error
        if isinstance(error, DvcException):
            raise Refused(f"DVC cannot read the pipeline ({error}). Correct dvc.yaml.") from error
        raise


def _is_configured(root: Path) -> bool:
    """Whether DVC can read .dvc/config, whatever it stumbles over in it."""
    from dvc.config import Config

    try:
        Config(str(root / ".dvc"))
    except Exception:
        return False
    return True


def must(root: Path, *args: str) -> None:
    """Run one DVC command, and raise Refused if it fails."""
    with redirect_stdout(sys.stderr):  # what a command prints is its own answer, often JSON
        failed = dvc(root, *args)
    if failed:
        raise Refused(f"`dvc {' '.join(args)}` failed; its message stands above.")


def run_pipeline(root: Path, *stages: str) -> None:
    """Run the stages whose inputs changed; with names, only up to those.

    Raises Misuse for a stage that there is not, Refused if a stage fails, and Undecided if
    somebody interrupts it.
    """
    if stages and (unknown := set(stages) - {s.name for s in read_pipeline(root).stages}):
        known = ", ".join(stage.name for stage in read_pipeline(root).stages)
        raise Misuse(f"There is no stage '{min(unknown)}'. There are: {known}.")
    status = dvc(root, "repro", *stages)
    if status == _INTERRUPTED:
        raise Undecided("The pipeline was interrupted. Run it again; what is done stays done.")
    if status:
        raise Refused(PIPELINE_FAILS)


def reproduce(root: Path, *stages: str) -> None:
    """As `run_pipeline`, after setting up a clone in which that was not done yet."""
    if not (root / ".dvc/cache").exists():
        storage = Storage(root)
        with storage.git.alone():
            storage.set_up()
    run_pipeline(root, *stages)


def _copied(source: Any, target: Any, size: int | None) -> tuple[int, str, str]:
    """Copy in blocks; (bytes, sha256, md5) of them. Ends after `size` bytes and a block."""
    sha256, md5, done = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while (size is None or done <= size) and (block := source.read(1 << 20)):
        target.write(block)
        sha256.update(block)
        md5.update(block)
        done += len(block)
    return done, sha256.hexdigest(), md5.hexdigest()
