"""Columns are judged by the types that they have: nothing is made into what the contract wants."""

from __future__ import annotations

import datetime
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from parcels import CONTRACT, Project, make_rows

from gatewright.adapters.tables import read_parquet
from gatewright.contract.schema import parse_contract
from gatewright.contract.validation import Reason, violations
from gatewright.errors import Refused
from gatewright.evaluation.predictions import request_rows

N = 50
contract = parse_contract(
    CONTRACT
    + "  seats: {type: integer, description: Seats, nullable: true, feature: false}\n"
    + "  fragile: {type: boolean, description: Fragile, nullable: true, feature: false}\n"
)
DAY = datetime.datetime(2026, 1, 1)


def written(folder: Path, **columns: Any) -> pd.DataFrame:
    """Good rows with some other columns, by the way of a Parquet file."""
    rows = make_rows(N).assign(**{"seats": np.arange(N), "fragile": True, **columns})
    rows.to_parquet(folder / "a.parquet")
    return read_parquet(folder / "a.parquet")


WRONG: dict[str, tuple[str, Any, str]] = {
    "14.5 as an integer": ("number", np.arange(N) + 0.5, "holds float64, where integer is wanted"),
    "numbers as text": ("number", [str(i) for i in range(N)], "holds text, where integer"),
    "text as a number": ("height", ["1.5"] * N, "holds text, where number"),
    "decimals": ("height", [Decimal("1.50")] * N, "holds decimal, where number"),
    "truths as numbers": ("height", [True] * N, "holds bool, where number"),
    "numbers as truths": ("broken", [0, 1] * (N // 2), "holds int64, where boolean"),
    "numbers as text of a category": ("shop", [1] * N, "holds int64, where string"),
    "a struct": ("shop", [{"a": 1}] * N, "holds struct, where string"),
    "a list": ("shop", [["north"]] * N, "holds list, where string"),
    "bytes": ("shop", [b"north"] * N, "holds bytes, where string"),
    "a time zone": ("sent", pd.date_range(DAY, periods=N, tz="UTC"), "UTC], where datetime"),
    "a date": ("sent", [DAY.date()] * N, "holds date, where datetime"),
    "text as a time": ("sent", ["2026-01-01"] * N, "holds text, where datetime"),
    "an integer as a time": ("sent", np.arange(N), "holds int64, where datetime"),
    "a time as an integer": ("number", pd.date_range(DAY, periods=N), "where integer"),
    "integers beyond 64 bits": ("number", np.full(N, 2**63, np.uint64), "holds uint64"),
    "floats beyond what is exact": ("number", np.arange(N) + 2.0**60, "holds float64"),
    "a category of numbers": ("shop", pd.Categorical([7, 8] * (N // 2)), "where string"),
}


@pytest.mark.parametrize(("name", "values", "words"), WRONG.values(), ids=WRONG.keys())
def test_another_type_is_told_with_what_mends_it(
    name: str, values: Any, words: str, tmp_path: Path
) -> None:
    found = violations(contract, written(tmp_path, **{name: values}))
    hit = found[(found["column"] == name) & (found["reason"] == Reason.WRONG_TYPE)]
    assert len(hit) == 1, found.to_string()
    assert words in hit["fault"].iloc[0]
    assert "; write it as " in hit["fault"].iloc[0]
    assert hit["rows"].iloc[0] == N
    assert set(found["column"]) == {name}, "nothing else is said of it"


NUMBERS = make_rows(N)["height"]
RIGHT: dict[str, tuple[str, Any]] = {
    "whole numbers as floats, as where some are missing": ("seats", [1.0, None] * (N // 2)),
    "small integers": ("number", np.arange(N, dtype=np.int16)),
    "pandas' integers with room for missing ones": ("seats", pd.array([1, None] * 25, "Int64")),
    "pandas' floats with room for missing ones": (
        "weight",
        pd.array([None, *range(1, 9)] * 5 + [1] * 5, "Float64"),
    ),
    "pandas' truths with room for missing ones": (
        "fragile",
        pd.array([True, None] * (N // 2), "boolean"),
    ),
    "truths of which some are missing": ("fragile", [True, None] * (N // 2)),
    "integers as a number": ("height", np.arange(N) % 9),
    "floats of 32 bits": ("height", NUMBERS.astype("float32")),
    "a category": ("shop", pd.Categorical(["north", "south"] * (N // 2))),
    "text of pandas' older type": ("shop", pd.array(["north"] * N, "string")),
    "times in seconds": ("sent", pd.date_range(DAY, periods=N, unit="s")),
    "times in nanoseconds": ("sent", pd.date_range(DAY, periods=N, unit="ns")),
    "nothing at all, of no type": ("seats", [None] * N),
}


@pytest.mark.parametrize(("name", "values"), RIGHT.values(), ids=RIGHT.keys())
def test_what_is_honestly_of_the_type_is_no_fault(name: str, values: Any, tmp_path: Path) -> None:
    rows = written(tmp_path, **{name: values})
    assert violations(contract, rows).empty, violations(contract, rows).to_string()
    own = {"str", "category", "object"}
    assert all(isinstance(d, np.dtype) or str(d) in own for d in rows.dtypes), rows.dtypes


def test_numbers_without_end_are_refused(tmp_path: Path) -> None:
    open_ended = contract.model_copy(
        update={
            "columns": contract.columns
            | {"height": contract.columns["height"].model_copy(update={"max": float("inf")})}
        }
    )
    rows = written(tmp_path, height=[np.inf, 1.0] * (N // 2))
    (fault,) = violations(open_ended, rows).to_dict("records")
    assert (fault["reason"], fault["rows"]) == (Reason.INFINITE, N // 2)


@pytest.mark.parametrize("seats", [[1, 2], [1, None], [None, None]])
def test_a_request_s_whole_numbers_are_as_in_a_table(
    seats: list[int | None], tmp_path: Path
) -> None:
    """Not all models take pandas' own missing value, and a table has none."""
    asked = request_rows([{"seats": value} for value in seats], contract, ["seats"])
    kinds = pd.array(seats, "Int64")
    pd.DataFrame({"seats": kinds}).to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(asked, read_parquet(tmp_path / "a.parquet"))


def test_a_missing_truth_is_missing_and_not_false(tmp_path: Path) -> None:
    rows = written(tmp_path, broken=[True, None] * (N // 2))
    (fault,) = violations(contract, rows).to_dict("records")
    assert (fault["column"], fault["reason"]) == ("broken", Reason.MISSING_VALUE)


def test_the_pipeline_says_which_file_and_what_mends_it(trained: Project) -> None:
    rows = make_rows(10, 9000)
    rows["number"] += 0.5
    rows.to_parquet(trained.root / "data/raw/2026-03.parquet")
    said = trained.mlops("check", expect=1).err
    assert "2026-03.parquet" in said
    assert "it holds float64, where integer is wanted; write it as int64" in said
    (trained.root / "data/raw/2026-03.parquet").unlink()
    rows.assign(number=[[i] for i in range(10)]).to_parquet(trained.root.parent / "b.parquet")
    said = trained.mlops("ingest", "../b.parquet", expect=1).err
    assert "holds list, where integer is wanted" in said


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": bind,
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: path.touch(),
}


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL.keys())
def test_what_is_no_file_in_the_raw_data_is_refused(
    make: Callable[[Path], object], trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.root / "data/raw")  # a socket's path may not be long
    make(Path("x.parquet"))
    said = trained.mlops("check", expect=1)
    assert "data/raw/x.parquet is no" in said.err or "a link that leads nowhere" in said.err


@pytest.mark.parametrize("words", [["run"], ["prove"], ["push"], ["ingest", "../b.parquet"]])
def test_a_pipe_in_the_raw_data_hangs_nothing(words: list[str], trained: Project) -> None:
    """DVC would read it for ever."""
    make_rows(3, 9000).to_parquet(trained.root.parent / "b.parquet")
    os.mkfifo(trained.root / "data/raw/x")
    before = (trained.root / "dvc.lock").read_bytes()
    assert "data/raw/x is no file (a pipe, a device)" in trained.mlops(*words, expect=1).err
    assert (trained.root / "dvc.lock").read_bytes() == before


WHOLE = make_rows(40)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "a.parquet"
    WHOLE.to_parquet(path)
    return path


@seed(0)
@settings(max_examples=600, deadline=None, database=None, derandomize=True)
@given(
    at=st.floats(0, 1),
    change=st.binary(min_size=1, max_size=8),
    keep=st.floats(0, 1) | st.just(1.0),
)
def test_a_broken_parquet_file_is_a_sentence(
    parquet: Path, at: float, change: bytes, keep: float
) -> None:
    content = bytearray(parquet.read_bytes())
    place = int(at * (len(content) - len(change)))
    content[place : place + len(change)] = change
    broken = parquet.with_name("b.parquet")
    broken.write_bytes(content[: int(len(content) * keep)])
    with suppress(Refused):
        violations(parse_contract(CONTRACT), read_parquet(broken))


CELLS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)),
    *(st.binary(max_size=3), st.dates(), st.datetimes(), st.decimals(-99, 99, places=2)),
    *(st.times(), st.timedeltas(), st.lists(st.integers(0, 9), max_size=2)),
    st.datetimes(timezones=st.just(datetime.UTC)),
)


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(name=st.sampled_from(list(WHOLE.columns)), cell=CELLS, other=CELLS | st.none())
def test_any_column_is_kept_or_told(parquet: Path, name: str, cell: Any, other: Any) -> None:
    """A column of two values that somebody might write; what Parquet cannot hold is not asked."""
    values = pa.array([cell] * 20 + [other] * 20) if _same(cell, other) else None
    if values is None:
        return
    table = pa.Table.from_pandas(WHOLE, preserve_index=False)
    table = table.set_column(table.column_names.index(name), name, values)
    path = parquet.with_name("c.parquet")
    pa.parquet.write_table(table, path)
    try:
        found = violations(parse_contract(CONTRACT), read_parquet(path))
    except Refused:  # bytes that are said to be text
        return
    assert set(found["reason"]) <= set(Reason) - {Reason.NOT_CHECKED}, found.to_string()


def _same(cell: Any, other: Any) -> bool:
    try:
        pa.array([cell, other])
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return False
    return True


def test_a_file_that_is_not_read_is_not_left_out_without_a_word(trained: Project) -> None:
    (trained.root / "data/raw/more.csv").write_text("number\n1\n")
    said = trained.mlops("check", expect=1).err
    assert "holds more.csv, and only Parquet files are read there" in said
    assert "mlops ingest FILE" in said
