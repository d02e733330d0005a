"""What follows from an estimate and its standard error."""

from collections.abc import Sequence
from math import ceil, floor, log10
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewright.evaluation.bootstrap import Estimate


def normal(value: float, error: float, confidence: float = 0.95) -> Estimate:
    """The interval of an estimate that is about normal."""
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return Estimate(float(value), float(value - reach), float(value + reach))


def mean_error(values: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> float:
    """The standard error of the mean of values of shape (n,).

    With groups (codes from 0, shape (n,)), rows of a group are not taken for independent (Liang
    and Zeger 1986). They make it no smaller, as one that has nearly all rows would.
    """
    centred = values - values.mean()
    alone = _spread(centred, len(values)) / len(values)
    if groups is None:
        return alone
    sums = np.bincount(groups, weights=centred)
    return max(alone, _spread(sums, int(np.count_nonzero(np.bincount(groups)))) / len(values))


def _spread(sums: NDArray[Any], units: int) -> float:
    return float(np.sqrt((sums**2).sum() * units / max(units - 1, 1)))


def share_error(flags: NDArray[np.bool_], groups: NDArray[np.int64] | None = None) -> float:
    """The standard error of a share of flags of shape (n,); not zero when none or all are set.

    By Laplace's rule of succession; groups as for `mean_error`.
    """
    share = (flags.sum() + 1) / (len(flags) + 2)
    alone = float(np.sqrt(share * (1 - share) / max(len(flags), 1)))
    return alone if groups is None else max(alone, mean_error(flags.astype(float), groups))


def reach(confidence: float, questions: int) -> float:
    """How many times as wide an interval has to be, if so many questions were asked of the rows.

    Each end may err with (1 - confidence) / 2 as long as one or two were asked, and with
    (1 - confidence) / questions after that: whoever asks until the answer is yes is wrong about as
    often as somebody who asks once (Bonferroni, over questions that come one after the other).
    """
    tail = (1 - confidence) / 2
    normal = NormalDist()
    return normal.inv_cdf(1 - min(tail, 2 * tail / max(questions, 1))) / normal.inv_cdf(1 - tail)


def to_digits(value: float, digits: int, towards: int) -> float:
    """A value to some significant digits, rounded up (towards > 0) or down."""
    if not abs(value) > 0:
        return 0.0
    step = 10.0 ** (floor(log10(abs(value))) - digits + 1)
    return float(f"{(ceil if towards > 0 else floor)(value / step) * step:.12g}")


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are rejected, with a family-wise error of at most `alpha` (Holm 1979)."""
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    for rank, at in enumerate(order):
        if not p_values[at] <= alpha / (len(p_values) - rank):
            break
        rejected[at] = True
    return rejected


def below(value: float, bound: float, error: float) -> float:
    """The p-value of "the truth is at least `bound`", given an estimate and its error."""
    if not error > 0:
        return 0.0 if value < bound else 1.0
    return NormalDist().cdf((value - bound) / error)
