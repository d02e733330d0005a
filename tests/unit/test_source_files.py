"""Each kind of file that a team has gives the same table, and what is no table is refused."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gatewright.adapters.source_files import read_source
from gatewright.errors import Misuse, Refused

ROWS = pd.DataFrame(
    {
        "name": ["Ärger, groß", 'with "quotes"', "two\nlines", "plain"],
        "amount": [1.5, 2.25, -3.0, 1000.5],
        "count": [1, 2, 3, 4],
    }
)


def comma(path: Path) -> str:
    ROWS.to_csv(path, index=False)
    return str(path)


def semicolon(path: Path) -> str:
    ROWS.to_csv(path, index=False, sep=";", decimal=",")
    return str(path)


def tabs_of_windows(path: Path) -> str:
    ROWS.to_csv(path, index=False, sep="\t", encoding="cp1252", lineterminator="\r\n")
    return str(path)


def utf_16(path: Path) -> str:
    ROWS.to_csv(path, index=False, encoding="utf-16")
    return str(path)


def with_a_mark(path: Path) -> str:
    ROWS.to_csv(path, index=False, encoding="utf-8-sig")
    return str(path)


def packed(path: Path) -> str:
    path.write_bytes(gzip.compress(ROWS.to_csv(index=False).encode()))
    return str(path)


def parquet(path: Path) -> str:
    ROWS.to_parquet(path)
    return str(path)


def json_lines(path: Path) -> str:
    ROWS.to_json(path, orient="records", lines=True)
    return str(path)


def one_json(path: Path) -> str:
    ROWS.to_json(path, orient="records")
    return str(path)


def database(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        ROWS.to_sql("the table", connection, index=False)
    connection.close()
    return str(path)


def address(path: Path) -> str:
    return f"sqlite:///{database(path)}"


def url(path: Path) -> str:
    return f"file://{comma(path)}"


KINDS = [comma, semicolon, tabs_of_windows, utf_16, with_a_mark, packed, parquet, json_lines]
KINDS += [one_json, database, address, url]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_gives_the_same_table(kind: object, tmp_path: Path) -> None:
    found = read_source(kind(tmp_path / "table")).table.to_pandas()  # type: ignore[operator]
    assert list(found) == list(ROWS)
    assert found["name"].str.replace("\r\n", "\n").tolist() == ROWS["name"].tolist()
    written = found["amount"].astype(str).str.replace(",", ".")
    assert written.astype(float).tolist() == ROWS["amount"].tolist()


def test_a_sheet_of_a_workbook(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "first"
    book.active.append(["name", "when", "count", "mixed"])
    for at in range(3):
        book.active.append([f"n{at}", pd.Timestamp("2024-01-05"), at, "x" if at else 7])
    book.create_sheet("second").append(["nothing"])
    book.save(tmp_path / "book.xlsx")
    found = read_source(str(tmp_path / "book.xlsx"))
    rows = found.table.to_pandas()
    assert rows["count"].tolist() == [0, 1, 2]
    assert rows["when"].tolist() == [pd.Timestamp("2024-01-05")] * 3
    assert rows["mixed"].tolist() == ["7", "x", "x"]
    assert found.notes == ("sheet 'first' of 2",)
    with pytest.raises(Misuse, match="There are: first, second"):
        read_source(str(tmp_path / "book.xlsx"), "third")
    with pytest.raises(Refused, match="has no rows below its names"):
        read_source(str(tmp_path / "book.xlsx"), "second")


def test_names_are_there_differ_and_hide_nothing(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(
        "a,a,,\u202eevil,emoji \U0001f600,for\n" + "1,2,3,4,5,6\n" * 3, encoding="utf-8"
    )
    found = read_source(str(path))
    names = found.table.column_names
    assert len(set(names)) == 6
    assert names[0] == "a"
    assert names[4:] == ["emoji \U0001f600", "for"]
    assert not any("\u202e" in name for name in names)
    assert found.notes


def test_a_query_of_a_database(tmp_path: Path) -> None:
    path = database(tmp_path / "x.db")
    with sqlite3.connect(path) as connection:
        ROWS.to_sql("other", connection, index=False)
    with pytest.raises(Misuse, match="has 2 tables: name one"):
        read_source(path)
    assert read_source(path, "the table").table.num_rows == 4
    assert read_source(path, "SELECT count FROM other WHERE count > 2").table.num_rows == 2
    with pytest.raises(Refused, match="gave no table"):
        read_source(path, "SELECT nothing FROM nowhere")


PROSE = "It was a dark night. The wind, and the rain, fell in torrents.\nExcept at times\n" * 9
NONE = {
    "nothing": (b"", Refused, "is empty"),
    "one line": (b"a,b,c\n", Refused, "has one line"),
    "names alone": (b"a,b,c\n\n\n", Refused, "no rows"),
    "prose": (PROSE.encode(), Refused, "looks like prose"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", Refused, "is no table"),
    "half of a Parquet file": (b"PAR1\x15\x04", Refused, "no readable Parquet"),
    "a broken workbook": (b"PK\x03\x04nothing", Refused, "no workbook"),
    "a broken archive": (b"\x1f\x8bnothing", Refused, "cannot be unpacked"),
    "a broken database": (b"SQLite format 3\0" + bytes(90), Refused, "gave no table"),
    "broken JSON": (b'{"a": 1,\n{"b"', Refused, "no table in JSON"),
    "far too wide": (b",".join(b"c%d" % n for n in range(50_000)) + b"\n", Refused, "columns"),
}


@pytest.mark.parametrize(("content", "error", "words"), NONE.values(), ids=NONE.keys())
def test_what_is_no_table_is_refused(
    content: bytes, error: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(error, match=words):
        read_source(str(tmp_path / "file"))


def test_what_is_not_there(tmp_path: Path) -> None:
    for place, words in (
        (str(tmp_path / "none.csv"), "is not there"),
        (str(tmp_path), "is no file"),
        ("nonsense://user:secret@host/db", "no address of a database"),
        (f"file://{tmp_path}/none.csv", "could not be read"),
    ):
        with pytest.raises(Misuse, match=words) as refusal:
            read_source(place)
        assert "secret" not in str(refusal.value)


def test_a_line_with_other_cells_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a,b\n" + "1,2\n" * 50 + "1,2,3\n" + "1,2\n" * 50)
    with pytest.raises(Refused, match="Each line needs the same number of cells"):
        read_source(str(tmp_path / "file"))


def test_json_that_is_nested_keeps_its_plain_columns(tmp_path: Path) -> None:
    lines = [json.dumps({"a": n, "b": {"c": n}}) for n in range(5)]
    (tmp_path / "file").write_text("\n".join(lines))
    assert read_source(str(tmp_path / "file")).table.column_names == ["a", "b"]


def test_a_text_that_does_not_fit_is_not_opened(tmp_path: Path) -> None:
    """By a process that may have 1.5 GB, a file of 3 GB that takes no room on the disk."""
    path = tmp_path / "large.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 20_000)
    with path.open("r+b") as file:
        file.truncate(3_000_000_000)
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))\n"
        "from gatewright.adapters.source_files import read_source\n"
        "read_source(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "has 3.0 GB, which takes about 9.0 GB of memory, and 1.5 GB may be used" in done.stderr
