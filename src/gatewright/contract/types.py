"""Of which type the values of a column are: judged as they are, nothing is converted.

What pandas or pyarrow would silently turn into the wanted type (a text into a number, a number
into a date) reaches the team's own code as it lies in the file.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from gatewright.contract.schema import Contract

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_EXACT = 2**53  # the whole numbers below it are exact as floats
_LARGEST = 2**63 - 1
_TARGETS = {"binary": "boolean", "multiclass": "string", "regression": "number"}
_MEND = {
    "integer": "write it as int64",
    "number": "write it as float64",
    "string": "write it as text",
    "boolean": "write it as bool",
    "datetime": "write it as datetime64 without a time zone",
}
_NAMES = {"dict": "struct", "ndarray": "list", "str": "text", "Timestamp": "datetime"}


def wanted_types(contract: Contract) -> dict[str, str]:
    """The contract's type of each column and of the target."""
    columns = {name: str(column.type) for name, column in contract.columns.items()}
    return columns | {contract.target.name: _TARGETS[contract.target.type]}


def mistyped(values: pd.Series, kind: str) -> NDArray[np.bool_]:
    """True for each value that is there and not of the kind, shape (n,).

    An integer may be a float that is whole: pandas makes it one where values are missing.
    """
    import numpy as np

    present = values.notna().to_numpy(dtype=bool)
    return np.asarray(present & ~np.asarray(_good(values, kind)), dtype=bool)


def _good(values: pd.Series, kind: str) -> Any:
    """For each value, or for all of them at once, whether it is of the kind; any for a missing."""
    import numpy as np
    import pandas as pd

    dtype: Any = values.dtype
    if dtype.kind == "O" and not isinstance(dtype, pd.StringDtype | pd.CategoricalDtype):
        return np.array([_is(value, kind) for value in values], dtype=bool)
    if kind == "string":
        of = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
        return isinstance(of, pd.StringDtype)
    if isinstance(dtype, pd.CategoricalDtype | pd.DatetimeTZDtype):
        return False
    if kind == "integer" and dtype.kind == "f":
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        return (numbers == np.floor(numbers)) & (np.abs(numbers) < _EXACT)
    if kind == "integer" and dtype.kind == "u":
        return (values.fillna(0) <= _LARGEST).to_numpy(dtype=bool)
    kinds = {"integer": "iu", "number": "iuf", "boolean": "b", "datetime": "M"}
    return dtype.kind in kinds[kind]


def infinite(values: pd.Series) -> NDArray[np.bool_]:
    """True for each number without end."""
    import numpy as np

    if values.dtype.kind != "f":
        return np.zeros(len(values), dtype=bool)
    return np.asarray(np.isinf(values.to_numpy(dtype=float, na_value=np.nan)))


def told(values: pd.Series, first: int, kind: str) -> str:
    """What a column holds in row `first` and what is wanted, with what mends it."""
    dtype: Any = values.dtype
    name = type(values.iloc[first]).__name__.removesuffix("_").lower()
    plain = dtype.kind == "O" or str(dtype) == "str"
    shown = _NAMES.get(type(values.iloc[first]).__name__, name) if plain else str(dtype)
    return f"it holds {shown}, where {kind} is wanted; {_MEND[kind]}"


def _is(value: Any, kind: str) -> bool:
    """Whether one value, as Python holds it, is of the kind."""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # that of numpy too
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, Integral) and abs(int(value)) <= _LARGEST
    if kind == "number":
        return isinstance(value, Real) and not isinstance(value, Decimal)
    if kind == "datetime":
        return isinstance(value, datetime) and value.tzinfo is None
    return kind == "string" and isinstance(value, str)
