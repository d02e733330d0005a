"""Metrics for a binary target, computable under row weights.

Each metric takes counts per row, so that a bootstrap resample is one weighted evaluation and
nothing is sorted twice. Under unit counts the values are those of scikit-learn's functions of
the same name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One metric: a mean of losses over rows, or a function of the ranking.

    `loss(y, p)` gives a loss a row. `ranked(tp, fp, scratch)` takes true and false positives at
    each distinct score from the highest down, and a buffer of their shape that it may fill:
    fresh arrays of this size cost more than the arithmetic.
    """

    name: str
    title: str
    higher_is_better: bool
    loss: Callable[[Floats, Floats], Floats] | None = None
    ranked: Callable[[Floats, Floats, Floats], float] | None = None


def _squared(y: Floats, p: Floats) -> Floats:
    return np.square(p - y)


def _log(y: Floats, p: Floats) -> Floats:
    tiny = np.finfo(np.float64).eps
    p = np.clip(p, tiny, 1 - tiny)
    return np.asarray(-np.log(np.where(y > 0, p, 1 - p)))


def _roc_auc(tp: Floats, fp: Floats, scratch: Floats) -> float:
    """Area under the ROC curve by the trapezoid rule (Fawcett 2006), summed by parts."""
    twice = tp[-1] * fp[-1] + np.dot(fp[1:], tp[:-1]) - np.dot(fp[:-1], tp[1:])
    return float(twice / (2 * tp[-1] * fp[-1])) if tp[-1] and fp[-1] else float("nan")


def _average_precision(tp: Floats, fp: Floats, scratch: Floats) -> float:
    """Mean precision weighted by the gain in recall, without interpolation."""
    precision = np.add(tp, fp, out=scratch)
    np.divide(tp, np.maximum(precision, 1, out=precision), out=precision)
    gained = np.dot(tp, precision) - np.dot(tp[:-1], precision[1:])
    return float(gained / tp[-1]) if tp[-1] else float("nan")


METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", True, ranked=_roc_auc),
        Metric("average_precision", "average precision", True, ranked=_average_precision),
        Metric("brier_score", "Brier score", False, loss=_squared),
        Metric("log_loss", "log loss", False, loss=_log),
    )
}
