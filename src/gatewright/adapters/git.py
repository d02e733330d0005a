"""Git by its plumbing commands: no work tree is touched."""

import os
import shutil
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from gatewright.errors import Refused, Undecided
from gatewright.run_context import current

REMOTE = "origin"

ASKING = ("clone", "fetch", "ls-remote", "push")  # of origin


# Versions are signed by a key of their own (signing.py); a signing key of Git's that is broken, or
# asks for a password, must not stop a rollback.
UNSIGNED = [w for what in ("commit", "tag", "push") for w in ("-c", f"{what}.gpgSign=false")]
HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")  # variables for a hook


# A commit is what it holds: no `git replace` and no graft of this clone puts another in its place.
_AS_MADE = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}

# Whatever somebody's repository holds or names, this Git reads objects of local folders only.
_UNTRUSTED = {
    "GIT_ALLOW_PROTOCOL": "file",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ATTR_NOSYSTEM": "1",
}


class GitError(Undecided):
    """Git failed; the text is its last words."""


class Git:
    """One repository."""

    def __init__(self, root: Path, env: Mapping[str, str] = MappingProxyType({})) -> None:
        self.root = root
        self.env = env
        self._has_remote = False

    def __call__(
        self, *args: str, stdin: str | bytes = "", env: Mapping[str, str] | None = None
    ) -> str:
        return self.raw(*args, stdin=stdin, env=env).decode("utf-8", "replace").rstrip("\n")

    def raw(
        self, *args: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> bytes:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        if args[0] == "push":  # no hook of the user's: one of them calls us
            args = ("push", "--no-verify", *args[1:])
        signed = _identity() | (_token() if args[0] in ASKING else {})
        variables = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **_AS_MADE, **signed, **self.env}
        variables |= env or {}
        try:
            done = subprocess.run(
                ["git", *UNSIGNED, *args],
                cwd=self.root,
                input=data,
                capture_output=True,
                env={**os.environ, **variables},
            )
        except FileNotFoundError as error:
            if shutil.which("git"):
                raise
            raise Undecided(
                "There is no `git` on this machine's PATH, and nothing is known without it. "
                "Install Git (https://git-scm.com), and run again."
            ) from error
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip()[-800:]
            raise GitError(f"`git {args[0]}` failed: {words}")
        return done.stdout

    def ok(self, *args: str) -> bool:
        try:
            self(*args)
        except GitError:
            return False
        return True

    def sha(self, name: str) -> str | None:
        """The commit that a name stands for, or None."""
        try:
            return self("rev-parse", "--verify", "--quiet", name + "^{commit}")
        except GitError:
            return None

    @cached_property
    def common(self) -> Path:
        """The folder of Git's that all work trees of the repository share."""
        return (self.root / self("rev-parse", "--git-common-dir")).resolve()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One command at a time in this clone. The lock falls with the process that holds it.

        Whoever holds it may take it again.
        """
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.common / "mlops.lock", timeout=600, is_singleton=True):
                yield
        except Timeout:
            raise Undecided("Another mlops command has held this clone for 10 minutes.") from None

    def has_remote(self) -> bool:
        """Whether there is an origin; once there is one, nobody is asked again."""
        self._has_remote = self._has_remote or REMOTE in self("remote").split()
        return self._has_remote

    def fetch(self, *refspecs: str) -> None:
        """Fetch from origin. A network that fails is 'could not decide', never 'nothing there'."""
        if not self.has_remote():
            raise Refused(
                "This repository has no remote 'origin', and the registry lives there. Create an "
                "empty repository and run `git remote add origin URL`, then "
                "`git push -u origin main` and `git push -u origin dvc-storage`."
            )
        try:
            self("fetch", "--quiet", "--no-tags", "--prune", REMOTE, *refspecs)
        except GitError as error:
            raise Undecided(
                f"origin could not be read, so the registry is unknown ({error}). "
                "Check the connection and run again."
            ) from None

    def default_tip(self) -> str | None:
        """The commit that origin's default branch is at now, fetched; None if it has none.

        Where origin's HEAD names a branch that is not there (a bare repository made before its
        first push), that is main, or else master.
        """
        names = ("HEAD", "refs/heads/main", "refs/heads/master")
        try:
            lines = self("ls-remote", REMOTE, *names).splitlines()
        except GitError as error:
            raise Undecided(
                f"origin could not be read, so nobody knows what was merged ({error}). Check the "
                "connection and run again."
            ) from None
        there = {name: sha for sha, name in (line.split("\t") for line in lines)}
        tip = next((there[name] for name in names if name in there), None)
        if tip and not self.sha(tip):
            self.fetch(tip)
        return tip

    def blobs(self, names: list[str]) -> list[str | None]:
        """The texts of objects named like `<commit>:<path>`, None for what is not there."""
        out = self.raw("cat-file", "--batch", stdin="\n".join(names) + "\n")
        texts: list[str | None] = []
        at = 0
        for _ in names:
            end = out.index(b"\n", at)
            header = out[at:end].split()
            at = end + 1
            if header[-1] == b"missing":
                texts.append(None)
                continue
            size = int(header[-1])
            texts.append(out[at : at + size].decode("utf-8", "replace"))
            at += size + 1
        return texts

    def show(self, revision: str, path: str) -> str:
        return whole(self.blobs([f"{revision}:{path}"])[0], revision, path)


def whole(text: str | None, revision: str, path: str) -> str:
    """A text of a commit. Raises Refused if it is not there."""
    if text is None:
        raise Refused(f"{path} is not in commit {revision[:12]}, so the version is not whole.")
    return text


@contextmanager
def objects_of(candidate: Path, root: Path) -> Iterator[Git]:
    """The HEAD of somebody's repository, in a bare one of its own that sees what `root` holds.

    Objects are fetched, and named anew by what they hold. No setting, hook, filter, attribute,
    replacement or graft of the candidate's repository comes along, and no command runs in it but
    `git upload-pack`, which Git made for serving repositories that it does not trust. Raises
    Undecided if not all of the history is there.
    """
    ours = (root / Git(root)("rev-parse", "--git-path", "objects")).resolve()
    with tempfile.TemporaryDirectory() as name:
        git = Git(Path(name), _UNTRUSTED)
        git("init", "--quiet", "--bare", "--template=")
        (Path(name) / "objects/info/alternates").write_text(f"{ours}\n")
        try:
            words = ("--quiet", "--no-tags", "--no-auto-maintenance", "--no-recurse-submodules")
            git("fetch", *words, str(candidate.resolve()), "HEAD")
            git("update-ref", "--no-deref", "HEAD", "FETCH_HEAD")
        except GitError as error:
            raise Undecided(
                f"The candidate's history cannot be read ({error}), so nothing is judged. In a "
                "workflow, check out with `fetch-depth: 0`."
            ) from None
        yield git


def leave_hook() -> None:
    """Forget what a hook of Git hands on to the commands that it starts: it is not meant for us."""
    for name in HOOKS:
        os.environ.pop(name, None)


def _identity() -> dict[str, str]:
    """In a workflow, commits are in the name of whoever started it."""
    run = current()
    if not (run.actor and run.on_github):
        return {}
    email = f"{run.actor}@users.noreply.github.com"
    who = ("AUTHOR", "COMMITTER")
    return {f"GIT_{w}_NAME": run.actor for w in who} | {f"GIT_{w}_EMAIL": email for w in who}


def _token() -> dict[str, str]:
    """The workflow's token for GitHub over https: for one process, and never on disk."""
    run = current()
    if not (run.token and run.server and run.on_github):
        return {}
    return signed_in(run.server, run.token)


def signed_in(server: str, token: str) -> dict[str, str]:
    """Git's settings, as variables, by which it shows a token of GitHub."""
    basic = b64encode(f"x-access-token:{token}".encode()).decode()
    return settings({f"http.{server}/.extraheader": f"AUTHORIZATION: basic {basic}"})


def settings(values: Mapping[str, str]) -> dict[str, str]:
    """Git settings as variables of its environment, after those that are there already."""
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    env = {"GIT_CONFIG_COUNT": str(first + len(values))}
    for number, (key, value) in enumerate(values.items(), first):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env
