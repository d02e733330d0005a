"""What a model does when its input changes, and whether it answers steadily at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
EMPTY = "with all that may be missing missing"
STEADY = 20  # rows that are tried with odd input
FEW = 5  # of them are asked alone
AGAIN = 100_000  # rows of a batch when they are asked again
MOST = 1_000_000  # rows that are asked again
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
    from scipy.stats import binomtest

    interval = binomtest(good, n).proportion_ci(confidence, method="wilson")
    return Estimate(good / n, float(interval.low), float(interval.high))


def unsteady(
    model: Model,
    rows: pd.DataFrame,
    contract: Contract,
    given: Floats,
    seed: int = 0,
) -> Iterator[str]:
    """In what a model is not steady, a sentence each: repetition, batches, odd input.

    given: the scores that it gave before for the n rows, of shape (n,) or (n, classes). The rows,
    or MOST of them drawn without replacement, are asked for once more in another order and other
    batches; FEW of them alone; and STEADY of them with input that the contract allows and training
    may not have had.
    """
    order = np.random.default_rng(seed).permutation(len(rows))[:MOST].copy()
    few, of_few = rows[contract.features].iloc[order[:STEADY]], given[order[:STEADY]]
    if not all(_same(model, rows.iloc[at], contract, given[at]) for at in _batches(order)):
        yield from _differences(model, few, contract)
    alone = [slice(at, at + 1) for at in range(min(FEW, len(few)))]
    if not all(_same(model, few[at], contract, of_few[at]) for at in alone):
        yield "a row alone gets another answer than among others"
    yield from _stumbles(model, few, contract)


def _differences(model: Model, few: pd.DataFrame, contract: Contract) -> Iterator[str]:
    """Why the rows got other answers when they were asked again, as far as `few` of them tell."""
    given = _scores(model, few, contract)
    repeated = _same(model, few, contract, given)
    reverse = _same(model, few[::-1], contract, given[::-1])
    if not repeated:
        yield "the same rows, asked twice, get other answers"
    if not reverse:
        yield "rows in another order get other answers"
    if repeated and reverse:
        yield "all rows, asked again in other batches, get other answers"


def _batches(order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Three batches or more, none larger than AGAIN rows: other ones than `answer` makes."""
    batches = np.array_split(order, max(3, -(-len(order) // AGAIN)))
    return [batch for batch in batches if len(batch)]


def _same(model: Model, rows: pd.DataFrame, contract: Contract, given: Floats) -> bool:
    return np.allclose(_scores(model, rows, contract), given, rtol=CLOSE, atol=CLOSE)


def _scores(model: Model, rows: pd.DataFrame, contract: Contract) -> Floats:
    return answer(model, rows, contract, "candidate").scores


def _stumbles(model: Model, rows: pd.DataFrame, contract: Contract) -> Iterator[str]:
    """On which odd input the model gives no answer, or one out of range.

    All of it is asked for at once, and what lacks all that may be missing on its own, as whole
    columns are missing then; one by one only if that fails.
    """
    odd = list(_odd(rows, contract))
    if not odd:
        return

    def fault(asked: pd.DataFrame) -> str:
        try:
            _scores(model, asked, contract)
        except Refused as error:
            return str(error)
        return ""

    mixed = pd.concat([asked for _, asked in odd], ignore_index=True)
    empty = [asked for words, asked in odd if words == EMPTY]
    together = [fault(asked) for asked in (mixed, *empty)]
    if not any(together):
        return
    found = [f"{words}: {why}" for words, asked in odd if (why := fault(asked))]
    yield from found or [f"with odd rows among each other: {''.join(together)}"]


def _odd(rows: pd.DataFrame, contract: Contract) -> Iterator[tuple[str, pd.DataFrame]]:
    """Input that the contract allows and training may not have had."""
    columns = {name: contract.columns[name] for name in contract.features}
    empty = [name for name, column in columns.items() if column.nullable]
    for name in empty:
        yield f"with {name} missing", _without(rows, [name])
    if len(empty) > 1:
        yield EMPTY, _without(rows, empty)
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
