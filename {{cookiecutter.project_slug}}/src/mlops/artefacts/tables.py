"""Parquet files, opened only if what they unpack to fits into this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import Refused

if TYPE_CHECKING:
    import pandas as pd

_CELL = 8  # bytes of a number; a column that repeats one value takes none in the file


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table of a Parquet file.

    Raises Refused for a file that is none, and for one that would not fit into memory: its
    metadata says how many rows and bytes it unpacks to before anything is.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        told = pq.read_metadata(path)
        groups = [told.row_group(number) for number in range(told.num_row_groups)]
        packed = sum(group.total_byte_size for group in groups)
        needed = max(packed, told.num_rows * told.num_columns * _CELL)
        if needed > (there := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
            raise Refused(
                f"{path} unpacks to {told.num_rows:,} rows of {told.num_columns} columns, at least "
                f"{needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f} GB. It is not "
                "opened. If it is meant, use a larger machine."
            )
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError) as error:
        raise Refused(
            f"{path} is no readable Parquet file ({error}). Restore it, or run `uv run mlops run`."
        ) from None
