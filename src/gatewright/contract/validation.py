"""Do labelled rows keep the contract?

pandera finds what is wrong; each finding is told by a reason of our own, and its words are made
from the reason in one place, `describe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any

from gatewright.contract.schema import Column, Contract

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pandera.pandas as pa
    from numpy.typing import NDArray

TABLE = ["column", "reason", "fault", "rows", "first_row", "example"]
BLOCK = 100_000  # rows that pandera sees at once: it copies them


class Reason(StrEnum):
    """Why rows do not keep the contract."""

    ABSENT_COLUMN = "absent_column"
    UNKNOWN_COLUMN = "unknown_column"
    REPEATED_COLUMN = "repeated_column"
    NOT_DROPPED = "not_dropped"
    WRONG_TYPE = "wrong_type"
    MISSING_VALUE = "missing_value"
    TOO_MANY_MISSING = "too_many_missing"
    BELOW_RANGE = "below_range"
    ABOVE_RANGE = "above_range"
    UNKNOWN_VALUE = "unknown_value"
    REPEATED_KEY = "repeated_key"
    KEY_IN_ANOTHER_FILE = "key_in_another_file"
    NOT_CHECKED = "not_checked"


def describe(reason: Reason, column: Column | None = None) -> str:
    """The words of a reason; `column` is the contract's, where the reason is about one."""
    match reason:
        case Reason.ABSENT_COLUMN:
            return "column is absent"
        case Reason.UNKNOWN_COLUMN:
            return "not in the contract"
        case Reason.REPEATED_COLUMN:
            return "the column stands more than once"
        case Reason.NOT_DROPPED:
            return "to be dropped on arrival: bring the file in with `mlops ingest`"
        case Reason.WRONG_TYPE:
            return "not of the contract's type"
        case Reason.MISSING_VALUE:
            return "missing where a value is needed"
        case Reason.TOO_MANY_MISSING:
            return f"more than {column.max_missing:.0%} missing" if column else "too many missing"
        case Reason.BELOW_RANGE:
            return f"below {column.min:g}" if column else "below its range"
        case Reason.ABOVE_RANGE:
            return f"above {column.max:g}" if column else "above its range"
        case Reason.UNKNOWN_VALUE:
            return "not among the contract's values"
        case Reason.REPEATED_KEY:
            return "the key stands more than once"
        case Reason.KEY_IN_ANOTHER_FILE:
            return "the key stands in another file too"
        case Reason.NOT_CHECKED:
            return "could not be checked"


def schema(contract: Contract, arriving: bool = False) -> pa.DataFrameSchema:
    """The pandera schema of labelled rows, as kept in data/raw or as they arrive.

    Each check of a value is named after the reason that its failure is. What only a whole table
    can break, its key and its shares of missing values, is not in it.
    """
    import pandera.pandas as pa

    columns = {
        name: _column(column)
        for name, column in contract.columns.items()
        if arriving or column.on_arrival == "keep"
    }
    for name in contract.dropped if arriving else ():
        columns[name].required = False  # whoever sends the data may have left it out
    classes = pa.Check.isin(contract.target.classes, name=Reason.UNKNOWN_VALUE)
    columns[contract.target.name] = {
        "binary": pa.Column("bool", coerce=False),
        "multiclass": pa.Column("str", classes, coerce=True),
        "regression": pa.Column(float, coerce=True),
    }[contract.target.type]
    return pa.DataFrameSchema(columns, strict=True, unique_column_names=True)


def _column(column: Column) -> pa.Column:
    import pandera.pandas as pa

    kinds = {"string": "str", "boolean": "bool", "number": float, "integer": int}
    checks = []
    if column.min > -inf:
        checks.append(pa.Check.ge(column.min, name=Reason.BELOW_RANGE))
    if column.max < inf:
        checks.append(pa.Check.le(column.max, name=Reason.ABOVE_RANGE))
    if column.values is not None:
        checks.append(pa.Check.isin(column.values, name=Reason.UNKNOWN_VALUE))
    kind = "datetime64[ms]" if column.type == "datetime" else kinds[column.type]
    if column.type == "integer" and column.nullable:
        kind = "Int64"
    return pa.Column(kind, checks, nullable=column.nullable, coerce=True)


@dataclass(frozen=True)
class _Case:
    """One finding of pandera: a value in a row (position from 0), or of a whole column."""

    column: str
    reason: Reason
    row: int | None
    value: Any


def violations(contract: Contract, rows: pd.DataFrame, arriving: bool = False) -> pd.DataFrame:
    """What is wrong with labelled rows; `arriving` ones may have the columns to be dropped.

    Returns a table with a line a fault: column, reason (a `Reason`), fault (its words), rows (how
    many), first_row (position from 0), example. It is empty for good data.
    """
    import pandas as pd

    cases = [*_in_blocks(contract, rows, arriving), *_in_all(contract, rows)]
    # A check of a range stumbles over text; that the text is there is a fault of its own.
    mistyped = {case.column for case in cases if case.reason is Reason.WRONG_TYPE}
    grouped: dict[tuple[str, Reason], list[_Case]] = {}
    for case in cases:
        if case.reason is not Reason.NOT_CHECKED or case.column not in mistyped:
            grouped.setdefault((case.column, case.reason), []).append(case)
    found = []
    for (name, reason), of in grouped.items():
        about = contract.columns.get(name)
        places = {case.row for case in of if case.row is not None}
        example = "(personal)" if about and about.personal else str(of[0].value)
        first = min(places, default=None)
        words = describe(reason, about)
        found.append((name, reason, words, max(len(places), 1), first, example))
    return pd.DataFrame(found, columns=TABLE)


def _in_blocks(contract: Contract, rows: pd.DataFrame, arriving: bool) -> Iterator[_Case]:
    """What a row breaks, or a column by its name or type."""
    import pandera.pandas as pa

    wanted = schema(contract, arriving)
    for at in range(0, len(rows), BLOCK) or [0]:
        try:
            wanted.validate(rows[at : at + BLOCK].reset_index(drop=True), lazy=True)
        except pa.errors.SchemaErrors as errors:
            for case in (c for error in errors.schema_errors for c in _cases(error, contract)):
                yield case if case.row is None else replace(case, row=at + case.row)


def _in_all(contract: Contract, rows: pd.DataFrame) -> Iterator[_Case]:
    """What only the table as a whole breaks."""
    if not rows.columns.is_unique:
        return  # that is told, and nobody knows which column is meant
    for name, column in contract.columns.items():
        if name in rows and float(rows[name].isna().mean()) > column.max_missing:
            yield _Case(name, Reason.TOO_MANY_MISSING, None, "")
    if set(contract.key) <= set(rows.columns):
        for row in _repeated(rows, list(contract.key)):
            example = rows[contract.key[0]].iloc[row]
            yield _Case(", ".join(contract.key), Reason.REPEATED_KEY, int(row), example)


def _repeated(rows: pd.DataFrame, key: list[str]) -> NDArray[np.intp]:
    """The positions of rows whose key stands more than once, by hashes first: they take less."""
    import numpy as np
    import pandas as pd

    hashes = np.empty(len(rows), dtype=np.uint64)
    for at in range(0, len(rows), BLOCK):
        block = rows[at : at + BLOCK][key]
        hashes[at : at + BLOCK] = pd.util.hash_pandas_object(block, index=False)
    ranked = np.sort(hashes)
    suspects = np.flatnonzero(np.isin(hashes, ranked[1:][ranked[1:] == ranked[:-1]]))
    twice = rows.iloc[suspects].duplicated(key, keep=False)
    return np.asarray(suspects[twice.to_numpy(dtype=bool)])


def _cases(error: Any, contract: Contract) -> Iterator[_Case]:
    """The findings of one pandera SchemaError, by its reason code."""
    from pandera.errors import SchemaErrorReason as Code

    table = error.failure_cases
    if error.reason_code in (Code.COLUMN_NOT_IN_SCHEMA, Code.COLUMN_NOT_IN_DATAFRAME):
        name = str(table)
        if error.reason_code is Code.COLUMN_NOT_IN_DATAFRAME:
            reason = Reason.ABSENT_COLUMN
        else:
            reason = Reason.NOT_DROPPED if name in contract.dropped else Reason.UNKNOWN_COLUMN
        yield _Case(name, reason, None, "")
        return
    if error.reason_code is Code.DUPLICATE_COLUMN_LABELS:
        for name in table:
            yield _Case(str(name), Reason.REPEATED_COLUMN, None, "")
        return
    if error.reason_code is Code.SERIES_CONTAINS_NULLS:
        name, reason = str(error.schema.name), Reason.MISSING_VALUE
    elif error.reason_code in (Code.DATATYPE_COERCION, Code.WRONG_DATATYPE):
        name, reason = str(error.schema.name), Reason.WRONG_TYPE
    elif error.reason_code is Code.DATAFRAME_CHECK:
        name, reason = str(error.schema.name), Reason(error.check.name)
    else:
        name, reason = str(error.schema.name), Reason.NOT_CHECKED
    if hasattr(table, "columns") and "index" in table:
        for row, value in zip(table["index"], table["failure_case"], strict=True):
            yield _Case(name, reason, int(row) if hasattr(row, "__index__") else None, value)
    else:
        yield _Case(name, reason, None, "")
