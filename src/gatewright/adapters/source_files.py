"""Tables as teams have them: CSV of any kind, Parquet, JSON Lines, Excel, a database.

Texts stay texts: nothing is guessed while reading but where cells begin and end. CSV and JSON are
read by DuckDB, Excel by calamine; databases by `databases`. All of it is in the extra `adopt`.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gatewright.adapters.databases import name_of, read_database, without_password
from gatewright.adapters.memory import available
from gatewright.errors import Misuse, Refused, Undecided

if TYPE_CHECKING:
    import pyarrow as pa

_DATABASE = re.compile(r"^[a-z0-9]+(\+[a-z0-9]+)?://")
_OF_FSSPEC = (
    "http",
    "https",
    "s3",
    "gs",
    "gcs",
    "az",
    "abfs",
    "ssh",
    "sftp",
    "ftp",
    "file",
    "memory",
)
MOST_COLUMNS = 10_000
TIMES = 3  # as much memory as a text has bytes, while it is read
_HEAD = 65_536
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e\ufeff]")


class NoRows(Refused):
    """A table that has names of columns and no rows."""


@dataclass(frozen=True)
class SourceTable:
    """A table, n rows, and what was noticed about the file that it came from."""

    table: pa.Table
    notes: tuple[str, ...] = ()


def read_source(
    place: str, query: str | None = None, values: Mapping[str, Any] = MappingProxyType({})
) -> SourceTable:
    """The table of a file, a URL or a database.

    `query` names the table of a database, or is a query of it, or a sheet of an Excel file;
    `values` are those of the query's parameters, like `:since`.
    Raises Misuse for what is not there, Refused for what is no table, and Undecided if a package
    is missing that reads it.
    """
    scheme = place.partition("://")[0] if _DATABASE.match(place) else ""
    try:
        if scheme and scheme not in _OF_FSSPEC:
            found = SourceTable(read_database(place, query, values))
        elif scheme:
            with _fetched(place) as path:
                found = _file(path, query)
        else:
            found = _file(Path(place), query)
    except ImportError as error:
        extras = "adopt,postgres" if error.name == "psycopg" else "adopt"
        raise Undecided(
            f"What reads {without_password(place)} is not installed ({error.name}). Run `uv add "
            f"--dev 'gatewright[{extras}]'`, for another database its driver too, and again."
        ) from error
    except MemoryError as error:
        raise Refused(
            f"{without_password(place)} does not fit into the memory of this machine. Take some of "
            "its rows."
        ) from error
    return _named(found)


def stem_of(place: str) -> str:
    """A name for what is read from a place, of letters, digits and hyphens."""
    stem = re.sub(r"[^a-z0-9]+", "-", name_of(place).partition(".")[0].lower()).strip("-")
    return stem or "table"


@contextmanager
def _fetched(place: str) -> Iterator[Path]:
    import fsspec  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / name_of(place)
        try:
            filesystem, path = fsspec.url_to_fs(place)
            filesystem.get(path, str(target))
        except (OSError, ValueError) as error:
            shown = without_password(place)
            words = str(error).replace(place, shown)
            raise Misuse(f"{shown} could not be read ({words}).") from None
        yield target


def _file(path: Path, query: str | None) -> SourceTable:
    if not path.exists():
        raise Misuse(f"{path} is not there.")
    if not path.is_file():
        raise Misuse(f"{path} is no file.")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip():
        raise Refused(f"{path} is empty, so there is nothing to learn. Name a file with rows.")
    if head.startswith(b"PAR1"):
        return _parquet(path)
    if head.startswith(b"SQLite format 3\0"):
        return SourceTable(read_database(f"sqlite:///{path.resolve()}", query, {}))
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return _workbook(path, query)
    if head.startswith(b"\x1f\x8b"):
        return _unpacked(path, query)
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Refused(
            f"{path} is no table: it is neither text (CSV, JSON Lines) nor Parquet, Excel or "
            "SQLite. Export it as one of these."
        )
    if TIMES * path.stat().st_size > available():
        raise Refused(_too_large(path))
    with _as_utf8(path, head) as (text, notes):
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        table = _json(text) if start in (b"{", b"[") else _csv(text, path)
    return SourceTable(table, notes)


def _unpacked(path: Path, query: str | None) -> SourceTable:
    import gzip
    import shutil

    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / path.name.removesuffix(".gz")
        try:
            with gzip.open(path) as source, inside.open("wb") as target:
                shutil.copyfileobj(source, target)
        except (OSError, EOFError) as error:
            raise Refused(f"{path} cannot be unpacked ({error}). Get it again.") from error
        return _file(inside, query)


@contextmanager
def _as_utf8(path: Path, head: bytes) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The path of the same text in UTF-8, and what is to be told of it."""
    try:
        # A letter may be cut at the end of the head.
        head.decode("utf-8", errors="strict" if len(head) < _HEAD else "ignore")
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 24):
                pass
        yield path, ()
        return
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    with path.open("rb") as file:
        sample = file.read(1 << 20)
    best = from_bytes(sample).best()
    encoding = best.encoding if best else "cp1252"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / path.name
        try:
            with path.open(encoding=encoding) as source, target.open("w", encoding="utf-8") as copy:
                while block := source.read(1 << 24):
                    copy.write(block)
        except UnicodeDecodeError as error:
            raise Refused(
                f"{path} is text in no encoding that could be found (it looked like {encoding}). "
                "Save it as UTF-8."
            ) from error
        yield target, (f"read as {encoding}",)


def _csv(path: Path, told: Path) -> pa.Table:
    import duckdb

    sign = _separator(path, told)
    with _connection() as connection:
        try:
            relation = connection.sql(
                "SELECT * FROM read_csv(?, delim = ?, quote = '\"', escape = '\"', header = true,"
                " all_varchar = true, max_line_size = 10000000)",
                params=[str(path), sign],
            )
            if len(relation.columns) > MOST_COLUMNS:
                raise Refused(
                    f"{told} has {len(relation.columns):,} columns; at most {MOST_COLUMNS:,} are "
                    "read. A table this wide is usually one that lies on its side: turn it."
                )
            table: pa.Table = relation.to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise Refused(_too_large(told)) from error
        except duckdb.Error as error:
            raise Refused(
                f"{told} is no table that can be read ({_first_line(error)}). Each line needs the "
                "same number of cells, and the first one their names."
            ) from error
    return table


def _separator(path: Path, told: Path) -> str:
    """The sign between cells: one that gives nearly each of the first lines as many cells.

    Raises Refused for prose, whose lines have no number of cells in common.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(_HEAD)
    lines = head.splitlines()[:200]
    if len(head) == _HEAD and len(lines) == 1:
        columns = max(head.count(sign) for sign in ",;\t|")
        raise Refused(
            f"The first line of {told} is longer than {_HEAD:,} letters (some {columns:,} columns "
            f"and more). At most {MOST_COLUMNS:,} columns are read: a table this wide usually lies "
            "on its side: turn it."
        )
    if len(lines) < 2:
        raise Refused(f"{told} has one line, so it is no table: that line names the columns.")
    for sign in (",", ";", "\t", "|"):
        try:
            widths = [len(row) for row in csv.reader(lines[:-1] or lines, delimiter=sign) if row]
        except csv.Error:
            continue
        if widths and widths[0] > 1 and widths.count(widths[0]) >= 0.8 * len(widths):
            return sign
    words = sum(len(line.split()) for line in lines) / len(lines)
    if words < 3:
        return ","  # one column
    raise Refused(
        f"{told} looks like prose, or like a table inside of it: its lines have no number of cells "
        "in common. Leave a file with the table alone, its first line the names of the columns."
    )


def _json(path: Path) -> pa.Table:
    import duckdb

    with _connection() as connection:
        try:
            table: pa.Table = connection.sql(
                "SELECT * FROM read_json(?)",
                params=[str(path)],
            ).to_arrow_table()
        except duckdb.Error as error:
            raise Refused(
                f"{path.name} is no table in JSON ({_first_line(error)}). Write one object a line, "
                "all with the same names."
            ) from error
    return table


@contextmanager
def _connection() -> Iterator[Any]:
    """DuckDB in memory, without the network and without what others installed for it."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "memory_limit": f"{int(available() * 0.6) >> 20}MiB",
                "temp_directory": folder,
                "preserve_insertion_order": True,
            }
        )
        try:
            yield connection
        finally:
            connection.close()


def _too_large(path: Path) -> str:
    size, there = path.stat().st_size / 1e9, available() / 1e9
    return (
        f"{path} has {size:.1f} GB, which takes about {TIMES * size:.1f} GB of memory, and "
        f"{there:.1f} GB may be used. Take some of its rows (`shuf -n 1000000`, below the line of "
        "names), or a larger machine."
    )


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[0].split())[:200]


def _parquet(path: Path) -> SourceTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gatewright.adapters.tables import refuse_larger_than_memory

    try:
        refuse_larger_than_memory(path)
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise Refused(f"{path} is no readable Parquet file ({_first_line(error)}).") from error
    index = [n for n in table.column_names if re.fullmatch(r"__index_level_\d+__", n)]
    return SourceTable(table.drop_columns(index) if index else table)


def _workbook(path: Path, sheet: str | None) -> SourceTable:
    import pyarrow as pa
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
        if sheet is not None and sheet not in names:
            raise Misuse(f"{path} has no sheet '{sheet}'. There are: {', '.join(names)}.")
        wanted = sheet or names[0]
        rows = book.get_sheet_by_name(wanted).to_python(skip_empty_area=True)
    except CalamineError as error:
        raise Refused(
            f"{path} is no workbook that can be read ({_first_line(error)}). Export the sheet as "
            "CSV."
        ) from error
    if len(rows) < 2:
        raise Refused(f"The sheet '{wanted}' of {path} has no rows below its names.")
    header, *body = rows
    width = max(len(header), *(len(row) for row in body))
    header = [*header, *[""] * (width - len(header))]
    columns = [_cells([row[at] if at < len(row) else "" for row in body]) for at in range(width)]
    notes = (f"sheet '{wanted}' of {len(names)}",) if len(names) > 1 else ()
    return SourceTable(pa.table(columns, names=[str(name) for name in header]), notes)


def _cells(values: list[Any]) -> pa.Array:
    """One column of a sheet: of one type, or of texts."""
    import datetime

    import pyarrow as pa

    known = [value for value in values if value != ""]
    plain = [None if value == "" else value for value in values]
    kinds = {type(value) for value in known}
    if kinds and kinds <= {int, float}:
        return pa.array(plain, pa.float64())
    if kinds == {bool}:
        return pa.array(plain, pa.bool_())
    if kinds and kinds <= {datetime.date, datetime.datetime}:
        whole = [
            value
            if value is None or isinstance(value, datetime.datetime)
            else datetime.datetime(value.year, value.month, value.day)
            for value in plain
        ]
        return pa.array(whole, pa.timestamp("us"))
    return pa.array([None if value is None else _as_text(value) for value in plain], pa.string())


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _named(found: SourceTable) -> SourceTable:
    """The table with names that are there, that differ, and that hide nothing."""
    names: list[str] = []
    changed = []
    for at, name in enumerate(found.table.column_names, 1):
        clean = " ".join(_CONTROL.sub(" ", str(name)).split()) or f"column_{at}"
        unique, number = clean, 1
        while unique in names:
            number += 1
            unique = f"{clean}_{number}"
        if unique != name:
            changed.append(f"column {at} is called '{unique}'")
        names.append(unique)
    if not found.table.num_rows:
        raise NoRows("The table has names of columns and no rows, so there is nothing in it.")
    notes = (
        *found.notes,
        *changed[:5],
        *([f"{len(changed) - 5} more"] if len(changed) > 5 else []),
    )
    return SourceTable(found.table.rename_columns(names), notes)
