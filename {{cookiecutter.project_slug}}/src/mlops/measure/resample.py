"""Intervals by the paired bootstrap.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16: rows are
drawn with replacement, every model is evaluated on the same draw, and the percentiles of the
values, or of the differences between two models, bound the interval. Pairing removes the
variance that the models share.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mlops.measure.metrics import Floats, Metric

_BLOCK = 50  # resamples that share one generator, so results do not depend on the thread count


@dataclass(frozen=True)
class Estimate:
    """A value and its two-sided percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """Values on the rows as they are, and on each resample.

    points: shape (metrics, models); draws: shape (resamples, metrics, models).
    """

    metrics: tuple[Metric, ...]
    models: tuple[str, ...]
    points: Floats
    draws: Floats
    confidence: float

    def estimate(self, metric: str, model: str) -> Estimate:
        row, column = self._at(metric, model)
        return self._bounded(self.points[row, column], self.draws[:, row, column])

    def gain(self, metric: str, model: str, over: str) -> Estimate:
        """How much better `model` is than `over`: above zero is better for every metric."""
        row, a = self._at(metric, model)
        _, b = self._at(metric, over)
        sign = 1.0 if self.metrics[row].higher_is_better else -1.0
        return self._bounded(
            sign * (self.points[row, a] - self.points[row, b]),
            sign * (self.draws[:, row, a] - self.draws[:, row, b]),
        )

    def _at(self, metric: str, model: str) -> tuple[int, int]:
        return [m.name for m in self.metrics].index(metric), self.models.index(model)

    def _bounded(self, value: float, draws: Floats) -> Estimate:
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])  # NaN in one draw is NaN in the bounds
        return Estimate(float(value), float(low), float(high))


class _Ranking:
    """One model's scores, sorted once."""

    def __init__(self, y: NDArray[np.bool_], scores: Floats) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of ties
        self.distinct = len(ends)
        self.ends: Any = ends if len(ends) < len(y) else slice(None)  # nothing to pick, no copy
        self.positive = y[self.order].astype(np.int32)


class _Worker:
    """One thread's buffers: with 57 thousand rows, fresh ones would take three times as long."""

    def __init__(self, n: int, rankings: Sequence[_Ranking]) -> None:
        self.weights = np.empty(n)
        self.counts, self.drawn, self.running = (np.empty(n, dtype=np.int32) for _ in range(3))
        self.curves = [tuple(np.empty(r.distinct) for _ in range(3)) for r in rankings]
        self.rankings = rankings

    def draw(self, generator: np.random.Generator) -> None:
        """Count how often each row is drawn when n of n are drawn with replacement."""
        n = len(self.counts)
        drawn = np.bincount(generator.integers(n, size=n), minlength=n)
        np.copyto(self.counts, drawn, casting="unsafe")

    def evaluate(self, metrics: Sequence[Metric], losses: Floats) -> Floats:
        """Values of shape (metrics, models) under the current counts."""
        out = np.empty((len(metrics), len(self.rankings)))
        for column, ranking in enumerate(self.rankings):
            tp, fp, scratch = self.curves[column]
            np.take(self.counts, ranking.order, out=self.drawn, mode="clip")
            np.cumsum(self.drawn, out=self.running)
            np.copyto(fp, self.running[ranking.ends])
            np.multiply(self.drawn, ranking.positive, out=self.drawn)
            np.cumsum(self.drawn, out=self.running)
            np.copyto(tp, self.running[ranking.ends])
            np.subtract(fp, tp, out=fp)
            for row, metric in enumerate(metrics):
                if metric.ranked:
                    out[row, column] = metric.ranked(tp, fp, scratch)
        if len(losses):
            np.copyto(self.weights, self.counts)
            # A dot product a row, so that equal losses give equal means to the last bit.
            means = [loss @ self.weights / len(loss) for loss in losses]
            averaged = [row for row, metric in enumerate(metrics) if metric.loss]
            out[averaged] = np.reshape(means, (len(averaged), -1))
        return out


def measure(
    y: NDArray[np.bool_],
    scores: Mapping[str, Floats],
    metrics: Sequence[Metric],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Measured:
    """Evaluate models on the same rows and on the same resamples of them.

    Parameters
    ----------
    y : shape (n,), True for the event; n below 2**31.
    scores : model name to probabilities of the event, each of shape (n,).
    resamples : how many times n rows are drawn with replacement.
    confidence : of the two-sided intervals, in (0, 1).

    Memory is linear in n and in the number of threads; nothing of size n x resamples is held.
    """
    truth = y.astype(float)
    rankings = [_Ranking(y, p) for p in scores.values()]
    rows = [m.loss(truth, p) for m in metrics if m.loss for p in scores.values()]
    losses = np.array(rows).reshape(-1, len(y))

    def block(index: int) -> Floats:
        generator = np.random.Generator(np.random.SFC64([seed, index]))
        worker = _Worker(len(y), rankings)
        values = []
        for _ in range(min(_BLOCK, resamples - index * _BLOCK)):
            worker.draw(generator)
            values.append(worker.evaluate(metrics, losses))
        return np.array(values)

    whole = _Worker(len(y), rankings)
    whole.counts[:] = 1
    # Threads of BLAS would change the last bits, and wait for the threads above them.
    threads = min(os.cpu_count() or 1, 8, 1 + len(y) // 20_000)  # below that they only queue
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        points = whole.evaluate(metrics, losses)
        draws = np.concatenate(list(pool.map(block, range(-(-resamples // _BLOCK)))))
    return Measured(tuple(metrics), tuple(scores), points, draws, confidence)
