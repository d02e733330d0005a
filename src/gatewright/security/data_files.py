"""Data that lies in Git, where nobody can take it out again: known by what a file holds.

A name says nothing: a table may be called `notes`. Formats are known by their first bytes, tables
in text by lines that all have as many cells.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gatewright.adapters.git import Git
from gatewright.security.waivers import Found

HEAD = 65_536  # bytes that are looked at
LINES = 100  # of a table in text; shorter ones are examples, lists and settings
CELLS = 3
ALIKE = 0.95  # of the lines have as many cells
_MAGIC = (
    (b"PAR1", "Parquet"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"\x89HDF\r\n", "HDF5"),
    (b"ARROW1", "Arrow"),
    (b"FEA1", "Feather"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"<stata_dta>", "Stata"),
    (b"$FL2", "SPSS"),
)
_WRITTEN = (".py", ".md", ".yaml", ".yml", ".toml", ".lock", ".html", ".svg", ".css", ".js")


def data_files(root: Path) -> list[Found]:
    """The files that Git tracks, or would with the next commit, and that hold data."""
    names = Git(root)("ls-files", "-z", "--cached").split("\0")
    found = []
    for name in names:
        path = root / name
        if name and path.is_file() and not path.is_symlink():
            found += [Found("data", kind, name, _WORDS) for kind in holds(path)]
    return found


_WORDS = (
    "data in Git stays there for ever, for everybody who has the repository; `git rm --cached` it, "
    "and bring it in with `mlops ingest`"
)


def holds(path: Path) -> Iterator[str]:
    """What kind of data a file is, if it is any."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"\x1f\x8b"):
        head = _unpacked(path)
    if head.startswith(b"PK\x03\x04"):
        if kind := _archive(path):
            yield kind
        return
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            yield kind
            return
    if path.suffix not in _WRITTEN and b"\0" not in head and (kind := _text(head)):
        yield kind


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(HEAD)
    except (OSError, EOFError):
        return b""


def _archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return None
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook"
    inside = (".npy", ".csv", ".tsv", ".parquet", ".json", ".jsonl")
    is_wheel = any(".dist-info/" in name for name in names)
    return "an archive of data" if not is_wheel and any(n.endswith(inside) for n in names) else None


def _text(head: bytes) -> str | None:
    text = head.decode("utf-8", errors="replace")
    lines = text.splitlines()
    lines = lines[:-1] if len(head) == HEAD else lines
    if len(lines) < LINES:
        return None
    if sum(line.startswith("{") and line.rstrip().endswith("}") for line in lines) >= ALIKE * len(
        lines
    ):
        return "JSON Lines"
    for sign in ",;\t|":
        try:
            widths = [len(row) for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=sign)]
        except csv.Error:
            continue
        width, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if width >= CELLS and count >= ALIKE * len(widths):
            return "a table in text"
    return None
