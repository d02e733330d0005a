"""The files of a checkout as DVC would digest them, read as plain data: DVC opens nothing here."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from gatewright.adapters.dvc import Ignored, ignored_by
from gatewright.adapters.files import digest, read_text
from gatewright.errors import Refused

IGNORE = ".dvcignore"


class WorkTree:
    """The checkout in `root`, perhaps of somebody who is not trusted. Paths are seen from there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digests: dict[str, str | None] = {}

    def text(self, path: str) -> str:
        """A text of the project. Raises Refused for a link, which could lead anywhere."""
        full = self.root / path
        if full.resolve() != self.root.resolve() / path:
            raise Refused(f"{path} is, or lies in, a symbolic link. Put the file itself there.")
        return read_text(full)

    def digest(self, path: str) -> str | None:
        """The md5 of a file; of a folder, that of the list of its files, as DVC makes it.

        None for what is not there.
        """
        if path not in self._digests:
            self._digests[path] = self._digest(path)
        return self._digests[path]

    def hidden(self, path: str) -> bool:
        """Whether .dvcignore keeps a file from DVC."""
        return self._ignored(path, False)

    def hidden_in(self, path: str) -> list[str]:
        """The files and folders below a folder that .dvcignore keeps from DVC."""
        found = []
        for place, folders, files in os.walk(self.root / path):
            at = PurePosixPath(os.path.relpath(place, self.root))
            blind = [name for name in folders if self._ignored(str(at / name), True)]
            folders[:] = [name for name in folders if name not in blind]
            found += [str(at / name) for name in blind]
            found += [str(at / name) for name in files if self.hidden(str(at / name))]
        return found

    def dvc_files(self) -> Iterator[str]:
        """Every .dvc file. Raises Refused for a pipeline below the root."""
        for folder, folders, files in self._walk(""):
            if folder and ".dvc" in os.listdir(self.root / folder):
                folders.clear()  # a project of its own
                continue
            for name in files:
                path = str(PurePosixPath(folder, name))
                if name == "dvc.yaml" and folder:
                    raise Refused(
                        f"{path}: one pipeline is judged, that of the project's root. Move its "
                        "stages into dvc.yaml there, or name it in .dvcignore."
                    )
                if name.endswith(".dvc"):
                    yield path

    @cached_property
    def _ignored(self) -> Ignored:
        there = os.path.lexists(self.root / IGNORE)
        return ignored_by(self.text(IGNORE) if there else "")

    def _digest(self, path: str) -> str | None:
        full = self.root / path
        if not os.path.exists(full):
            return None
        if not full.is_dir():
            return self._of_file(path)
        listed = [
            {"md5": self._of_file(file), "relpath": os.path.relpath(file, path)}
            for file in self._files(path)
        ]
        text = json.dumps(sorted(listed, key=lambda entry: entry["relpath"]), sort_keys=True)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"

    def _of_file(self, path: str) -> str:
        full = self.root / path
        # A pipe or a device would never end.
        if not os.path.exists(full) or not stat.S_ISREG(full.stat().st_mode):
            raise Refused(f"{path} is no file (a pipe, a device). Remove it, and run again.")
        return digest(full, "md5")

    def _files(self, path: str) -> Iterator[str]:
        """The files of a folder that DVC sees."""
        for folder, folders, files in self._walk(path):
            inside = {*files, *os.listdir(self.root / folder)}
            if blind := inside & {IGNORE, ".dvc"}:
                raise Refused(
                    f"{folder}/{min(blind)} would keep DVC from seeing what lies beside it. Remove "
                    "it."
                )
            for name in folders:
                if os.path.islink(self.root / folder / name):
                    raise Refused(
                        f"{folder}/{name} is a link to a folder, into which DVC does not look. Put "
                        "the files themselves there."
                    )
            yield from (str(PurePosixPath(folder, name)) for name in files)

    def _walk(self, path: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """As os.walk, without what .dvcignore hides."""
        for place, folders, files in os.walk(self.root / path):
            folder = os.path.relpath(place, self.root)
            folder = "" if folder == "." else folder
            at = PurePosixPath(folder)
            folders[:] = sorted(f for f in folders if not self._ignored(str(at / f), True))
            yield folder, folders, sorted(f for f in files if not self._ignored(str(at / f), False))
