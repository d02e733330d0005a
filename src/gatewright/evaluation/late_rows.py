"""Parts of the rows whose newest rows have not come.

By the share that a part has of the champion's newest rows, so many of the newer ones are to be
expected; of EXPECTED, less than the share FEW comes by chance once in 50,000 times (Poisson). A
part that ended before the champion's newest rows is expected no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gatewright.contract.schema import Contract
from gatewright.evaluation.training_rows import Integers, TrainingRows

EXPECTED, FEW = 20, 0.2
STRETCHES = 8  # of the rows that are newer than the champion's: a part may stop at each
USUAL = 4  # the champion's newest rows are the last of so many parts


@dataclass(frozen=True)
class Late:
    """A part of the rows of which hardly any came `since` a time.

    came, expected: how many of the rows since then are of it, and were to be expected.
    """

    name: str
    since: str
    came: int
    expected: float


def late_rows(rows: TrainingRows, contract: Contract) -> tuple[Late, ...]:
    """By value of the contract's slices, those first that lack the most."""
    if contract.time not in rows.numbers:
        return ()
    times = rows.numbers[contract.time]
    before, now = times[: rows.old], times[rows.old :]
    if not np.isfinite(before).any():
        return ()
    newer = np.flatnonzero(now > np.nanmax(before))
    newer = rows.old + newer[np.argsort(now[newer], kind="stable")]
    known = np.flatnonzero(np.isfinite(before))
    usual = known[before[known] >= np.quantile(before[known], 1 - 1 / USUAL)]
    found = []
    for name, codes, code in _parts(rows, contract):
        share = float((codes[usual] == code).mean())
        for start in np.arange(STRETCHES) * len(newer) // STRETCHES:
            expected = share * (len(newer) - start)
            if expected < EXPECTED:
                break
            came = int((codes[newer[start:]] == code).sum())
            if came < FEW * expected:
                since = _told(times[newer[start]], contract)
                found.append(Late(name, since, came, expected))
                break
    return tuple(sorted(found, key=lambda part: part.came - part.expected))


def _parts(rows: TrainingRows, contract: Contract) -> Iterator[tuple[str, Integers, int]]:
    for column in contract.slices:
        if column not in rows.codes:
            continue
        codes = rows.codes[column]
        values, first = np.unique(codes[: rows.old], return_index=True)
        for code, at in zip(values.tolist(), first.tolist(), strict=True):
            if code < 0:
                continue
            texts = rows.texts.get(column)
            value = texts[code] if texts else f"{rows.numbers[column][at]:g}"
            yield f"{column} {value}", codes, code


def _told(time: float, contract: Contract) -> str:
    if contract.columns[str(contract.time)].type == "datetime":
        return str(pd.Timestamp(int(time), tz="UTC").date())
    return f"{time:g}"
