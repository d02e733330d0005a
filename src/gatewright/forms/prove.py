"""Whether a form answers as its model does: on the whole test set, and on rows made to be hard."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.evaluation.predictions import Answers, answer, request_rows
from gatewright.forms.ask import Asker
from gatewright.forms.plan import Linear, Number, Plan
from gatewright.forms.sql import quoted, sql_of

HARD_ROWS = 2_000
TOLERANCE = 1e-9  # of a probability; of a number, times its size where that is above 1
Rows = dict[str, list[Any]]  # inputs by name; None where a value is missing


@dataclass(frozen=True)
class Proof:
    """How far a form is from its model.

    difference: the largest of a score, relative to the score where that is above 1.
    recommends: how many rows are recommended another class, though no score is at the limit.
    """

    rows: int
    hard: int
    difference: float
    recommends: int

    @property
    def holds(self) -> bool:
        return self.difference <= TOLERANCE and self.recommends == 0


def plain_rows(rows: pd.DataFrame, contract: Contract) -> Rows:
    """The inputs of the model as a request gives them."""
    found: Rows = {}
    for name in contract.features:
        values, kind = rows[name], contract.columns[name].type
        listed = values.astype(object).where(values.notna(), None).tolist()
        as_kind: Callable[[Any], Any] = {"string": str, "boolean": bool}.get(kind, lambda v: v)
        found[name] = [None if value is None else as_kind(value) for value in listed]
    return found


def requests_of(rows: Rows) -> Iterator[dict[str, Any]]:
    """Row by row, as a request gives it."""
    for values in zip(*rows.values(), strict=True):
        yield dict(zip(rows, values, strict=True))


def asked(plan: Plan, rows: Rows) -> Answers:
    """What a plan answers for all rows."""
    asker = Asker(plan)
    scores = [
        asker.scores(dict(zip(rows, values, strict=True)))
        for values in zip(*rows.values(), strict=True)
    ]
    said = [asker.recommended(each) for each in scores] if plan.classes else []
    return _answers(np.array(scores), np.array(said), plan)


def asked_in_sqlite(plan: Plan, contract: Contract, rows: Rows) -> Answers:
    """What the plan's SQL answers for all rows, in SQLite."""
    numbered = contract.model_copy(update={"key": ("row of the proof",)})
    size = len(next(iter(rows.values())))
    columns = {"row of the proof": list(range(size))} | rows
    places = ", ".join(quoted(name) for name in columns)
    with sqlite3.connect(":memory:") as database:
        database.execute(f"CREATE TABLE asked ({places})")
        marks = ", ".join("?" * len(columns))
        lines = list(zip(*columns.values(), strict=True))
        database.executemany(" ".join(("INSERT INTO asked", "VALUES", f"({marks})")), lines)
        said = database.execute(sql_of(plan, numbered, "sqlite", "asked")).fetchall()
    database.close()
    said.sort(key=lambda line: line[0])
    return from_database([line[1:] for line in said], plan)


def from_database(lines: list[tuple[Any, ...]], plan: Plan) -> Answers:
    """Rows of the plan's query without their key, in the order of the rows asked."""
    width = max(1, len(plan.classes)) if len(plan.classes) != 2 else 1
    scores = np.array([line[:width] for line in lines], dtype=float)
    if not plan.classes:
        return _answers(scores, np.array([]), plan)
    kinds = {str(value): at for at, value in enumerate(plan.classes)}
    if len(plan.classes) == 2:
        said = np.array([int(line[width]) for line in lines])
    else:
        said = np.array([kinds[line[width]] for line in lines])
    return _answers(scores, said, plan)


def _answers(scores: NDArray[Any], said: NDArray[Any], plan: Plan) -> Answers:
    flat = scores if len(plan.classes) > 2 else scores[:, 0]
    return Answers(flat, said if plan.classes else flat)


def compared(model: Answers, form: Answers, plan: Plan, hard: int) -> Proof:
    """`hard` of the rows, the last ones, were made to be hard."""
    size = np.maximum(1.0, np.abs(model.scores))
    apart = np.abs(model.scores - form.scores) / size
    apart = np.where(np.isfinite(apart), apart, inf)
    recommends = 0
    if plan.classes:
        other = model.labels != form.labels
        recommends = int((other & ~_at_the_limit(model.scores, plan)).sum())
    largest = float(apart.max()) if apart.size else 0.0
    return Proof(len(apart) - hard, hard, largest, recommends)


def _at_the_limit(scores: NDArray[Any], plan: Plan) -> NDArray[np.bool_]:
    """Rows whose recommendation turns within the tolerance."""
    if len(plan.classes) == 2:
        half = 0.5 if plan.threshold is None else plan.threshold
        return np.asarray(np.abs(scores - half) <= TOLERANCE)
    best = np.sort(scores, axis=1)
    return np.asarray(best[:, -1] - best[:, -2] <= TOLERANCE)


def model_answers(model: Any, contract: Contract, rows: Rows) -> Answers:
    """What the model itself answers for rows that are given as requests."""
    lines = list(requests_of(rows))
    return answer(model, request_rows(lines, contract), contract, "model")


def hard_rows(plan: Plan, contract: Contract, known: Rows, seed: int = 0) -> Rows:
    """Known rows in which one column, several or all of them are what models get wrong.

    That is: missing, unseen, where a split is and the next numbers beside it, the ends of what the
    contract allows.
    """
    draw = np.random.default_rng(seed)
    hard = {name: _hard_values(plan, contract, name, known[name], draw) for name in known}
    size = len(next(iter(known.values())))
    at = draw.integers(0, size, HARD_ROWS)
    share = draw.choice([0.0, 0.2, 1.0], HARD_ROWS)  # of the columns; one at least
    one = draw.integers(0, len(known), HARD_ROWS)
    found: Rows = {}
    for place, (name, values) in enumerate(known.items()):
        change = (draw.random(HARD_ROWS) < share) | (one == place)
        pick = draw.integers(0, len(hard[name]), HARD_ROWS)
        found[name] = [
            hard[name][p] if c else values[a]
            for a, c, p in zip(at.tolist(), change.tolist(), pick.tolist(), strict=True)
        ]
    return found


def _hard_values(
    plan: Plan, contract: Contract, name: str, known: list[Any], draw: np.random.Generator
) -> list[Any]:
    column = contract.columns[name]
    there = [value for value in known if value is not None]
    values: list[Any] = [None] if column.nullable else []
    if column.type == "string":
        seen = sorted(set(there))[:50]
        unseen = [] if column.values else ["", "never seen", "O'Brien", 'a "quoted" one', "\u00fc"]
        return [*values, *seen, *(column.values or ()), *unseen] or [""]
    if column.type == "boolean":
        return [*values, False, True]
    low = min(there, default=0.0) if column.min == -inf else column.min
    high = max(there, default=0.0) if column.max == inf else column.max
    limits = _splits(plan, name)
    chosen = draw.permutation(limits)[:200].tolist()
    numbers = [low, high, *chosen]
    for limit in chosen:
        numbers += [np.nextafter(limit, -inf).item(), np.nextafter(limit, inf).item()]
    if column.type == "integer":
        numbers = [int(np.floor(number)) for number in numbers] + [int(high)]
    return values + [number for number in numbers if low <= number <= high]


def _splits(plan: Plan, name: str) -> list[float]:
    """Where trees split a number, and what is filled in for it."""
    found: set[float] = set()
    mine = [c if isinstance(c, Number) and c.input == name else None for c in plan.columns]
    found |= {column.missing for column in mine if column}
    if not isinstance(plan.head, Linear):
        for tree in plan.head.trees:
            for column, threshold, left in zip(tree.column, tree.threshold, tree.left, strict=True):
                if left >= 0 and (of := mine[column]) is not None and not of.steps:
                    found.add(threshold)
    return sorted(value for value in found if isfinite(value))
