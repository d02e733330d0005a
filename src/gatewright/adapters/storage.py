"""Where data and models are kept: a DVC remote an environment.

The embedded default is a folder an environment in `.dvc-storage/`, a work tree of the branch
`dvc-storage`, published with Git. Any other DVC remote works by its URL alone.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gatewright.adapters.console import as_it_is
from gatewright.adapters.files import digest
from gatewright.adapters.git import REMOTE, Git, GitError
from gatewright.errors import Misuse, Refused, Undecided

BRANCH = "dvc-storage"
FOLDER = ".dvc-storage"
REMOTE_BRANCH = f"refs/mlops/{REMOTE}/{BRANCH}"
REFSPEC = f"+refs/heads/{BRANCH}*:{REMOTE_BRANCH}*"
MOVE = "uv run mlops move-storage s3://BUCKET/PATH (or gs://, azure://, ssh://)"
PIPELINE_FAILS = (
    "The pipeline fails; its message stands above. Where data is missing, run `uv run mlops push` "
    "on the machine that has it; else mend the pipeline. Then run again."
)
LARGEST_FILE = 50_000_000
LARGEST_TOTAL = 1_000_000_000


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


class Storage:
    """The DVC remotes of one project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.tree = Git(root / FOLDER)

    @cached_property
    def repo(self) -> Any:
        from dvc.repo import Repo

        return Repo(str(self.root))

    def odb(self, environment: str) -> Any:
        """The object database of an environment's remote."""
        from dvc.exceptions import DvcException

        try:
            return self.repo.cloud.get_remote_odb(environment)
        except DvcException as error:
            raise Misuse(f"No DVC remote is named '{environment}' ({error}).") from None

    @cached_property
    def embedded(self) -> bool:
        """Whether the remotes are folders of the branch `dvc-storage`."""
        return f"{FOLDER}/" in (self.root / ".dvc" / "config").read_text(encoding="utf-8")

    def attach(self) -> None:
        """Make sure that the embedded storage has its branch and its work tree here."""
        if not self.embedded:
            return
        link = (self.root / FOLDER / ".git").resolve()
        if link.exists():
            common = (self.root / self.git("rev-parse", "--git-common-dir")).resolve()
            for ours in common.glob(f"worktrees/*{BRANCH}"):
                # In a project that was moved or copied, the two still name the old place.
                (ours / "gitdir").write_text(f"{link}\n")
                link.write_text(f"gitdir: {ours}\n")
            return
        self.git("worktree", "prune")
        if not self.git.sha(f"refs/heads/{BRANCH}"):
            start = None
            if self.git.has_remote():
                self.git.fetch(REFSPEC)
                start = self.git.sha(REMOTE_BRANCH)
            if start is None:
                empty = self.git("mktree")
                start = self.git("commit-tree", empty, "-m", "Start the storage of data and models")
            self.git("branch", BRANCH, start)
        self.git("worktree", "add", "--quiet", FOLDER, BRANCH)

    def sync(self, fetch: bool = True) -> None:
        """Bring the embedded storage up to what origin has. The caller must be alone."""
        if not self.embedded:
            return
        self.attach()
        self._refuse_links(BRANCH)
        # What a killed process may have left: we are alone, so nobody else holds it.
        lock = self.tree.root / self.tree("rev-parse", "--git-path", "index.lock")
        lock.unlink(missing_ok=True)
        self.tree.ok("rebase", "--abort")
        self._commit_new()
        if not self.git.has_remote():
            return
        if fetch:
            self.git.fetch(REFSPEC)
        theirs = self.git.sha(REMOTE_BRANCH)
        if theirs and not self.git.ok("merge-base", "--is-ancestor", theirs, BRANCH):
            self._refuse_links(theirs)
            try:
                self.tree("rebase", "--quiet", theirs)
            except GitError as error:
                self.tree.ok("rebase", "--abort")
                raise Refused(
                    f"The storage branch here and on origin have grown apart ({error}). Look at "
                    f"`git log {BRANCH} {REMOTE_BRANCH}`; nothing was changed."
                ) from None

    def _refuse_links(self, commit: str) -> None:
        """A link would be read, or written through, as if what it points to were stored."""
        listed = self.git("ls-tree", "-r", commit).splitlines()
        if links := [line.split("\t")[1] for line in listed if line.startswith("120000")]:
            raise Refused(
                f"The storage branch holds symbolic links, which no command writes: {links[0]}. "
                f"Find out who did it with `git log {BRANCH} {REMOTE_BRANCH}`, and remove them."
            )

    def publish(self) -> None:
        """Send what is new in the embedded storage to origin, so that a clone can be used."""
        if not self.embedded:
            return
        for _ in range(5):
            self.sync()
            if not self.git.has_remote() or self.git.sha(REMOTE_BRANCH) == self.git.sha(BRANCH):
                return
            if not self.git.sha(REMOTE_BRANCH) and not self.git("ls-remote", "--heads", REMOTE):
                # The first branch that it gets becomes its default one.
                print(f"origin is empty: `git push -u origin main {BRANCH}`", file=sys.stderr)
                return
            if self.git.ok("push", "--quiet", REMOTE, f"{BRANCH}:refs/heads/{BRANCH}"):
                self.git("update-ref", REMOTE_BRANCH, BRANCH)
                return
        raise Undecided(
            f"The branch {BRANCH} could not be pushed to origin in 5 tries; nothing was promoted. "
            f"See why with `git push origin {BRANCH}`, then run again."
        )

    def set_up(self) -> None:
        """Make a fresh project, or a fresh clone of one, ready to work in. Safe to run again."""
        self.sync()
        if (self.root / "data/raw").exists():
            # A new project: its files are here, and DVC has not met them yet.
            must("add", "--quiet", "data/raw")
            self.push()
        else:
            must("pull", "--quiet", "--allow-missing")
        subprocess.run(["pre-commit", "install"], cwd=self.root)

    def ready(self) -> None:
        """Bring the embedded storage up to what origin has, alone in this clone."""
        with self.git.alone():
            self.sync()

    def get(self, paths: Iterable[str]) -> None:
        """Put outputs of the pipeline into the work tree, as dvc.lock names them."""
        self.ready()
        must("pull", "--quiet", *paths)

    def push(self) -> None:
        """Store all outputs of the pipeline and the raw data in the first environment."""
        self.sync()
        must("push", "--quiet")
        self.publish()

    def fetch(self, files: Iterable[StoredFile], environment: str, folder: Path) -> None:
        """Copy a version's files out of an environment's storage, checking every byte."""
        odb = self.odb(environment)
        for file in files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                source = odb.fs.open(odb.oid_to_path(file.md5), "rb")
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
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            self.fetch(files, environment, Path(folder))

    def store(self, files: Iterable[StoredFile], folder: Path, environment: str) -> None:
        """Put files into an environment's storage and publish them."""
        from dvc.fs import localfs

        odb = self.odb(environment)
        for file in files:
            if not odb.exists(file.md5):
                odb.add(str((folder / file.path).resolve()), localfs, file.md5)
        self.publish()

    def _commit_new(self) -> None:
        """Commit whole new objects; refuse altered ones and what is too large for Git."""
        status = self.tree("status", "--porcelain", "-z", "--untracked-files=all")
        entries = [entry for entry in status.split("\0") if entry]
        if altered := [entry[3:] for entry in entries if entry[:2] not in ("??", "A ")]:
            raise Refused(
                f"The storage holds altered or missing files: {', '.join(altered[:3])}. They are "
                f"not trusted. Undo with `git -C {FOLDER} restore --staged --worktree .`."
            )
        new = [entry[3:] for entry in entries]
        if not new:
            return
        for name in new:
            path = self.tree.root / name
            if path.name.removesuffix(".dir") != digest(path, "md5")[2:]:
                path.unlink()  # half a copy, left by a process that was killed
                continue
            if path.stat().st_size > LARGEST_FILE:
                raise Refused(
                    f"{FOLDER}/{name} has {path.stat().st_size / 1e6:.0f} MB; Git hosts refuse "
                    f"files that large. Move the storage with {MOVE}, then "
                    f"`rm {FOLDER}/{name}`."
                )
        total = sum(item.stat().st_size for item in self.tree.root.rglob("*") if item.is_file())
        if total > LARGEST_TOTAL:
            raise Refused(
                f"The embedded storage has {total / 1e9:.1f} GB, more than a Git branch should "
                f"hold. Move it with {MOVE}."
            )
        self.tree("add", "--all")
        if self.tree.ok("diff", "--cached", "--quiet"):
            return
        self.tree("commit", "--quiet", "--no-verify", "-m", f"Store {len(new)} objects")

    def move(self, url: str, environments: Iterable[str]) -> None:
        """Copy every object to `url`/ENVIRONMENT and point the remotes there."""
        self.sync()
        for environment in environments:
            old = self.odb(environment)
            oids = list(old.all()) if old.fs.exists(old.path) else []
            place = f"{url.rstrip('/')}/{environment}"
            must("remote", "modify", environment, "url", place)
            new = Storage(self.root).odb(environment)
            for oid in oids:
                new.add(old.oid_to_path(oid), old.fs, oid)
            print(f"{environment}: {len(oids)} objects moved to {new.path}", file=sys.stderr)


def _copied(source: Any, target: Any, size: int | None) -> tuple[int, str, str]:
    """Copy in blocks; (bytes, sha256, md5) of them. Ends after `size` bytes and a block."""
    sha256, md5, done = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while (size is None or done <= size) and (block := source.read(1 << 20)):
        target.write(block)
        sha256.update(block)
        md5.update(block)
        done += len(block)
    return done, sha256.hexdigest(), md5.hexdigest()


def dvc(*args: str) -> int:
    """Run one DVC command in this process: starting another would cost half a second."""
    from dvc.cli import main

    # Stages call `python` and `mlops` by name, so those of this environment must be found first.
    ours = str(Path(sys.executable).parent)
    if not os.environ.get("PATH", "").startswith(ours + os.pathsep):
        os.environ["PATH"] = ours + os.pathsep + os.environ.get("PATH", "")
    with as_it_is():
        return int(main(list(args)))


def must(*args: str) -> None:
    with redirect_stdout(sys.stderr):  # what a command prints is its own answer, often JSON
        failed = dvc(*args)
    if failed:
        raise Refused(f"`dvc {' '.join(args)}` failed; its message stands above.")


def reproduce(root: Path, *stages: str) -> int:
    """Run the stages of the pipeline whose inputs changed."""
    if not (root / ".dvc/cache").exists():
        storage = Storage(root)
        with storage.git.alone():
            storage.set_up()
    return dvc("repro", *stages)
