"""A large file is read column by column, and the table is the same."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from parcels import make_rows

from gatewright.adapters import tables
from gatewright.adapters.tables import read_parquet
from gatewright.errors import Refused

ROWS = make_rows(50).astype({"shop": "category", "height": "float32"})
FILES = {
    "plain": ROWS,
    "rows left out": ROWS.iloc[10:30],
    "a named index": ROWS.set_index("number"),
    "no rows": ROWS.head(0),
}


@pytest.mark.parametrize("rows", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("columns", [None, ["weight", "sent"]], ids=["all", "two columns"])
def test_a_large_file_gives_the_table_that_pandas_reads(
    rows: pd.DataFrame, columns: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    expected = pd.read_parquet(tmp_path / "rows.parquet", columns=columns)
    monkeypatch.setattr(tables, "_LARGE", 0)
    found = read_parquet(tmp_path / "rows.parquet", columns)
    pd.testing.assert_frame_equal(found, expected)


def test_columns_that_a_large_file_lacks_are_refused_as_in_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ROWS.to_parquet(tmp_path / "rows.parquet")
    for large in (10_000_000, 0):
        monkeypatch.setattr(tables, "_LARGE", large)
        with pytest.raises(Refused, match="no readable Parquet file"):
            read_parquet(tmp_path / "rows.parquet", ["none such"])
