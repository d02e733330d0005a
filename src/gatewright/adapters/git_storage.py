"""The embedded storage: a folder an environment on the branch `dvc-storage`, published with Git.

Its work tree is `.dvc-storage/`, where the DVC remotes of a new project point.
"""

import sys
from functools import cached_property
from pathlib import Path

from gatewright.adapters.files import digest, read_text
from gatewright.adapters.git import REMOTE, Git, GitError
from gatewright.errors import Refused, Undecided

BRANCH = "dvc-storage"
FOLDER = ".dvc-storage"
REMOTE_BRANCH = f"refs/mlops/{REMOTE}/{BRANCH}"
REFSPEC = f"+refs/heads/{BRANCH}*:{REMOTE_BRANCH}*"
MOVE = "uv run mlops move-storage s3://BUCKET/PATH (or gs://, azure://, ssh://)"
LARGEST_FILE = 50_000_000
LARGEST_TOTAL = 1_000_000_000


class StorageBranch:
    """The branch `dvc-storage` of one project; where the storage is elsewhere, nothing happens."""

    def __init__(self, root: Path, git: Git | None = None) -> None:
        self.root = root
        self.git = git or Git(root)
        self.tree = Git(root / FOLDER)

    @cached_property
    def embedded(self) -> bool:
        """Whether the remotes are folders of the branch `dvc-storage`."""
        return f"{FOLDER}/" in read_text(self.root / ".dvc" / "config")

    def attach(self) -> None:
        """Make sure that the embedded storage has its branch and its work tree here."""
        if not self.embedded:
            return
        folder = self.root / FOLDER
        if folder.is_symlink() and not folder.exists():
            folder.unlink()  # the work tree that it led to is gone
        link = (folder / ".git").resolve()
        if link.exists():
            for ours in self.git.common.glob(f"worktrees/*{BRANCH}"):
                # In a project that was moved or copied, the two still name the old place.
                (ours / "gitdir").write_text(f"{link}\n")
                link.write_text(f"gitdir: {ours}\n")
            return
        self.git("worktree", "prune")
        if there := self._elsewhere():
            # Git checks a branch out once, and the work trees of a repository share it.
            folder.symlink_to(there)
            exclude = self.root / self.git("rev-parse", "--git-path", "info/exclude")
            exclude.parent.mkdir(exist_ok=True)
            before = exclude.read_text() if exclude.exists() else ""
            if f"/{FOLDER}\n" not in before:
                exclude.write_text(f"{before}/{FOLDER}\n")
            return
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

    def _elsewhere(self) -> Path | None:
        """Where another work tree of this repository has the storage, if one has."""
        listed = self.git("worktree", "list", "--porcelain", "-z")
        for entry in listed.split("\0\0"):
            lines = entry.split("\0")
            if f"branch refs/heads/{BRANCH}" in lines:
                return Path(lines[0].removeprefix("worktree "))
        return None

    def sync(self, fetch: bool = True) -> None:
        """Bring the embedded storage up to what origin has. The caller must be alone."""
        if not self.embedded:
            return
        self.attach()
        self._refuse_links(BRANCH)
        # What a killed process may have left: we are alone, so nobody else holds it.
        names = ("index.lock", "rebase-merge", "rebase-apply")
        words = [word for name in names for word in ("--git-path", name)]
        lock, *rebases = (
            self.tree.root / path for path in self.tree("rev-parse", *words).splitlines()
        )
        lock.unlink(missing_ok=True)
        if any(path.exists() for path in rebases):
            self.tree.ok("rebase", "--abort")
        self._commit_new()
        if not self.git.has_remote():
            return
        if fetch:
            self.git.fetch(REFSPEC)
        ours, theirs = self._tips()
        if theirs is None or theirs == ours:
            return
        if not self.git.ok("merge-base", "--is-ancestor", theirs, BRANCH):
            self._refuse_links(theirs)
            try:
                self.tree("rebase", "--quiet", theirs)
            except GitError as error:
                self.tree.ok("rebase", "--abort")
                raise Refused(
                    f"The storage branch here and on origin have grown apart ({error}). Look at "
                    f"`git log {BRANCH} {REMOTE_BRANCH}`; nothing was changed."
                ) from None

    def _tips(self) -> tuple[str | None, str | None]:
        """The commits of the branch here and of origin's, as it was fetched."""
        refs = (f"refs/heads/{BRANCH}", REMOTE_BRANCH)
        told = self.git("for-each-ref", "--format=%(refname) %(objectname)", *refs).splitlines()
        commits = dict(line.split(" ") for line in told)
        return commits.get(refs[0]), commits.get(refs[1])

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
            ours, theirs = self._tips()
            if not self.git.has_remote() or ours == theirs:
                return
            if not theirs and not self.git("ls-remote", "--heads", REMOTE):
                # The first branch that it gets becomes its default one.
                print(f"origin is empty: `git push -u origin main`, then {BRANCH}", file=sys.stderr)
                return
            if self.git.ok("push", "--quiet", REMOTE, f"{BRANCH}:refs/heads/{BRANCH}"):
                self.git("update-ref", REMOTE_BRANCH, BRANCH)
                return
        raise Undecided(
            f"The branch {BRANCH} could not be pushed to origin in 5 tries; nothing was promoted. "
            f"See why with `git push origin {BRANCH}`, then run again."
        )

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
