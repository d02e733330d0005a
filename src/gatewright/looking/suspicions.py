"""What a person should look at first, worst first. Each says what it was measured by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gatewright.looking.facts import Facts, number
from gatewright.sources.guess_roles import alone

if TYPE_CHECKING:
    import pandas as pd

MUCH_MISSING = 0.3
ONE_VALUE = 0.995
FAR = 10.0  # interquartile ranges beyond the quartiles
CODES = (-1, -9, -99, -999, -9999, 9, 99, 999, 9999, 99999)  # that often mean "not known"
TELLS = 0.95  # ROC AUC or R² of a column alone
JUMP = 0.2  # of a missing share between two stretches of time
SHIFT = 1.0  # standard deviations by which the mean of a period differs from that of all
ASKED = 20_000


@dataclass(frozen=True)
class Suspicion:
    """weight: the larger, the earlier it is told."""

    column: str
    words: str
    weight: float


def suspicions(
    rows: pd.DataFrame, facts: Sequence[Facts], target: str | None, is_number: bool
) -> list[Suspicion]:
    """All that is suspicious of a table; nothing of what is only unusual."""
    found = [s for fact in facts for s in _of_column(fact, target)]
    found += _of_pairs(rows, facts)
    if target:
        found += _tells(rows, facts, target, is_number)
    if twice := int(rows.duplicated().sum()):
        share = twice / len(rows)
        words = f"{twice:,} rows are the same as another one, in every column"
        found.append(Suspicion("all columns", words, 1 + share))
    return sorted(found, key=lambda s: -s.weight)


def _of_column(fact: Facts, target: str | None) -> Iterator[Suspicion]:
    name, known = fact.name, max(fact.rows - fact.missing, 1)
    if name == target and fact.missing:
        yield Suspicion(name, f"{fact.missing:,} rows have no target: they cannot teach", 3.0)
    elif fact.missing_share > MUCH_MISSING:
        yield Suspicion(name, f"{fact.missing_share:.0%} missing", fact.missing_share)
    if fact.distinct == 1 or fact.most_common[1] > ONE_VALUE * known:
        share = fact.most_common[1] / known
        words = f"{share:.1%} of the rows say {fact.most_common[0]!r}"
        yield Suspicion(name, words, 0.9)
    yield from _of_number(fact)
    seen = [share for share in fact.missing_over_time if np.isfinite(share)]
    if seen and max(seen) - min(seen) > JUMP and name != target:
        words = f"missing in {min(seen):.0%} to {max(seen):.0%} of the rows, by when"
        yield Suspicion(name, words, 1 + max(seen) - min(seen))
    if fact.new_values:
        shown = ", ".join(map(repr, fact.new_values[:4]))
        yield Suspicion(name, f"values that only come late: {shown}", 0.8)


def _of_number(fact: Facts) -> Iterator[Suspicion]:
    if not fact.quantiles:
        return
    low, _, q1, _, q3, _, high = fact.quantiles
    spread = q3 - q1
    if spread > 0:
        for value, beyond in ((low, (q1 - low) / spread), (high, (high - q3) / spread)):
            if beyond > FAR:
                words = f"{number(value)} lies {beyond:.0f} interquartile ranges from the rest"
                code = value in CODES
                words += ", and often means 'not known'" if code else ""
                yield Suspicion(fact.name, words, 1.5 if code else min(1.4, 0.6 + beyond / 100))
    means = [mean for mean in fact.mean_over_time if np.isfinite(mean)]
    if len(means) > 3 and spread > 0:
        jump = max(abs(b - a) for a, b in pairwise(means))
        if jump > SHIFT * spread / 1.35:  # of a normal distribution that is one deviation
            words = f"its mean jumps by {jump:.3g} from one stretch of time to the next"
            yield Suspicion(fact.name, words, 1.2)


def _of_pairs(rows: pd.DataFrame, facts: Sequence[Facts]) -> Iterator[Suspicion]:
    """Numbers that say the same."""
    names = [fact.name for fact in facts if fact.kind == "number" and fact.distinct > 2][:200]
    if len(names) < 2:
        return
    some = rows[names].head(ASKED).to_numpy(dtype=float, na_value=np.nan)
    filled = np.where(
        np.isfinite(some), some, np.nanmean(np.where(np.isfinite(some), some, np.nan), axis=0)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.abs(np.corrcoef(filled, rowvar=False))
    for one, other in np.argwhere(np.triu(alike, 1) > 0.9999):
        words = f"says the same as '{names[one]}' (correlation {alike[one, other]:.4f})"
        yield Suspicion(names[other], words, 0.7)


def _tells(
    rows: pd.DataFrame, facts: Sequence[Facts], target: str, is_number: bool
) -> Iterator[Suspicion]:
    """Columns that alone tell the target: by a small tree, on rows that it did not see."""
    at = np.random.default_rng(0).permutation(np.flatnonzero(rows[target].notna()))[:ASKED]
    told = rows[target].iloc[at]
    for fact in facts:
        if fact.name == target:
            continue
        score = alone(rows[fact.name].iloc[at], told, is_number)
        if score is not None and score > TELLS:
            words = "share of the variance" if is_number else "ROC AUC"
            said = f"tells the target alone: {score:.3f} ({words}). Is it known before?"
            yield Suspicion(fact.name, said, 2 + score)
