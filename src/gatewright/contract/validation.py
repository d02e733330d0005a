"""Do labelled rows keep the contract?

Types are judged as they are (types.py); pandera finds what is wrong with values. Each finding is
told by a reason of our own, and its words are made from the reason in one place, `describe`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any

from gatewright.contract.schema import Column, Contract
from gatewright.contract.types import infinite, mistyped, told, wanted_types

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
    INFINITE = "infinite"
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
        case Reason.INFINITE:
            return "infinite, which no model can compute with"
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


def schema(
    contract: Contract, arriving: bool = False, without: Collection[str] = ()
) -> pa.DataFrameSchema:
    """The pandera schema of labelled rows, as kept in data/raw or as they arrive.

    Each check of a value is named after the reason that its failure is. What only a whole table
    can break, its key and its shares of missing values, is not in it; nor are the columns
    `without`. Values must be of the contract's types already.
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
        "binary": pa.Column("boolean", coerce=True),
        "multiclass": pa.Column("str", classes, coerce=True),
        "regression": pa.Column(float, coerce=True),
    }[contract.target.type]
    kept = {name: column for name, column in columns.items() if name not in without}
    return pa.DataFrameSchema(kept, strict=True, unique_column_names=True)


def _column(column: Column) -> pa.Column:
    import pandera.pandas as pa

    kinds = {"string": "str", "boolean": "boolean", "number": float, "integer": "Int64"}
    checks = []
    if column.min > -inf:
        checks.append(pa.Check.ge(column.min, name=Reason.BELOW_RANGE))
    if column.max < inf:
        checks.append(pa.Check.le(column.max, name=Reason.ABOVE_RANGE))
    if column.values is not None:
        checks.append(pa.Check.isin(column.values, name=Reason.UNKNOWN_VALUE))
    kind = "datetime64[ms]" if column.type == "datetime" else kinds[column.type]
    return pa.Column(kind, checks, nullable=column.nullable, coerce=True)


@dataclass(frozen=True)
class _Case:
    """One finding of pandera: a value in a row (position from 0), or of a whole column."""

    column: str
    reason: Reason
    row: int | None
    value: Any
    more: str = ""  # words that say it more exactly
    rows: int = 1  # of which `row` is the first


def violations(contract: Contract, rows: pd.DataFrame, arriving: bool = False) -> pd.DataFrame:
    """What is wrong with labelled rows; `arriving` ones may have the columns to be dropped.

    Returns a table with a line a fault: column, reason (a `Reason`), fault (its words), rows (how
    many), first_row (position from 0), example. It is empty for good data.
    """
    of_type = list(_by_type(contract, rows, arriving))
    wrong = {case.column for case in of_type}  # nothing else is asked of such a column
    in_blocks = _in_blocks(contract, rows, arriving, wrong)
    return _as_table(contract, (*of_type, *in_blocks, *_in_all(contract, rows, wrong)))


def _as_table(contract: Contract, cases: Iterable[_Case]) -> pd.DataFrame:
    """A line for each column and reason, as `violations` returns it."""
    import pandas as pd

    grouped: dict[tuple[str, Reason], list[_Case]] = {}
    for case in cases:
        grouped.setdefault((case.column, case.reason), []).append(case)
    found = []
    for (name, reason), of in grouped.items():
        about = contract.columns.get(name)
        places = {case.row for case in of if case.row is not None}
        example = "(personal)" if about and about.personal else str(of[0].value)
        first = min(places, default=None)
        words = ": ".join(filter(None, (describe(reason, about), of[0].more)))
        found.append((name, reason, words, max(len(places), of[0].rows), first, example))
    return pd.DataFrame(found, columns=TABLE)


def sort_out(
    contract: Contract, rows: pd.DataFrame, arriving: bool = False
) -> tuple[pd.DataFrame, dict[int, list[str]]]:
    """What is wrong with a table as a whole, as `violations` tells it, and with single rows.

    The latter by position, with the words of each fault. Of rows with one key the first is good.
    """
    of_type = list(_by_type(contract, rows, arriving))
    without = {case.column for case in of_type}
    cases = [*of_type, *_in_blocks(contract, rows, arriving, without)]
    cases += [c for c in _in_all(contract, rows, without) if c.reason != Reason.REPEATED_KEY]
    whole = [case for case in cases if case in of_type or case.row is None]
    by_row: dict[int, list[str]] = {}
    for case in cases:
        if case.row is not None and case not in of_type:
            about = contract.columns.get(case.column)
            by_row.setdefault(case.row, []).append(f"{case.column}: {describe(case.reason, about)}")
    if set(contract.key) <= set(rows.columns) - without and rows.columns.is_unique:
        again = rows.duplicated(list(contract.key)).to_numpy(dtype=bool)
        for row in again.nonzero()[0]:
            words = f"{', '.join(contract.key)}: {describe(Reason.REPEATED_KEY)}"
            by_row.setdefault(int(row), []).append(words)
    return _as_table(contract, whole), by_row


def _by_type(contract: Contract, rows: pd.DataFrame, arriving: bool) -> Iterator[_Case]:
    """The columns with values that are not of the contract's type, or without end."""
    import numpy as np

    once = rows.columns[~rows.columns.duplicated(keep=False)]  # else that is told
    for name, kind in wanted_types(contract).items():
        if name not in once or (not arriving and name in contract.dropped):
            continue
        values = rows[name]
        wrong = np.flatnonzero(mistyped(values, kind))
        reason, more = Reason.WRONG_TYPE, told(values, wrong[0], kind) if len(wrong) else ""
        if not len(wrong):
            reason, wrong = Reason.INFINITE, np.flatnonzero(infinite(values))
        if len(wrong):
            row = int(wrong[0])
            yield _Case(name, reason, row, values.iloc[row], more, len(wrong))


def _in_blocks(
    contract: Contract, rows: pd.DataFrame, arriving: bool, without: Collection[str]
) -> Iterator[_Case]:
    """What a row breaks, or a column by its name; nothing of the columns `without`."""
    import pandera.pandas as pa

    wanted = schema(contract, arriving, without)
    rows = rows.drop(columns=list(without))
    for at in range(0, len(rows), BLOCK) or [0]:
        try:
            wanted.validate(rows[at : at + BLOCK].reset_index(drop=True), lazy=True)
        except pa.errors.SchemaErrors as errors:
            for case in (c for error in errors.schema_errors for c in _cases(error, contract)):
                yield case if case.row is None else replace(case, row=at + case.row)


def _in_all(contract: Contract, rows: pd.DataFrame, without: Collection[str]) -> Iterator[_Case]:
    """What only the table as a whole breaks."""
    if not rows.columns.is_unique:
        return  # that is told, and nobody knows which column is meant
    for name, column in contract.columns.items():
        if name in rows and float(rows[name].isna().mean()) > column.max_missing:
            yield _Case(name, Reason.TOO_MANY_MISSING, None, "")
    if set(contract.key) <= set(rows.columns) - set(without):
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
