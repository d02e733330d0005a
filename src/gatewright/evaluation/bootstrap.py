"""Intervals by the paired bootstrap.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8, 13 and 16: rows, or
groups of rows that belong together, are drawn with replacement, every model is evaluated on the
same draw, and the percentiles of the values, or of the differences between two models, bound the
interval. Pairing removes the variance that the models share.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from gatewright.errors import Refused
from gatewright.evaluation.metrics import Metric, Ranking, View
from gatewright.evaluation.predictions import Answers, Floats, Truth

_BLOCK = 50  # resamples that share one generator, so results do not depend on the thread count
SLOW = 200  # resamples of a metric that is a function of the team's
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A value and its two-sided percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """Values on the rows as they are, and on each resample.

    points: shape (metrics, models); draws: shape (resamples, metrics, models), of which a metric
    that is a function has the first SLOW.
    """

    metrics: tuple[Metric, ...]
    models: tuple[str, ...]
    points: Floats
    draws: Floats
    confidence: float

    def estimate(self, metric: str, model: str) -> Estimate:
        """Raises Refused if the metric was not measured."""
        at, column = self._at(metric), self.models.index(model)
        return self._bounded(at, self.points[at, column], self._drawn(at)[:, column])

    def gain(self, metric: str, model: str, over: str) -> Estimate:
        """How much better `model` is than `over`: above zero is better for every metric."""
        at = self._at(metric)
        points, draws = self._gains(at, model, over)
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Estimate(float(points), float(low), float(high))

    def error(self, metric: str, model: str, over: str) -> float:
        """The standard error of the gain."""
        return float(self._gains(self._at(metric), model, over)[1].std(ddof=1))

    def smallest(self, metric: str, model: str, over: str) -> float:
        """The smallest true difference that these rows would show, POWER of the times."""
        normal = NormalDist()
        quantiles = normal.inv_cdf((1 + self.confidence) / 2) + normal.inv_cdf(POWER)
        return quantiles * self.error(metric, model, over)

    def resamples(self, metric: str) -> int:
        """How many resamples the metric's intervals are of."""
        return len(self._drawn(self._at(metric)))

    def _at(self, metric: str) -> int:
        names = [m.name for m in self.metrics]
        if metric not in names:
            raise Refused(f"{metric} is not measured here; there are: {', '.join(names)}.")
        return names.index(metric)

    def _drawn(self, at: int) -> Floats:
        return self.draws[:SLOW, at] if self.metrics[at].function else self.draws[:, at]

    def _gains(self, at: int, model: str, over: str) -> tuple[float, Floats]:
        sign = 1.0 if self.metrics[at].higher_is_better else -1.0
        a, b = self.models.index(model), self.models.index(over)
        draws = self._drawn(at)
        return sign * (self.points[at, a] - self.points[at, b]), sign * (draws[:, a] - draws[:, b])

    def _bounded(self, at: int, value: float, draws: Floats) -> Estimate:
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])  # NaN in one draw is NaN in the bounds
        if self.metrics[at].biased:
            # A resample adds to the sample's bias about what the sample added to the truth. The
            # upper end is lowered once and not twice, because that correction is uncertain too.
            bias = draws.mean() - value
            value, low, high = np.maximum([value - bias, low - 2 * bias, high - bias], 0)
        return Estimate(float(value), float(low), float(high))


def _rankings(y: Truth, answers: Answers, view: View) -> list[Ranking]:
    scores = answers.scores
    if view == "event":
        return [Ranking(y, scores)]
    if view == "classes":
        return [Ranking(y == code, scores[:, code]) for code in range(scores.shape[1])]
    return [Ranking(scores.argmax(axis=1) == y, scores.max(axis=1))]


class _Model:
    """What of one model's answers does not change between resamples."""

    def __init__(self, y: Truth, answers: Answers, metrics: Sequence[Metric]) -> None:
        self.y, self.answers = y, answers
        views = dict.fromkeys(metric.view for metric in metrics if metric.ranked)
        self.rankings = {view: _rankings(y, answers, view) for view in views}
        self.losses = [m.losses and np.atleast_2d(m.losses(y, answers)) for m in metrics]
        self.cells = [m.cells and m.cells(y, answers) for m in metrics]
        size = answers.scores.shape[-1] if answers.scores.ndim == 2 else 2
        self.size = size * size


class _Worker:
    """One thread's buffers: with 57 thousand rows, fresh ones would take three times as long."""

    def __init__(self, n: int, models: Sequence[_Model], groups: NDArray[np.int64] | None) -> None:
        self.weights, self.scratch = np.ones(n), (np.empty(n + 1), np.empty(n + 1))
        self.models, self.groups = models, groups
        self.units = n if groups is None else int(groups.max()) + 1
        self.uniform = np.empty(self.units)

    def draw(self, generator: np.random.Generator) -> None:
        """Weigh each row by how often it is drawn when n of n, or all groups, are drawn anew."""
        uniform = generator.random(out=self.uniform)  # faster than integers
        drawn = np.multiply(uniform, self.units, out=uniform).astype(np.intp)
        times = np.bincount(drawn, minlength=self.units)
        if self.groups is not None:
            times = times[self.groups]
        np.copyto(self.weights, times)

    def evaluate(self, metrics: Sequence[Metric], slow: bool) -> Floats:
        """Values of shape (metrics, models) under the current weights."""
        out = np.full((len(metrics), len(self.models)), np.nan)
        total = self.weights.sum() if any(metric.losses for metric in metrics) else 0.0
        for column, model in enumerate(self.models):
            for row, metric in enumerate(metrics):
                losses, cells = model.losses[row], model.cells[row]
                if metric.ranked:
                    rankings = model.rankings[metric.view]
                    values = [metric.ranked(r, self.weights, self.scratch) for r in rankings]
                    out[row, column] = sum(values) / len(values)
                elif losses is not None:
                    # A dot product a row, so that equal losses give equal means to the last bit.
                    means = np.array([loss @ self.weights for loss in losses]) / total
                    out[row, column] = metric.combine(means)
                elif cells is not None:
                    weighed = np.bincount(cells, weights=self.weights, minlength=model.size)
                    out[row, column] = metric.combine(weighed.astype(float))
                elif metric.function and slow:
                    out[row, column] = metric.function(model.y, model.answers, self.weights)
        return out


def measure(
    y: Truth,
    answers: Mapping[str, Answers],
    metrics: Sequence[Metric],
    *,
    groups: NDArray[np.int64] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Measured:
    """Evaluate models on the same rows and on the same resamples of them.

    Parameters
    ----------
    y : shape (n,), what came true; n below 2**31.
    answers : by model, for the same n rows.
    groups : shape (n,), codes from 0 of the groups that are drawn whole; without them, rows are.
    resamples : how many times n rows, or all groups, are drawn with replacement.
    confidence : of the two-sided intervals, in (0, 1).

    Memory is linear in n and in the number of threads; nothing of size n x resamples is held.
    """
    models = [_Model(y, answers[name], metrics) for name in answers]

    def block(index: int) -> Floats:
        generator = np.random.Generator(np.random.SFC64([seed, index]))
        worker = _Worker(len(y), models, groups)
        values = []
        for number in range(index * _BLOCK, min((index + 1) * _BLOCK, resamples)):
            worker.draw(generator)
            values.append(worker.evaluate(metrics, slow=number < SLOW))
        return np.array(values)

    whole = _Worker(len(y), models, groups)
    # Threads of BLAS would change the last bits, and wait for the threads above them.
    threads = min(os.cpu_count() or 1, 8, 1 + len(y) // 20_000)  # below that they only queue
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        points = whole.evaluate(metrics, slow=True)
        draws = np.concatenate(list(pool.map(block, range(-(-resamples // _BLOCK)))))
    return Measured(tuple(metrics), tuple(answers), points, draws, confidence)


def delong(y: NDArray[np.bool_], scores: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """ROC AUC of several scores on the same rows, and the covariance of these values.

    DeLong, DeLong and Clarke-Pearson (1988), by midranks as in Sun and Xu (2014).
    y: shape (n,). Returns shape (models,) and (models, models); NaN where a class has no two rows.
    """
    from scipy.stats import rankdata

    table = np.array([*scores.values()])
    events, others = table[:, y], table[:, ~y]
    m, n = events.shape[1], others.shape[1]
    if min(m, n) < 2:
        return np.full(len(table), np.nan), np.full((len(table), len(table)), np.nan)
    among = rankdata(np.hstack([events, others]), axis=1)
    of_events = (among[:, :m] - rankdata(events, axis=1)) / n
    of_others = 1 - (among[:, m:] - rankdata(others, axis=1)) / m
    covariance = np.cov(of_events) / m + np.cov(of_others) / n
    return of_events.mean(axis=1), covariance.reshape(len(table), len(table))
