"""Values of training rows that the champion never saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gatewright.contract.schema import Contract
from gatewright.evaluation.training_rows import Integers, TrainingRows


@dataclass(frozen=True)
class UnseenValues:
    """Touched rows whose value in a column the champion never saw, and how many such values."""

    column: str
    rows: int
    values: int


def unseen_values(
    rows: TrainingRows, touched: Integers, contract: Contract, *, text: bool
) -> Iterator[UnseenValues]:
    """By column of the rows at `touched`, shape (n,), what the champion never saw.

    text: categories that it never saw, else numbers outside of the range that it saw. A missing
    value is neither.
    """
    for name in dict.fromkeys([*contract.features, *contract.slices]):
        if name not in rows.codes or (name in rows.numbers) == text:
            continue
        codes = rows.codes[name]
        if text:
            known = np.zeros(codes.max(initial=0) + 2, dtype=bool)
            known[codes[: rows.old]] = known[-1] = True  # -1 is missing, no category
            beyond = ~known[codes[touched]]
        else:
            seen = rows.numbers[name][: rows.old]
            seen = seen[~np.isnan(seen)]
            if not len(seen):
                continue
            told = rows.numbers[name][touched]
            beyond = (told < seen.min()) | (told > seen.max())
        if beyond.any():
            yield UnseenValues(name, int(beyond.sum()), len(np.unique(codes[touched][beyond])))
