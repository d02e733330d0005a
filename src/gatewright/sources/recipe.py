"""How a table that arrives becomes one that keeps the contract: sources.yaml.

It is written once, by `mlops adopt`, and then read for every batch, so that a yes stays a yes
and the fifth of June never becomes the sixth of May.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from gatewright.adapters.strict_yaml import line_of, parse_yaml
from gatewright.contract.schema import Strict, validated
from gatewright.sources.texts import MISSING, MISSING_NUMBER, NumberStyle, as_dates

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

NAME = "sources.yaml"
DIGEST = "digest of the row"
Part = Literal["weekday", "month", "hour", "digest of the row"]


class ColumnRecipe(Strict):
    """How one column is read.

    source: its name where it comes from. decimal, thousands, unit: how its numbers are written.
    format: of its dates, as `strptime` names it, or "ISO 8601". yes, no: the values that stand for
    true and false. missing: values that say that nothing is known.
    """

    source: str
    type: Literal["integer", "number", "string", "boolean", "datetime"]
    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    format: str | None = None
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Derived(Strict):
    """A column that is made of others: a part of a date, or a digest of the whole row.

    A digest is of all columns but `without`: who knows the rest of a row could try names on it.
    """

    of: str
    part: Part
    without: tuple[str, ...] = ()


class Origin(Strict):
    """Where new rows come from. `${NAME}` in the place is an environment variable.

    query: of a database, with `:since` for the latest time that is known.
    """

    place: str = Field(min_length=1)
    query: str | None = None


class Recipe(Strict):
    """All of it. left_out: columns of the source that are not kept, and why."""

    origin: Origin | None = None
    columns: dict[str, ColumnRecipe]
    derived: dict[str, Derived] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    target: str = Field(min_length=1)


@dataclass(frozen=True)
class Unread:
    """What could not be read: in which rows (positions from 0), and why."""

    column: str
    rows: NDArray[np.intp]
    why: str


def parse_recipe(text: str, name: str = NAME) -> Recipe:
    return validated(Recipe, parse_yaml(text, name), name, partial(line_of, text))


def read_table(table: pa.Table, recipe: Recipe) -> tuple[pd.DataFrame, list[Unread]]:
    """The rows as the contract wants them, n of n, and what in them could not be read.

    A value that could not be read is missing in its row. A column that the source does not have
    is not there. Columns that the recipe does not know are kept as they are, for the contract to
    refuse them by name.
    """
    import pandas as pd

    columns: dict[str, pd.Series] = {}
    unread: list[Unread] = []
    for name, how in recipe.columns.items():
        if how.source in table.column_names:
            values, wrong = read_column(table.column(how.source), how)
            columns[name] = values
            if len(wrong):
                unread.append(Unread(name, wrong, f"is no {how.type}"))
    known = {how.source for how in recipe.columns.values()} | set(recipe.left_out)
    for name in table.column_names:
        if name not in known and name not in recipe.derived:
            columns[name] = table.column(name).to_pandas()
    rows = pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))
    for name, derived in recipe.derived.items():
        if derived.part == DIGEST:
            names = [of for of in recipe.columns if of not in derived.without]
            rows.insert(0, name, row_digests(rows, names))
        elif derived.of in rows:
            rows[name] = part_of(rows[derived.of], derived.part)
    return rows, unread


def read_column(values: pa.ChunkedArray, how: ColumnRecipe) -> tuple[pd.Series, NDArray[np.intp]]:
    """The values of a column, shape (n,), and the positions of those that could not be read."""
    import pandas as pd
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if is_text(kind) or how.type == "string" or how.yes or how.no:
        return _read_texts(values, how)
    if pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    if pa.types.is_timestamp(kind) and kind.tz:
        values = values.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    found = values.to_pandas(date_as_object=False)
    if how.type == "datetime":
        found = found.astype("datetime64[us]") if not pa.types.is_null(kind) else found
    elif how.type == "number":
        found = found.astype("float64")
    elif how.type == "boolean" and not pa.types.is_boolean(kind):
        wrong = np.flatnonzero(~found.isin([0, 1]) & found.notna())
        return pd.Series(_booleans(found == 1, found.isna() | ~found.isin([0, 1]))), wrong
    return found, np.empty(0, np.intp)


def is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _read_texts(values: pa.ChunkedArray, how: ColumnRecipe) -> tuple[pd.Series, NDArray[np.intp]]:
    """Each different text is read once, however often it stands there."""
    import pandas as pd

    codes, uniques = coded(values)
    if uniques.empty:  # nothing is there to be read
        return pd.Series([None] * len(codes), dtype=object), np.empty(0, np.intp)
    texts = uniques.str.strip()
    folded = texts.str.lower()
    words = MISSING if how.type == "string" else MISSING_NUMBER
    absent = (folded.isin(words) | texts.isin(how.missing)).to_numpy(dtype=bool)
    read = _readers()[how.type](texts, how)
    bad = read.isna().to_numpy(dtype=bool) & ~absent
    # A place more, for what is missing in the file.
    read = read.mask(pd.Series(absent))
    wrong = np.flatnonzero((codes >= 0) & np.append(bad, False)[codes])
    gaps = (codes < 0) | np.append(absent | bad, True)[codes]
    if how.type == "boolean":
        return pd.Series(_booleans(np.append((read == True).to_numpy(), False)[codes], gaps)), wrong  # noqa: E712
    if how.type == "integer" and not gaps.any():
        return pd.Series(read.to_numpy(dtype=float)[codes].astype(np.int64)), wrong
    if how.type in ("integer", "number"):
        numbers = np.append(read.to_numpy(dtype=float), np.nan)[codes]
        return pd.Series(numbers), wrong
    found = read.take(np.where(codes < 0, 0, codes)).reset_index(drop=True)
    return found.mask(pd.Series(gaps)), wrong


def coded(values: pa.ChunkedArray) -> tuple[NDArray[np.intp], pd.Series]:
    """The different texts of a column, and for each row which it has, -1 for none."""
    import pandas as pd
    import pyarrow as pa

    texts = values if is_text(values.type) else values.cast(pa.string())
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    encoded = whole.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
    return codes, pd.Series(encoded.dictionary.to_pandas(), dtype="str")


def _booleans(true: Any, gaps: Any) -> NDArray[Any]:
    """Truth values; None where one is missing."""
    truth = np.asarray(true, dtype=bool)
    missing = np.asarray(gaps, dtype=bool)
    if not missing.any():
        return truth
    found = truth.astype(object)
    found[missing] = None
    return found


def _readers() -> dict[str, Callable[[pd.Series, ColumnRecipe], pd.Series]]:
    return {
        "string": lambda texts, how: texts,
        "boolean": _truths,
        "number": _numbers,
        "integer": _integers,
        "datetime": lambda texts, how: as_dates(texts, how.format or ""),
    }


def _truths(texts: pd.Series, how: ColumnRecipe) -> pd.Series:
    import pandas as pd

    said = {
        text.casefold(): value for value, of in ((True, how.yes), (False, how.no)) for text in of
    }
    return pd.Series([said.get(text.casefold()) for text in texts], dtype=object)


def _numbers(texts: pd.Series, how: ColumnRecipe) -> pd.Series:
    return NumberStyle(how.decimal, how.thousands, how.unit).numbers(texts)


def _integers(texts: pd.Series, how: ColumnRecipe) -> pd.Series:
    numbers = _numbers(texts, how)
    return numbers.where(numbers == np.floor(numbers))


def part_of(moments: pd.Series, part: Part) -> pd.Series:
    """A number of each date: the day of its week (Monday is 1), its month, its hour."""
    found = moments.dt.day_of_week + 1 if part == "weekday" else getattr(moments.dt, part)
    return found.astype("int64") if found.notna().all() else found.astype("float64")


def row_digests(rows: pd.DataFrame, names: list[str]) -> pd.Series:
    """A name for each row that follows from what it holds; rows that are alike are counted.

    It does not hang on the rows beside it: pandas makes whole numbers floats where one is missing,
    and leaves midnight away where all moments are at midnight.
    """
    import pandas as pd

    named = [name for name in sorted(names) if name in rows]
    texts = pd.Series("", index=rows.index)
    for name in named:
        values = rows[name]
        if values.dtype.kind == "M":
            values = values.astype("datetime64[us]").astype("int64")
        elif values.dtype.kind in "iuf":
            values = values.astype("float64")
        texts = texts + "\x1f" + values.astype("str").mask(rows[name].isna(), "")
    digests = texts.map(lambda text: hashlib.sha256(text.encode()).hexdigest()[:16])
    again = digests.groupby(digests).cumcount()
    return digests.where(again == 0, digests + "-" + again.astype("str"))
