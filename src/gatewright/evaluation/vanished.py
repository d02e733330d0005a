"""Rows of one label that vanish from a part of the training rows.

Within a part of the rows, and within a stretch of time, rows that go at random go from every label
alike: how many of one label do is hypergeometric. Summed over the stretches as by Mantel and
Haenszel (1959), and held against the binomial, which is wider (Hoeffding 1956), so it is exact
enough for few rows too. A part may also lose more of one label because rows of another column's
value go, which has more of it (Simpson 1951): what a single such column explains does not count
either. Rows older or newer than all that stay of their part aged out, and rows of
a value that is wholly gone (a shop that closed) went with it: neither count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gatewright.contract.schema import Contract
from gatewright.evaluation.intervals import holm
from gatewright.evaluation.training_rows import Flags, Integers, TrainingRows

ALPHA = 0.01  # as this is asked at each update
STRETCHES = 8  # of time, within which rows of each label are compared
VALUES = 50  # of a text column, for it to part the rows
FEWEST = 20  # rows of a part and label; fewer are no harm that anybody could see


@dataclass(frozen=True)
class Vanished:
    """Rows of one label in one part of the champion's training rows.

    rows: how many there were; gone: how many are gone, of those that did not age out; excess: the
    share of `rows` that is gone beyond what goes from the part's other labels. proven: with Holm's
    correction over all parts and labels.
    """

    name: str
    rows: int
    gone: int
    excess: float
    proven: bool


def vanished_rows(rows: TrainingRows, gone: Flags, contract: Contract) -> tuple[Vanished, ...]:
    """By part and label, those first that lose the most; gone: shape (rows.old,)."""
    from scipy.stats import binom

    found, chances = [], []
    labels = _labels(rows)
    parts = list(_parts(rows, contract))
    columns = {column for column, _, _ in parts if column}
    counts = np.full(rows.old, True)
    for _, _, inside in parts[1:]:
        if gone[inside].all() and len(np.unique(labels[inside])) > 1:
            counts[inside] = False
    for column, part, inside in parts:
        inside = inside[counts[inside]]
        inside = inside[_remaining(rows, gone, inside, contract)]
        times = _stretches(rows, inside, contract)
        went, label = gone[inside], labels[inside]
        if not went.any():
            continue
        for code, meaning in _meanings(rows):
            of = label == code
            count = int(of.sum())
            if count < FEWEST or count == len(of):
                continue
            expected = _expected(times, went, of)
            seen, total = int(went[of].sum()), int(went.sum())
            if binom.sf(seen - 1, total, expected / total) <= ALPHA:
                others = (rows.codes[name][inside] for name in columns - {column})
                explained = [_expected(_within(times, codes), went, of) for codes in others]
                expected = max([expected, *explained])
            chances.append(float(binom.sf(seen - 1, total, expected / total)))
            name = ", ".join(filter(None, (part, f"label {meaning}")))
            found.append((name, count, seen, (seen - expected) / count))
    proven = holm(chances, ALPHA)
    made = [Vanished(*about, sure) for about, sure in zip(found, proven, strict=True)]
    return tuple(sorted(made, key=lambda part: -part.excess))


def _expected(strata: Integers, went: Flags, of: Flags) -> float:
    """How many of a label go if, in each stratum, rows go whatever their label."""
    sizes = np.bincount(strata)
    lost = np.bincount(strata, weights=went)
    labelled = np.bincount(strata[of], minlength=len(sizes))
    return float((lost * labelled / np.maximum(sizes, 1)).sum())


def _within(times: Integers, codes: Integers) -> Integers:
    """Stretches of time within each value of a column; those with FEWEST rows or more."""
    strata = (codes + 2) * STRETCHES + times
    small = np.bincount(strata)[strata] < FEWEST
    return np.where(small, times, strata)


def _labels(rows: TrainingRows) -> Integers:
    """The class of each row; of a number, whether it lies above the median. -1 if missing."""
    known = np.isfinite(rows.told)
    if rows.classes:
        return np.where(known, rows.told, -1).astype(np.int64)
    middle = np.median(rows.told[: rows.old][known[: rows.old]]) if known[: rows.old].any() else 0.0
    return np.where(known, rows.told > middle, -1).astype(np.int64)


def _meanings(rows: TrainingRows) -> list[tuple[int, str]]:
    return list(enumerate(rows.classes or ("below the median", "above the median")))


def _parts(rows: TrainingRows, contract: Contract) -> Iterator[tuple[str, str, Integers]]:
    """All rows, and those of each value of the slices and of texts with few values: the column,
    the part's name, and its rows."""
    yield "", "", np.arange(rows.old)
    few = [name for name, meant in rows.texts.items() if len(meant) <= VALUES]
    for column in dict.fromkeys([*contract.slices, *few]):
        if column not in rows.codes:
            continue
        codes = rows.codes[column][: rows.old]
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(codes.max(initial=-1) + 2))
        for code, (start, end) in enumerate(pairwise(starts)):
            if end - start < FEWEST:
                continue
            at = np.sort(order[start:end])
            text = rows.texts[column][code] if column in rows.texts else _number(rows, column, at)
            yield column, f"{column} {text}", at


def _number(rows: TrainingRows, column: str, at: Integers) -> str:
    return f"{rows.numbers[column][at[0]]:g}"


def _remaining(rows: TrainingRows, gone: Flags, inside: Integers, contract: Contract) -> Flags:
    """Which rows of a part lie within the time of those of it that stay."""
    if contract.time not in rows.numbers:
        return np.full(len(inside), True)
    times = rows.numbers[contract.time][inside]
    stay = times[~gone[inside]]
    stay = stay[np.isfinite(stay)]
    if not len(stay):
        return np.full(len(inside), False)
    return np.asarray((times >= stay.min()) & (times <= stay.max()))


def _stretches(rows: TrainingRows, inside: Integers, contract: Contract) -> Integers:
    if contract.time not in rows.numbers or not len(inside):
        return np.zeros(len(inside), dtype=np.int64)
    order = np.argsort(rows.numbers[contract.time][inside], kind="stable")
    stretch = np.empty(len(inside), dtype=np.int64)
    stretch[order] = np.arange(len(inside)) * STRETCHES // len(inside)
    return stretch
