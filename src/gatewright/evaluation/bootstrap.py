"""Intervals by the paired bootstrap.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8, 13 and 16: rows, or
groups of rows that belong together, are drawn with replacement, every model is evaluated on the
same draw, and the percentiles of the values, or of the differences between two models, bound the
interval. Pairing removes the variance that the models share.

From LARGE rows on, by the bag of little bootstraps (Kleiner, Talwalkar, Sarkar and Jordan 2014, "A
Scalable Bootstrap for Massive Data", JRSS B 76): disjoint subsets of about LITTLE of the n rows are
drawn, and from each of them, again and again, n rows with replacement. What a resample differs by
from its subset is what a resample of all rows would differ by from all rows. Groups are drawn
whole, and a subset has LEAST of them or more.

Where groups are few, sums over each of them are made once, and a resample weighs these.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
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
LITTLE = 100_000  # rows of a subset
LARGE = 3 * LITTLE
SUBSETS = 10  # at most
LEAST = 100  # groups of a subset
FEW = 1000  # groups, at most, that are summed over


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
    that is a function has the first SLOW. Intervals reach `reach` times as far as these say.
    """

    metrics: tuple[Metric, ...]
    models: tuple[str, ...]
    points: Floats
    draws: Floats
    confidence: float
    reach: float = 1.0

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
        return self._stretched(float(points), float(low), float(high))

    def _stretched(self, value: float, low: float, high: float) -> Estimate:
        """The interval, reaching farther on both sides in the same proportion."""
        if self.reach == 1:
            return Estimate(value, low, high)
        return Estimate(
            value, value - self.reach * (value - low), value + self.reach * (high - value)
        )

    def error(self, metric: str, model: str, over: str) -> float:
        """The standard error of the gain."""
        return float(self._gains(self._at(metric), model, over)[1].std(ddof=1))

    def smallest(self, metric: str, model: str, over: str) -> float:
        """The smallest true difference that these rows would show, POWER of the times."""
        normal = NormalDist()
        quantiles = self.reach * normal.inv_cdf((1 + self.confidence) / 2) + normal.inv_cdf(POWER)
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
        return self._stretched(float(value), float(low), float(high))


def values_of(y: Truth, answers: Answers, metrics: Sequence[Metric]) -> list[float]:
    """The value of each metric on these rows."""
    found = _Sample(y, {"": answers}, None).points(metrics)[:, 0]
    return [float(value) for value in found]


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

    def of_groups(
        self, at: int, metric: Metric, groups: NDArray[np.int64], times: Floats
    ) -> Floats | None:
        """Values of shape (draws,), where group g of the rows counts times[draw, g] times.

        By sums over each group; None for a metric that has no such form.
        """
        count, losses, cells = times.shape[1], self.losses[at], self.cells[at]
        if losses is not None:
            sums = np.array([np.bincount(groups, loss, count) for loss in losses])
            means = times @ sums.T / (times @ np.bincount(groups, minlength=count))[:, None]
            return np.array([metric.combine(of_draw) for of_draw in means])
        if cells is not None:
            by_group = np.bincount(cells * count + groups, minlength=self.size * count)
            weighed = times @ by_group.reshape(self.size, count).T
            return np.array([metric.combine(of_draw) for of_draw in weighed])
        if metric.of_groups:
            rankings = self.rankings[metric.view]
            each = [metric.of_groups(ranking, groups, times) for ranking in rankings]
            return np.asarray(np.mean(each, axis=0))
        return None


class _Worker:
    """One thread's buffers: with 57 thousand rows, fresh ones would take three times as long."""

    def __init__(
        self,
        n: int,
        models: Sequence[_Model],
        groups: NDArray[np.int64] | None,
        drawn: int | None = None,
    ) -> None:
        self.weights, self.scratch = np.ones(n), (np.empty(n + 1), np.empty(n + 1))
        self.models, self.groups, self.drawn = models, groups, drawn
        self.units = _units(n, groups)
        self.uniform = np.empty(self.units if drawn is None else 0)

    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """How often each row, or group, is drawn when `drawn` are drawn anew; shape (units,).

        Without `drawn`, as many as there are.
        """
        if self.drawn is not None:
            return generator.multinomial(self.drawn, np.full(self.units, 1 / self.units))
        uniform = generator.random(out=self.uniform)  # faster than integers
        drawn = np.multiply(uniform, self.units, out=uniform).astype(np.intp)
        return np.bincount(drawn, minlength=self.units)

    def weigh(self, times: NDArray[np.int64]) -> None:
        """Weigh each row by how often it, or its group, was drawn."""
        np.copyto(self.weights, times if self.groups is None else times[self.groups])

    def evaluate(
        self, metrics: Sequence[Metric], slow: bool, only: Container[int] | None = None
    ) -> Floats:
        """Values of shape (metrics, models) under the current weights; NaN for what is left out.

        slow: whether functions are asked too. only: the positions of the metrics that are.
        """
        out = np.full((len(metrics), len(self.models)), np.nan)
        total = self.weights.sum() if any(metric.losses for metric in metrics) else 0.0
        for column, model in enumerate(self.models):
            for row, metric in enumerate(metrics):
                if only is not None and row not in only:
                    continue
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


@dataclass(frozen=True)
class _Sample:
    """What came true, the answers and the groups of n rows: see `measure`."""

    y: Truth
    answers: Mapping[str, Answers]
    groups: NDArray[np.int64] | None

    @property
    def units(self) -> int:
        return _units(len(self.y), self.groups)

    @property
    def little(self) -> int:
        """How many units a subset has: about LITTLE rows, and LEAST groups."""
        return max(LITTLE * self.units // len(self.y), min(LEAST, self.units))

    @property
    def has_few_groups(self) -> bool:
        return self.groups is not None and self.units <= FEW

    @property
    def is_large(self) -> bool:
        return len(self.y) >= LARGE and self.units >= 3 * self.little

    def models(self, metrics: Sequence[Metric]) -> list[_Model]:
        return [_Model(self.y, said, metrics) for said in self.answers.values()]

    def points(self, metrics: Sequence[Metric]) -> Floats:
        """Values of shape (metrics, models). One after the other, to hold what one needs."""

        def value(metric: Metric, said: Answers) -> float:
            model = _Model(self.y, said, [metric])
            return float(_Worker(len(self.y), [model], None).evaluate([metric], slow=True)[0, 0])

        models = self.answers.values()
        return np.array([[value(metric, said) for said in models] for metric in metrics])

    def subsets(self, seed: int) -> list[_Sample]:
        """Disjoint samples of `little` units each."""
        count = min(SUBSETS, self.units // self.little)
        order = np.random.Generator(np.random.SFC64([seed, SUBSETS])).permutation(self.units)
        return [self._of(np.sort(units)) for units in np.split(order[: count * self.little], count)]

    def _of(self, units: NDArray[np.int64]) -> _Sample:
        rows, groups = units, None
        if self.groups is not None:
            codes = np.full(self.units, -1)
            codes[units] = np.arange(len(units))
            groups = codes[self.groups]
            rows = np.flatnonzero(groups >= 0)
            groups = groups[rows]
        return _Sample(self.y[rows], {n: said[rows] for n, said in self.answers.items()}, groups)


def _units(n: int, groups: NDArray[np.int64] | None) -> int:
    return n if groups is None else int(groups.max()) + 1


def measure(
    y: Truth,
    answers: Mapping[str, Answers],
    metrics: Sequence[Metric],
    *,
    groups: NDArray[np.int64] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    reach: float = 1.0,
) -> Measured:
    """Evaluate models on the same rows and on the same resamples of them.

    Parameters
    ----------
    y : shape (n,), what came true; n below 2**31.
    answers : by model, for the same n rows.
    groups : shape (n,), codes from 0 of the groups that are drawn whole; without them, rows are.
    resamples : how many times n rows, or all groups, are drawn with replacement.
    confidence : of the two-sided intervals, in (0, 1).
    reach : how many times as far as that they go.

    Memory is linear in n, for one model at a time, and in the number of threads; nothing of size
    n x resamples is held. Time is linear in n, times resamples only below LARGE; times groups, and
    not resamples, where these are few.
    """
    whole = _Sample(y, answers, groups)
    subsets = whole.subsets(seed) if whole.is_large else [whole]
    size = _BLOCK
    if subsets[0].has_few_groups:  # sums over groups are made once a block
        size = max(-(-resamples // len(subsets)), _BLOCK)
    blocks = [range(at, min(at + size, resamples)) for at in range(0, resamples, size)]
    # Threads of BLAS would change the last bits, and wait for the threads above them.
    threads = min(os.cpu_count() or 1, 8, 1 + len(y) // 20_000)  # below that they only queue
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        if not whole.is_large:
            models = whole.models(metrics)
            points = _Worker(len(y), models, groups).evaluate(metrics, slow=True)
            drawn = [pool.submit(_block, whole, models, metrics, of, seed) for of in blocks]
        else:
            points = whole.points(metrics)
            drawn = [
                pool.submit(_little, subsets[at % len(subsets)], whole, points, metrics, of, seed)
                for at, of in enumerate(blocks)
            ]
        draws = np.concatenate([block.result() for block in drawn])
    return Measured(tuple(metrics), tuple(answers), points, draws, confidence, reach)


def _little(
    subset: _Sample,
    whole: _Sample,
    points: Floats,
    metrics: Sequence[Metric],
    numbers: range,
    seed: int,
) -> Floats:
    """A block of draws from a subset, of as many rows as the whole has, moved to its points."""
    models = subset.models(metrics)
    worker = _Worker(len(subset.y), models, subset.groups)
    own = worker.evaluate(metrics, slow=numbers.start < SLOW)
    return points + _block(subset, models, metrics, numbers, seed, whole.units) - own


def _block(
    sample: _Sample,
    models: Sequence[_Model],
    metrics: Sequence[Metric],
    numbers: range,
    seed: int,
    drawn: int | None = None,
) -> Floats:
    """Values of shape (numbers, metrics, models) on resamples; it has its own generator."""
    generator = np.random.Generator(np.random.SFC64([seed, numbers.start // _BLOCK]))
    worker = _Worker(len(sample.y), models, sample.groups, drawn)
    if sample.has_few_groups:
        draws = np.array([worker.draw(generator) for _ in numbers])
        return _summed(sample, worker, metrics, numbers, draws)
    values = []
    for number in numbers:
        worker.weigh(worker.draw(generator))
        values.append(worker.evaluate(metrics, slow=number < SLOW))
    return np.array(values)


def _summed(
    sample: _Sample,
    worker: _Worker,
    metrics: Sequence[Metric],
    numbers: range,
    draws: NDArray[np.int64],
) -> Floats:
    """The values of all draws at once by sums over groups; of one after the other for the rest."""
    groups, times = np.asarray(sample.groups), draws.astype(float)
    out = np.full((len(numbers), len(metrics), len(worker.models)), np.nan)
    rest = []
    for row, metric in enumerate(metrics):
        for column, model in enumerate(worker.models):
            values = model.of_groups(row, metric, groups, times)
            if values is None:
                rest.append(row)
                break
            out[:, row, column] = values
    for at, number in enumerate(numbers) if rest else ():
        worker.weigh(draws[at])
        out[at, rest] = worker.evaluate(metrics, number < SLOW, only=rest)[rest]
    return out


def delong(y: NDArray[np.bool_], scores: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """ROC AUC of several scores on the same rows, and the covariance of these values.

    DeLong, DeLong and Clarke-Pearson (1988), with one sort a model, as in Sun and Xu (2014).
    y: shape (n,). Returns shape (models,) and (models, models); NaN where a class has no two rows.
    """
    events = int(y.sum())
    others = len(y) - events
    if min(events, others) < 2:
        return np.full(len(scores), np.nan), np.full((len(scores), len(scores)), np.nan)
    placed = np.array([_placements(y, of_one) for of_one in scores.values()])
    of_events, of_others = placed[:, y], placed[:, ~y]
    covariance = np.cov(of_events) / events + np.cov(of_others) / others
    return of_events.mean(axis=1), covariance.reshape(len(scores), len(scores))


def _placements(y: NDArray[np.bool_], scores: Floats) -> Floats:
    """For each row the share of the other class that it is ranked right against; ties count half.

    What midranks give, by one sort instead of three.
    """
    order = np.argsort(scores, kind="stable")
    ranked, events = scores[order], y[order]
    edges = np.append(np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])), len(y))
    del ranked  # of millions of rows it counts
    up_to = np.append(0, np.cumsum(events))[edges]  # events among the first rows
    others_up_to, sizes = edges - up_to, np.diff(edges)
    below = (others_up_to[:-1] + others_up_to[1:]) / 2 / others_up_to[-1]
    above = 1 - (up_to[:-1] + up_to[1:]) / 2 / up_to[-1]
    placed = np.empty(len(y))
    placed[order] = np.where(events, np.repeat(below, sizes), np.repeat(above, sizes))
    return placed
