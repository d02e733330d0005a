"""Data in Git is found by what a file holds, whatever it is called, and nothing else is."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest
from parcels import Project, make_rows

from gatewright.security.data_files import holds

ROWS = make_rows(300)
CSV = ROWS.to_csv(index=False)


def parquet() -> bytes:
    file = io.BytesIO()
    ROWS.to_parquet(file)
    return file.getvalue()


def feather() -> bytes:
    file = io.BytesIO()
    ROWS.to_feather(file)
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(9))
    return file.getvalue()


def packed(name: str, content: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "db") as connection:
        ROWS.to_sql("t", connection)
    connection.close()
    return (folder / "db").read_bytes()


DATA = {
    "Parquet": parquet(),
    "Arrow": feather(),
    "a NumPy array": array(),
    "an Excel workbook": packed("xl/workbook.xml", ""),
    "an archive of data": packed("deep/rows.csv", CSV),
    "a table in text": CSV.encode(),
    "JSON Lines": "\n".join(json.dumps({"a": n}) for n in range(200)).encode(),
}
MORE = {
    "tabs": ("a table in text", CSV.replace(",", "\t").encode()),
    "gzip": ("a table in text", gzip.compress(CSV.encode())),
    "a gzipped Parquet": ("Parquet", gzip.compress(parquet())),
}
NONE = {
    "prose": b"Some words, and more of them.\n" * 50 + b"One line, of, other, shape\n" * 50,
    "a short table": CSV[:500].encode(),
    "nothing": b"",
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0",
    "a wheel": packed("x.dist-info/METADATA", ""),
    "a broken archive": b"PK\x03\x04",
    "requirements": b"".join(b"package-%d==1.0 --hash=sha256:ab\n" % n for n in range(300)),
    "keys": b"".join(b"key%d: value\n" % n for n in range(300)),
}


@pytest.mark.parametrize(
    ("kind", "content"), [*DATA.items(), *MORE.values()], ids=[*DATA.keys(), *MORE.keys()]
)
def test_data_is_known_by_what_it_holds(kind: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(content)
    assert list(holds(tmp_path / "notes")) == [kind]


def test_a_database_is_known(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(database(tmp_path))
    assert list(holds(tmp_path / "notes")) == ["a SQLite database"]


@pytest.mark.parametrize("content", NONE.values(), ids=NONE.keys())
def test_nothing_else_is_taken_for_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(content)
    assert list(holds(tmp_path / "notes")) == []


def test_the_library_holds_none() -> None:
    source = Path(__file__).parents[2] / "src"
    files = [
        path for path in source.rglob("*") if path.is_file() and "__pycache__" not in str(path)
    ]
    assert [path for path in files if list(holds(path))] == []


def test_what_git_tracks_is_scanned_and_told_by_doctor(trained: Project) -> None:
    (trained.root / "security").mkdir()
    (trained.root / "security/waivers.yaml").write_text("waivers: []\n")
    assert trained.mlops("scan", "data").status == 0
    (trained.root / "notes.txt").write_text(CSV)
    assert trained.mlops("scan", "data").status == 0, "Git does not have it yet"
    trained.git("add", "--force", "notes.txt")
    said = trained.mlops("scan", "data", expect=1).out
    assert "data a table in text in notes.txt" in said
    rows = {row["subject"]: row for row in trained.ask("doctor", expect=1)}
    assert rows["data in Git"]["state"] == "bad"
    assert "notes.txt is a table in text" in rows["data in Git"]["words"]
    (trained.root / "notes.txt").write_text("Only words\n")
    rows = {row["subject"]: row for row in trained.ask("doctor", expect=1)}
    assert rows["data in Git"]["state"] == "good"
