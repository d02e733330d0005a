"""What a model does when its input changes, and whether it answers steadily at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.adapters.model_file import Model
from gatewright.contract.schema import Column, Contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.predictions import Floats, answer, request_rows

NEVER_SEEN = "never seen before"
STEADY = 20  # rows on which steadiness is tried
CLOSE = 1e-6  # relative: threads, or another batch size, add up in another order


def answered(model: Model, rows: pd.DataFrame, contract: Contract, of: str | None = None) -> Floats:
    """The probability of the event, or of class `of`, or the predicted number; shape (n,).

    Raises Refused if a row is not answered, or if there is no such class.
    """
    scores = answer(model, rows, contract, "candidate").scores
    if scores.ndim == 1:
        return scores
    if of not in contract.classes:
        raise Refused(f"'{of}' is none of the classes {', '.join(map(str, contract.classes))}.")
    return scores[:, contract.classes.index(of)]


def changed(rows: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """The rows with some columns set to one value."""
    return rows.assign(**{n: pd.Series(v, rows.index, rows[n].dtype) for n, v in values.items()})


def raised(rows: pd.DataFrame, by: Mapping[str, float], contract: Contract) -> pd.DataFrame:
    """The rows with some numbers raised (or lowered), within the contract's range."""
    made = {}
    for name, step in by.items():
        column = contract.columns[name]
        higher = (rows[name].astype(float) + step).clip(column.min, column.max)
        made[name] = (higher.round() if column.type == "integer" else higher).astype(
            rows[name].dtype
        )
    return rows.assign(**made)


def requested(rows: pd.DataFrame, values: Mapping[str, Any], contract: Contract) -> pd.DataFrame:
    """One row of these values; columns that are not named take what is typical of the rows."""
    request = {name: _typical(rows[name], contract.columns[name]) for name in contract.features}
    return request_rows([{**request, **values}], contract)


def _typical(values: pd.Series, column: Column) -> Any:
    """The median of a number, else the most frequent value; None if there is none."""
    known = values.dropna()
    if known.empty:
        return None
    if column.type == "number":
        return float(known.median())
    if column.type == "integer":
        return int(known.astype(float).median())
    return known.mode().iloc[0]


def share(good: int, n: int, confidence: float) -> Estimate:
    """A share of n with the interval of Wilson (1927), which holds at 0 and 1 too."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (good + z * z / 2) / (n + z * z)
    reach = z / (n + z * z) * (good * (n - good) / n + z * z / 4) ** 0.5
    return Estimate(good / n, max(middle - reach, 0.0), min(middle + reach, 1.0))


def unsteady(model: Model, rows: pd.DataFrame, contract: Contract) -> Iterator[str]:
    """In what a model is not steady, a sentence each: repetition, batches, odd input."""
    few = rows[contract.features].head(STEADY)
    together = _scores(model, few, contract)

    def same(scores: Floats) -> bool:
        return np.allclose(scores, together, rtol=CLOSE, atol=CLOSE)

    if not same(_scores(model, few, contract)):
        yield "the same rows, asked twice, get other answers"
    alone = np.concatenate([_scores(model, few[i : i + 1], contract) for i in range(len(few))])
    if not same(alone):
        yield "a row alone gets another answer than among others"
    if not same(_scores(model, few[::-1], contract)[::-1]):
        yield "rows in another order get other answers"
    for words, odd in _odd(few, contract):
        try:
            _scores(model, odd, contract)
        except Refused as error:
            yield f"{words}: {error}"


def _scores(model: Model, rows: pd.DataFrame, contract: Contract) -> Floats:
    return answer(model, rows, contract, "candidate").scores


def _odd(rows: pd.DataFrame, contract: Contract) -> Iterator[tuple[str, pd.DataFrame]]:
    """Input that the contract allows and training may not have had."""
    columns = {name: contract.columns[name] for name in contract.features}
    empty = [name for name, column in columns.items() if column.nullable]
    for name in empty:
        yield f"with {name} missing", _without(rows, [name])
    if len(empty) > 1:
        yield "with all that may be missing missing", _without(rows, empty)
    new = {n: NEVER_SEEN for n, c in columns.items() if c.type == "string" and c.values is None}
    if new:
        yield "with values never seen", changed(rows, new)
    for words, edge in (("least", "min"), ("greatest", "max")):
        ends = {n: getattr(c, edge) for n, c in columns.items() if np.isfinite(getattr(c, edge))}
        if ends:
            casts = {n: int(v) if columns[n].type == "integer" else v for n, v in ends.items()}
            yield f"with the {words} numbers that the contract allows", changed(rows, casts)


def _without(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Integers become nullable ones, as in a request."""
    made = {}
    for name in names:
        kind: Any = rows[name].dtype
        made[name] = pd.Series(
            None, rows.index, "Int64" if pd.api.types.is_integer_dtype(kind) else kind
        )
    return rows.assign(**made)


def sample(rows: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """At most n of the rows, drawn without replacement."""
    if len(rows) <= n:
        return rows
    chosen: NDArray[np.int64] = np.random.default_rng(seed).choice(len(rows), n, replace=False)
    return rows.iloc[np.sort(chosen)]
