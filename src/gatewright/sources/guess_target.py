"""What is to be predicted: yes or no, one of several classes, or a number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gatewright.contract.schema import Task
from gatewright.errors import Refused
from gatewright.sources.guess_types import guess_type
from gatewright.sources.recipe import ColumnRecipe, read_column
from gatewright.sources.texts import MISSING, truths

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

CLASSES = 30  # a target of more is none that a model of this kind learns
FEW_NUMBERS = 10  # whole numbers that count up from 0 or 1 to no more than this name classes
ROWS_OF_A_CLASS = 8
_EVENTS = (  # what people call the event, of two words
    *(
        "yes",
        "true",
        "positive",
        "malignant",
        "fraud",
        "spam",
        "churn",
        "churned",
        "default",
        "bad",
    ),
    *(
        "failure",
        "fail",
        "failed",
        "died",
        "dead",
        "sick",
        "disease",
        "abnormal",
        "attack",
        "present",
    ),
    *(
        "late",
        "left",
        "bankrupt",
        "anomaly",
        "defect",
        "cancelled",
        "canceled",
        "win",
        "won",
        "pos",
    ),
)


@dataclass(frozen=True)
class TargetGuess:
    """How the target is read. event: of two values, the one that is true.

    unlabelled: rows without a value, which cannot teach and are left out.
    """

    task: Task
    how: ColumnRecipe
    evidence: str
    event: str | None = None
    classes: tuple[str, ...] = ()
    unlabelled: int = 0


def guess_target(values: pa.ChunkedArray, name: str, task: Task | None = None) -> TargetGuess:
    """The task that a target is for. Raises Refused for a target that nothing can be learnt of."""
    texts = _labels(values)
    counts = texts.value_counts()
    unlabelled = int(texts.isna().sum())
    if len(counts) < 2:
        only = f"'{counts.index[0]}' in every row" if len(counts) else "nothing in any row"
        raise Refused(
            f"The target '{name}' holds {only}, so there is nothing to learn. Name another column "
            "with --target, or bring rows that differ in it."
        )
    guess = guess_type(values, name)
    if guess.how is None:
        raise Refused(f"The target '{name}' {guess.evidence}. Name another column with --target.")
    task = task or _task(guess.how, counts)
    if task == "regression":
        if guess.how.type not in ("integer", "number"):
            raise Refused(
                f"The target '{name}' is no number ('{counts.index[0]}'), so there is no "
                "regression of it. Leave --task away, or name another column."
            )
        how = guess.how.model_copy(update={"type": "number"})
        read, _ = read_column(values, how)
        words = f"numbers, {counts.size:,} different ones"
        return TargetGuess(task, how, words, unlabelled=int(read.isna().sum()))
    if task == "binary":
        if len(counts) != 2:
            raise Refused(
                f"The target '{name}' has {len(counts)} values, not two. Leave --task away, or "
                "name another column."
            )
        event, why = _event(counts)
        other = next(str(value) for value in counts.index if value != event)
        how = ColumnRecipe(source=name, type="boolean", yes=(event,), no=(other,))
        return TargetGuess(task, how, f"two values; {why}", event, unlabelled=unlabelled)
    return replace(_many(counts, name), unlabelled=unlabelled)


def _labels(values: pa.ChunkedArray) -> pd.Series:
    """The values as texts, as they are read later; what says that nothing is known is missing."""
    how = ColumnRecipe(source="", type="string")
    texts, _ = read_column(values, how)
    return texts.where(~texts.str.casefold().isin(MISSING))


def _task(how: ColumnRecipe, counts: pd.Series) -> Task:
    if len(counts) == 2:
        return "binary"
    if how.type == "number":
        return "regression"
    if how.type == "integer":
        numbers = sorted(float(value) for value in counts.index)
        count_up = numbers == list(np.arange(numbers[0], numbers[0] + len(numbers)))
        is_code = count_up and numbers[0] in (0, 1) and len(numbers) <= FEW_NUMBERS
        return "multiclass" if is_code else "regression"
    return "multiclass"


def _event(counts: pd.Series) -> tuple[str, str]:
    """Of two values the event, and why."""
    values = [str(value) for value in counts.index]
    if pair := truths(values):
        return pair[0], f"'{pair[0]}' is the event"
    for value in values:
        if value.casefold().strip(". ") in _EVENTS:
            return value, f"'{value}' is the event, by its name"
    numbers = [float(v) for v in values if v.replace(".", "", 1).lstrip("-").isdigit()]
    if len(numbers) == 2:
        event = values[int(np.argmax(numbers))]
        return event, f"'{event}' is the event: the larger number"
    rare = str(counts.index[-1])
    return rare, f"'{rare}' is taken for the event: it is the rarer one"


def _many(counts: pd.Series, name: str) -> TargetGuess:
    if len(counts) > CLASSES:
        raise Refused(
            f"The target '{name}' has {len(counts):,} different texts; these models tell at most "
            f"{CLASSES} classes apart. Name another column with --target, or join classes."
        )
    if (rare := counts[counts < ROWS_OF_A_CLASS]).size:
        shown = ", ".join(f"'{value}' ({count})" for value, count in rare.items())
        raise Refused(
            f"Of the target '{name}', classes have fewer than {ROWS_OF_A_CLASS} rows: {shown}. "
            "Nothing can be learnt of them, nor judged: join them with another class in the file, "
            "or leave their rows out."
        )
    classes = tuple(sorted(map(str, counts.index)))
    how = ColumnRecipe(source=name, type="string")
    return TargetGuess("multiclass", how, f"{len(classes)} classes", classes=classes)
