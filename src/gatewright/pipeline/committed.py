"""Is what judges here the commit at hand, and was it merged?

`git status` is not asked: it believes an index that was told to look away (`skip-worktree`,
`assume-unchanged`). Contents are compared, and such marks are told.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gatewright.adapters.git import Git
from gatewright.pipeline.changes import is_harmless

JUDGES = ("gates.yaml", "contract.yaml", "model-types.txt", "security")
CODE = "src"  # of the team's own metrics and checks
_LINK, _SUBMODULE = "120000", "160000"  # modes of Git
_LONGEST = 20_000_000  # bytes; nothing that judges is longer


def uncommitted(git: Git, code: bool = False) -> list[str]:
    """The paths that judge, and differ from HEAD; with `code`, the team's modules too.

    A file that only one of them has differs. Ends of lines do not count.
    """
    paths = [*JUDGES, *([CODE] if code else [])]
    words = ("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", *paths)
    names = git(*words).split("\0") if git.sha("HEAD") else []
    there = [name for name in names if _counts(name)]
    texts = dict(zip(there, git.blobs([f"HEAD:{name}" for name in there]), strict=True))
    here = {name for path in paths for name in _files(git.root, path) if _counts(name)}
    return sorted(
        name for name in {*there, *here} if _text(git.root / name) != _plain(texts.get(name))
    )


def not_merged(git: Git, tip: str, code: bool = False) -> list[str]:
    """The paths that judge, and in HEAD are not what the commit `tip` holds."""
    paths = [*JUDGES, *([CODE] if code else [])]
    words = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", tip, "HEAD", "--", *paths)
    return sorted(name for name in git(*words).split("\0") if _counts(name))


def other_when_checked_out(git: Git, checkout: Path) -> list[str]:
    """What makes a model and is another thing in a checkout than in its commit, a sentence each.

    People read the commit, and stages the checkout. Git makes the one from the other by the rules
    of .gitattributes, which the commit brings; ends of lines are the only ones that do no harm.
    """
    found = []
    for entry in filter(None, git("ls-tree", "-r", "-z", "HEAD").split("\0")):
        about, path = entry.split("\t", 1)
        mode, _, name = about.split()
        if is_harmless(path):
            continue
        if mode == _LINK:
            found.append(f"{path} is a symbolic link. Put the file itself there")
        elif mode == _SUBMODULE:
            found.append(f"{path} is a repository of its own (a submodule). Put its files there")
        elif not _is_object(checkout, path, name):
            found.append(
                f"{path} has other bytes when it is checked out than in its commit. Remove the "
                "filter, `ident` or `working-tree-encoding` of .gitattributes, and commit it again"
            )
    return found


def _is_object(checkout: Path, path: str, name: str) -> bool:
    """Whether a file holds what Git calls by that name, but for the ends of lines."""
    full = checkout / path
    if full.resolve() != checkout.resolve() / path or not full.is_file():
        return False
    body = full.read_bytes()
    return name in {_object_name(body, name), _object_name(body.replace(b"\r\n", b"\n"), name)}


def _object_name(body: bytes, like: str) -> str:
    """The name of a file's content, in the hash of a repository that has names `like` this."""
    kind = "sha1" if len(like) == 40 else "sha256"
    return hashlib.new(kind, b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def hidden_changes(git: Git, paths: Iterable[str] = ()) -> list[str]:
    """The files here, of all or of some paths, that Git was told not to look at."""
    listed = git("ls-files", "-v", "-z", "--", *paths).split("\0")
    marked = [line[2:] for line in listed if line and (line[0] == "S" or line[0].islower())]
    return sorted(name for name in marked if os.path.lexists(git.root / name))


def _files(root: Path, path: str) -> Iterator[str]:
    if not (root / path).is_dir():
        yield from [path] if os.path.lexists(root / path) else []
        return
    for folder, _, names in os.walk(root / path):
        yield from ((Path(folder) / name).relative_to(root).as_posix() for name in names)


def _counts(name: str) -> bool:
    """Of the team's folder only modules: what Python leaves there beside them is no change."""
    return bool(name) and (not name.startswith(f"{CODE}/") or name.endswith(".py"))


def _text(path: Path) -> str | None:
    """None for what is no file of a sensible size."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST:
        return None if not os.path.lexists(path) else "\0"
    return _plain(path.read_bytes().decode("utf-8", "replace"))


def _plain(text: str | None) -> str | None:
    return None if text is None else text.replace("\r\n", "\n")
