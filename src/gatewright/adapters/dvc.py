"""DVC, by its Python API: the one module that may import it.

A DVC remote an environment keeps data and models. The embedded default is a folder an environment
on the branch `dvc-storage`; any other DVC remote works by its URL alone.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from gatewright.adapters.commands import only_source
from gatewright.adapters.console import as_it_is
from gatewright.adapters.files import digest, refuse_special
from gatewright.adapters.git import Git
from gatewright.adapters.git_storage import BRANCH, StorageBranch
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Misuse, Refused, Undecided

PIPELINE_FAILS = (
    "The pipeline fails; its message stands above. Where data is missing, run `uv run mlops push` "
    "on the machine that has it; else mend the pipeline. Then run again."
)
HOOKS = ".pre-commit-config.yaml"  # without it the hooks would stop every commit
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
        self.branch = StorageBranch(root, self.git)

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
        if (self.root / HOOKS).exists():
            subprocess.run(["pre-commit", "install"], cwd=self.root)

    def ready(self) -> None:
        """Bring the embedded storage up to what origin has, alone in this clone."""
        with self.git.alone():
            self.branch.sync()

    def get(self, paths: Iterable[str]) -> None:
        """Put outputs of the pipeline into the work tree, as dvc.lock names them."""
        self.ready()
        must(self.root, "pull", "--quiet", *paths)

    def get_if_there(self, paths: Iterable[str]) -> None:
        """As `get`, but what the storage lacks stays away."""
        self.ready()
        with redirect_stdout(sys.stderr):
            dvc(self.root, "pull", "--quiet", "--allow-missing", *paths)

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


Ignored = Callable[[str, bool], bool]  # a path seen from the root, and whether it is a folder


def ignored_by(text: str) -> Ignored:
    """What a .dvcignore of this text hides. A pattern and a path are all that DVC is given."""
    from dvc.ignore import DvcIgnorePatterns

    lines = [line.strip() for line in text.splitlines()]
    own = [".hg/", ".git/", ".git", ".dvc/"]
    patterns = [*own, *(line for line in lines if line and not line.startswith("#"))]
    try:
        known = DvcIgnorePatterns(patterns, "/", "/")
    except ValueError as error:
        raise Refused(f".dvcignore has a pattern that is none ({error}). Correct it.") from None

    def ignored(path: str, folder: bool) -> bool:
        place, _, name = f"/{path}".rpartition("/")
        return bool(known.matches(place or "/", name, folder))

    return ignored


def as_dvc_reads(text: str, name: str) -> Any:
    """The values of a YAML text in DVC's own reading, which is YAML 1.2: `1e-3` is a number.

    The text alone is given to DVC. Raises Refused for what is no plain data.
    """
    from dvc.utils.serialize import ParseError
    from dvc.utils.serialize import parse_yaml as parse_1_2

    parse_yaml(text, name)
    try:
        return parse_1_2(text, name)
    except (ParseError, ValueError, IndexError, OverflowError) as error:
        raise Refused(f"{name} is not valid YAML ({error}). Correct it and run again.") from None


def dvc(root: Path, *args: str) -> int:
    """Run one DVC command in this process: starting another would cost half a second."""
    from dvc.cli import main

    refuse_special(root / RAW)
    # Stages call `python` and `mlops` by name, so those of this environment must be found first.
    ours = str(Path(sys.executable).parent)
    if not os.environ.get("PATH", "").startswith(ours + os.pathsep):
        os.environ["PATH"] = ours + os.pathsep + os.environ.get("PATH", "")
    with _in_words(root), as_it_is(), chdir(root), _only_source(root), _without_hints():
        return int(main(list(args)))


@contextmanager
def _without_hints() -> Iterator[None]:
    """DVC says which commands of its own and of Git could come next. Here others do."""
    from dvc.ui import ui

    write, hints = ui.write, logging.getLogger("dvc.repo.scm_context")
    before = hints.level

    def without(*objects: Any, **more: Any) -> None:
        if not (objects and str(objects[0]).startswith("Use `dvc push`")):
            write(*objects, **more)

    hints.setLevel(logging.WARNING)
    ui.write = without
    try:
        yield
    finally:
        ui.write = write
        hints.setLevel(before)


@contextmanager
def _only_source(root: Path) -> Iterator[None]:
    """Whatever Python a stage starts imports from `src` and from what is installed.

    As with `python -P`, the folder in which it starts or its script lies is not looked into.
    """
    before = dict(os.environ)
    wanted = only_source(before, root)
    try:
        os.environ.clear()
        os.environ.update(wanted)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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


def run_pipeline(root: Path, *stages: str, anew: bool = False) -> None:
    """Run the stages whose inputs changed; with names, only up to those.

    `anew` runs all of them, and takes nothing from what DVC remembers of earlier runs.

    Raises Misuse for a stage that there is not, Refused if a stage fails, and Undecided if
    somebody interrupts it.
    """
    if stages and (unknown := set(stages) - set(known := _stage_names(root))):
        raise Misuse(f"There is no stage '{min(unknown)}'. There are: {', '.join(known)}.")
    status = dvc(root, "repro", *(("--force", "--no-run-cache") if anew else ()), *stages)
    if status == _INTERRUPTED:
        raise Undecided("The pipeline was interrupted. Run it again; what is done stays done.")
    if status:
        raise Refused(PIPELINE_FAILS)


def record_stages(root: Path, stages: Iterable[str]) -> None:
    """Let dvc.lock say that these stages gave what lies in the work tree."""
    must(root, "commit", "--quiet", "--force", *stages)


def _stage_names(root: Path) -> list[str]:
    """The stages of one's own project, as DVC finds them."""
    from dvc.repo import Repo

    with _in_words(root), chdir(root), redirect_stdout(io.StringIO()), Repo(".") as repo:
        return [stage.addressing for stage in repo.index.stages if stage.cmd]


def reproduce(root: Path, *stages: str, anew: bool = False) -> None:
    """As `run_pipeline`, after setting up a clone in which that was not done yet."""
    get_ready(root)
    run_pipeline(root, *stages, anew=anew)


def get_ready(root: Path) -> None:
    """Set up a clone in which that was not done yet: storage, data, hooks."""
    if not (root / ".dvc/cache").exists():
        storage = Storage(root)
        with storage.git.alone():
            storage.set_up()


def _copied(source: Any, target: Any, size: int | None) -> tuple[int, str, str]:
    """Copy in blocks; (bytes, sha256, md5) of them. Ends after `size` bytes and a block."""
    sha256, md5, done = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while (size is None or done <= size) and (block := source.read(1 << 20)):
        target.write(block)
        sha256.update(block)
        md5.update(block)
        done += len(block)
    return done, sha256.hexdigest(), md5.hexdigest()
