"""Reading texts, writing files whole or not at all, and hashing them."""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from gatewright.errors import Refused

_LONGEST = 20_000_000  # bytes of any text that is read


def read_text(path: Path) -> str:
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= _LONGEST):
            raise OSError("no file of text")
        return path.read_text(encoding="utf-8")
    except PermissionError:
        raise  # it is there, and as it should be: neither Git nor the pipeline mends that
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"{path} cannot be read ({type(error).__name__}), and nothing is decided without it. "
            "Run `uv run mlops run`, or restore it with Git."
        ) from None


def refuse_special(folder: Path) -> None:
    """Raises Refused for what is neither file nor folder: a pipe would be read for ever.

    Also for a name that is no UTF-8, which neither DVC nor a report can write down.
    """
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if (name := str(path).encode(errors="replace").decode()) != str(path):
            raise Refused(f"The name of {name} is no UTF-8. Rename the file, and run again.")
        if not path.is_file() and not path.is_dir():
            link = path.is_symlink() and not path.exists()
            kind = "a link that leads nowhere" if link else "no file (a pipe, a device)"
            raise Refused(f"{path} is {kind}, so {folder} is not read. Remove it, and run again.")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the target and rename, so that a killed process leaves no half file.

    Raises OSError with the name of the file if the disk is full, or may not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The hex digest of a file, read in blocks. DVC names files by `md5`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except FileNotFoundError:
        raise Refused(f"{path} is missing. Run `uv run mlops run` to make it.") from None


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def replace_with(source: Path, target: Path) -> None:
    """Put a copy of a file or folder where something else may be."""
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
