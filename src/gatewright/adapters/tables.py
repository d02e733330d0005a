"""Parquet files, opened only if what they unpack to fits into this machine.

Columns are of numpy's types, or text: what pandas notes in a file of its own types with room for
missing values (Int64, Float64, boolean) is not followed, because not all models can take them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.adapters.memory import available
from gatewright.errors import Refused

if TYPE_CHECKING:
    import pandas as pd

_LARGE = 10_000_000  # values
_CELL = 8  # bytes of a number; a column that repeats one value takes none in the file


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table of a Parquet file.

    Raises Refused for a file that is none, and for one that would not fit into memory, which is
    reckoned before anything is unpacked.
    """
    import pandas as pd

    if not path.is_file():
        raise Refused(
            f"{path} is no file, so it is not read. Put a Parquet file there, or run `uv run mlops "
            "run`."
        )
    try:
        refuse_larger_than_memory(path)
        if (names := _by_column(path)) is None:
            rows = pd.read_parquet(path, columns=columns, pre_buffer=False)
        else:
            wanted = names if columns is None else columns
            parts = [pd.read_parquet(path, columns=[name], pre_buffer=False) for name in wanted]
            rows = pd.concat(parts, axis=1)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # whatever pyarrow and pandas stumble over in a broken file
        words = " ".join(str(error).split())[:300]
        raise Refused(
            f"{path} is no readable Parquet file ({words}). Restore it, or run `uv run mlops run`."
        ) from error
    return _plain(rows)


def column_names(path: Path) -> list[str]:
    """The names of a Parquet file's columns. Raises Refused for a file that is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise Refused(f"{path} is no readable Parquet file. Restore it.") from error


def refuse_larger_than_memory(path: Path) -> None:
    """Refuse a Parquet file that unpacks to more than this machine has; nothing is unpacked."""
    there = available()
    if (needed := _unpacked(path, there)) > there:
        raise Refused(
            f"{path} unpacks to at least {needed / 1e9:,.0f} GB, and this machine has "
            f"{there / 1e9:,.0f} GB. It is not opened. If it is meant, use a larger machine."
        )


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """The table without pandas' own types for missing values; a truth that is missing is None."""
    import numpy as np
    from pandas.api.extensions import ExtensionDtype

    for at, dtype in enumerate(rows.dtypes):
        if not isinstance(dtype, ExtensionDtype) or str(dtype) == "str":
            continue
        values = rows.iloc[:, at]
        gaps = bool(values.isna().any())
        if dtype.kind == "f" or (dtype.kind in "iu" and gaps):
            rows.isetitem(at, values.to_numpy(dtype=float, na_value=np.nan))
        elif dtype.kind in "iu":
            rows.isetitem(at, values.to_numpy(dtype=f"{dtype.kind}8"))
        elif dtype.kind == "b":
            rows.isetitem(at, values.to_numpy(dtype=object if gaps else bool, na_value=None))
        elif str(dtype).startswith(("string", "large_string")):
            rows.isetitem(at, values.astype("str"))
    return rows


def _by_column(path: Path) -> list[str] | None:
    """The columns of a file that is better read column by column.

    A large file read at once takes twice the memory of the table, which is not given back. None
    for one of less than _LARGE values, or that has an index or repeats a name.
    """
    import pyarrow.parquet as pq

    about = pq.read_metadata(path)
    schema = about.schema.to_arrow_schema()
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    if about.num_rows * about.num_columns < _LARGE or len({*schema.names}) < len(schema.names):
        return None
    return None if any(isinstance(column, str) for column in index) else list(schema.names)


def _unpacked(path: Path, there: int) -> int:
    """The bytes of all values, by the metadata; texts are added up if that could be too much.

    A dictionary holds a text once, however often the column repeats it. Texts within lists and
    structures, which no contract knows, are reckoned as if each were the longest.
    """
    import pyarrow.parquet as pq

    told = pq.read_metadata(path)
    groups = [told.row_group(number) for number in range(told.num_row_groups)]
    leaves = [told.schema.column(number) for number in range(told.num_columns)]
    columns = told.schema.to_arrow_schema().names
    known = Counter([*columns, *(leaf.path for leaf in leaves)])
    flat, needed, packed, longest = [], 0, 0, 0
    for number, leaf in enumerate(leaves):
        chunks = [group.column(number) for group in groups]
        values = sum(chunk.num_values for chunk in chunks)
        packed += sum(chunk.total_uncompressed_size for chunk in chunks)
        needed += values * max(leaf.length, _CELL)
        if leaf.physical_type == "BYTE_ARRAY":
            most = sum(chunk.num_values * chunk.total_uncompressed_size for chunk in chunks)
            if leaf.path in columns and known[leaf.path] == 2:  # as column and as leaf
                longest += most
                flat.append(leaf.path)
            else:
                needed += most
    needed = max(needed, packed)
    return needed + _texts(path, flat) if needed <= there < needed + longest else needed


def _texts(path: Path, columns: list[str]) -> int:
    """The bytes of the texts of some columns, each as often as it stands there."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    total = 0
    file = pq.ParquetFile(path, read_dictionary=columns)
    for batch in file.iter_batches(columns=columns):
        for column in batch.columns:
            lengths = pc.binary_length(column.dictionary).cast("int64")
            total += pc.sum(lengths.take(column.indices)).as_py() or 0
    return total
