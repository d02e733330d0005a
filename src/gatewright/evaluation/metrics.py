"""Metrics that can be computed under row weights.

Each takes a weight a row, so that a bootstrap resample is one weighted evaluation and nothing is
sorted twice. Names are scikit-learn's; under unit weights so are the values. Any other scorer of
scikit-learn is asked itself (scorers.py), and a team adds its own in gates.yaml, by the path of a
function; both are slow, so they are evaluated on fewer resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gatewright.contract.schema import Contract, Strict, Task
from gatewright.errors import Refused
from gatewright.evaluation.own_function import find_function, refusing
from gatewright.evaluation.predictions import Answers, Floats, Truth
from gatewright.evaluation.scorers import NEGATIVE, find_scorer, is_scorer, scorer_names

BINS = 15

View = Literal["event", "classes", "top"]


class OwnMetric(Strict):
    """A team's metric: a function f(truth, answers, sample_weight=...) that gives a number.

    `function` is its path, `package.module:name`. `of` says what it gets as answers: the model's
    scores or the labels that it recommends. It sees what scikit-learn's metrics see.
    """

    function: str
    higher_is_better: bool
    of: Literal["scores", "labels"] = "scores"


class Ranking:
    """Rows from the highest score down, sorted once; metrics of it take a weight a row.

    order, labels: shape (n,), the positions of the rows, and which are positive.
    bins: where BINS bins of about as many rows start; they part no score.
    starts: where each score starts, None if no two rows share one.
    """

    def __init__(self, positive: NDArray[np.bool_], scores: Floats) -> None:
        n = len(scores)
        self.order, self._scores = np.argsort(-scores, kind="stable"), scores
        ranked, self.labels = scores[self.order], positive[self.order]
        starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        at = np.searchsorted(starts, np.arange(BINS) * n / BINS, side="right") - 1
        self.bins = np.unique(starts[at])
        self.starts = starts if len(starts) < n else None

    @cached_property
    def off(self) -> Floats:
        """By how much each label, 1 or 0, is more than the score; shape (n,)."""
        return np.subtract(self.labels, self._scores[self.order])

    @cached_property
    def last(self) -> NDArray[np.intp] | None:
        """For each row the last that has its score, shape (n,)."""
        if self.starts is None:
            return None
        edges = np.append(self.starts, len(self.order))
        return np.repeat(edges[1:] - 1, np.diff(edges))

    @cached_property
    def positives(self) -> NDArray[np.intp]:
        """Their positions."""
        return self.order[self.labels]

    @cached_property
    def negatives(self) -> NDArray[np.intp]:
        """Their positions."""
        return self.order[~self.labels]

    @cached_property
    def above(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """For each negative, how many positives have a higher score, and how many as high a one.

        The second count includes the first.
        """
        if self.starts is None:
            higher = np.asarray(np.cumsum(self.labels)[~self.labels], dtype=np.intp)
            return higher, higher
        edges = np.append(self.starts, len(self.order))
        positives = np.append(0, np.cumsum(self.labels))[edges]
        negatives = np.diff(edges) - np.diff(positives)
        return np.repeat(positives[:-1], negatives), np.repeat(positives[1:], negatives)


# Two arrays of shape (n + 1,) to fill: fresh ones cost more than the arithmetic.
Scratch = tuple[Floats, Floats]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """One metric, in one of four forms.

    losses: shape (n,) or (k, n) a row; the value is `combine` of their weighted means.
    cells: a code a row; the value is `combine` of the weighted number of rows of each code.
    ranked: a function of the ranking, averaged over the rankings of its `view`.
    function: any function of truth, answers and weights; slow, so on few resamples.
    of_groups: the ranked one for many draws of groups of rows at once.
    biased: its value on a sample lies above the truth, and is corrected by the bootstrap.
    """

    name: str
    title: str
    higher_is_better: bool
    losses: Callable[[Truth, Answers], Floats] | None = None
    cells: Callable[[Truth, Answers], NDArray[np.int64]] | None = None
    combine: Callable[[Floats], float] = lambda means: float(means[0])
    ranked: Callable[[Ranking, Floats, Scratch], float] | None = None
    of_groups: Callable[[Ranking, Codes, Floats], Floats] | None = None
    view: View = "event"
    function: Callable[[Truth, Answers, Floats], float] | None = None
    biased: bool = False


def _log_loss(y: Truth, answers: Answers) -> Floats:
    tiny = np.finfo(np.float64).eps
    if answers.scores.ndim == 1:
        p = np.clip(answers.scores, tiny, 1 - tiny)
        np.subtract(1, p, out=p, where=np.logical_not(y))
        return np.negative(np.log(p, out=p), out=p)
    p = answers.scores / answers.scores.sum(axis=1, keepdims=True)
    return np.asarray(-np.log(np.clip(p[np.arange(len(y)), y], tiny, 1)))


def _brier(y: Truth, answers: Answers) -> Floats:
    """Brier (1950); for several classes the sum over them, as scikit-learn has it."""
    if answers.scores.ndim == 1:
        return np.square(answers.scores - y)
    happened = np.eye(answers.scores.shape[1])[y]
    return np.asarray(np.square(answers.scores - happened).sum(axis=1))


def _roc_auc(ranking: Ranking, weights: Floats, scratch: Scratch) -> float:
    """Area under the ROC curve: each negative counts the positives above it.

    By the trapezoid rule (Fawcett 2006) those that share its score count half.
    """
    events, others = len(ranking.positives), len(ranking.negatives)
    above, below = scratch[0][: events + 1], scratch[1][:others]
    above[0] = 0
    np.cumsum(np.take(weights, ranking.positives, mode="clip"), out=above[1:])
    np.take(weights, ranking.negatives, out=below, mode="clip")
    pairs = float(above[-1] * below.sum())
    higher, as_high = ranking.above
    area = np.dot(below, above[higher])
    if higher is not as_high:
        area = (area + np.dot(below, above[as_high])) / 2
    return float(area / pairs) if pairs else float("nan")


def _roc_auc_of_groups(ranking: Ranking, groups: Codes, times: Floats) -> Floats:
    """`_roc_auc`, shape (draws,), where group g of the rows counts times[draw, g] times.

    A sum over pairs of groups: a quadratic form of how often each is drawn. groups: shape (n,).
    """
    size = times.shape[1]
    of_rank = groups[ranking.order]
    of_positives, of_negatives = of_rank[ranking.labels], of_rank[~ranking.labels]
    pairs = np.zeros((size, size))
    for group in np.unique(of_positives):
        down_to = np.append(0, np.cumsum(of_positives == group))
        higher, as_high = ranking.above
        won = down_to[higher] if higher is as_high else (down_to[higher] + down_to[as_high]) / 2
        pairs[group] = np.bincount(of_negatives, weights=won, minlength=size)
    sides = [times @ np.bincount(codes, minlength=size) for codes in (of_positives, of_negatives)]
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw may have one class only
        return np.asarray(((times @ pairs) * times).sum(axis=1) / (sides[0] * sides[1]))


def _calibration_error_of_groups(ranking: Ranking, groups: Codes, times: Floats) -> Floats:
    """`_calibration_error`, shape (draws,), where group g counts times[draw, g] times."""
    size, bins = times.shape[1], len(ranking.bins)
    of_bin = np.repeat(np.arange(bins), np.diff(np.append(ranking.bins, len(ranking.order))))
    cells = of_bin * size + groups[ranking.order]
    off = np.bincount(cells, weights=ranking.off, minlength=bins * size).reshape(bins, size)
    return np.asarray(
        np.abs(times @ off.T).sum(axis=1) / (times @ np.bincount(groups, minlength=size))
    )


def _average_precision(ranking: Ranking, weights: Floats, scratch: Scratch) -> float:
    """Mean precision weighted by the gain in recall, without interpolation."""
    n = len(ranking.order)
    down_to, true = scratch[0][:n], scratch[1][:n]
    np.take(weights, ranking.order, out=down_to, mode="clip")
    positives = down_to * ranking.labels
    np.cumsum(down_to, out=down_to)
    np.cumsum(positives, out=true)
    total = float(true[-1])
    precision = true / np.maximum(down_to, 1)
    if ranking.last is not None:
        precision = precision[ranking.last]
    return float(np.dot(positives, precision) / total) if total else float("nan")


def _calibration_error(ranking: Ranking, weights: Floats, scratch: Scratch) -> float:
    """Expected calibration error (Naeini et al. 2015) over bins of equal mass.

    The mean over the rows of how far the mean score of a bin lies from the share of its events.
    """
    ranked = scratch[0][: len(ranking.order)]
    np.take(weights, ranking.order, out=ranked, mode="clip")
    total = ranked.sum()
    np.multiply(ranked, ranking.off, out=ranked)
    return float(np.abs(np.add.reduceat(ranked, ranking.bins)).sum() / total)


def _confusion(classes: int) -> Callable[[Truth, Answers], NDArray[np.int64]]:
    return lambda y, answers: np.asarray(y.astype(np.int64) * classes + answers.labels)


def _of_matrix(score: Callable[[Floats], float]) -> Callable[[Floats], float]:
    """From the counts of the cells of a confusion matrix: truth in rows, answers in columns."""

    def combine(cells: Floats) -> float:
        size = round(len(cells) ** 0.5)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(score(cells.reshape(size, size)))

    return combine


def _recalls(matrix: Floats) -> Floats:
    return np.asarray(np.diag(matrix) / matrix.sum(axis=1))


def _f1s(matrix: Floats) -> Floats:
    return np.asarray(2 * np.diag(matrix) / (matrix.sum(axis=0) + matrix.sum(axis=1)))


def _matthews(matrix: Floats) -> float:
    """Matthews (1975), for several classes Gorodkin (2004)."""
    said, true, n = matrix.sum(axis=0), matrix.sum(axis=1), matrix.sum()
    covariance = np.trace(matrix) * n - said @ true
    spread = (n**2 - said @ said) * (n**2 - true @ true)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def _r2(means: Floats) -> float:
    squared, y, y_squared = means
    variance = y_squared - y**2
    return float(1 - squared / variance) if variance > 0 else float("nan")


def _numbers() -> list[Metric]:
    def error(y: Truth, a: Answers) -> Floats:
        return np.asarray(y - a.scores)

    return [
        Metric("r2", "R²", True, lambda y, a: np.array([error(y, a) ** 2, y, y**2]), combine=_r2),
        Metric(
            "mean_absolute_error", "mean absolute error", False, lambda y, a: np.abs(error(y, a))
        ),
        Metric("mean_squared_error", "mean squared error", False, lambda y, a: error(y, a) ** 2),
        Metric(
            "root_mean_squared_error",
            "root mean squared error",
            False,
            lambda y, a: error(y, a) ** 2,
            combine=lambda means: float(np.sqrt(means[0])),
        ),
    ]


def _classes(contract: Contract) -> list[Metric]:
    size = len(contract.classes)
    cells = _confusion(size)

    def by_label(name: str, title: str, score: Callable[[Floats], float]) -> Metric:
        return Metric(name, title, True, cells=cells, combine=_of_matrix(score))

    metrics = [
        Metric("brier_score", "Brier score", False, losses=_brier),
        Metric("log_loss", "log loss", False, losses=_log_loss),
        Metric(
            "expected_calibration_error",
            "expected calibration error",
            False,
            ranked=_calibration_error,
            of_groups=_calibration_error_of_groups,
            view="event" if size == 2 else "top",
            biased=True,
        ),
        by_label("accuracy", "accuracy", lambda m: np.trace(m) / m.sum()),
        by_label("balanced_accuracy", "balanced accuracy", lambda m: _recalls(m).mean()),
        by_label("matthews_corrcoef", "Matthews correlation", _matthews),
    ]
    if contract.decision:
        costs = np.array(contract.costs)
        title = f"expected cost ({contract.decision.unit})"
        metrics.append(
            Metric("expected_cost", title, False, lambda y, a: costs[y.astype(int), a.labels])
        )
    if size > 2:
        ovr = "ROC AUC, one against the rest"
        auc = Metric(
            *("roc_auc_ovr", ovr, True),
            ranked=_roc_auc,
            of_groups=_roc_auc_of_groups,
            view="classes",
        )
        return [
            auc,
            *metrics,
            by_label("f1_macro", "macro F1", lambda m: _f1s(m).mean()),
        ]
    return [
        Metric("roc_auc", "ROC AUC", True, ranked=_roc_auc, of_groups=_roc_auc_of_groups),
        Metric("average_precision", "average precision", True, ranked=_average_precision),
        *metrics,
        by_label("precision", "precision", lambda m: m[1, 1] / m[:, 1].sum()),
        by_label("recall", "recall", lambda m: _recalls(m)[1]),
        by_label("f1", "F1", lambda m: _f1s(m)[1]),
    ]


SHOWN: dict[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "brier_score", "log_loss"),
    "multiclass": ("roc_auc_ovr", "accuracy", "brier_score", "log_loss"),
    "regression": ("r2", "mean_absolute_error", "root_mean_squared_error"),
}
ALWAYS = ("expected_calibration_error", "expected_cost")  # where there are such


def metrics_of(contract: Contract, own: Mapping[str, OwnMetric] | None = None) -> dict[str, Metric]:
    """The metrics that resample fast for a target of this kind, and the team's own, by name."""
    known = _numbers() if contract.target.type == "regression" else _classes(contract)
    return {metric.name: metric for metric in known} | {
        name: _own(name, settings) for name, settings in (own or {}).items()
    }


def find_metric(name: str, contract: Contract, known: Mapping[str, Metric]) -> Metric | None:
    """The metric of that name, among the `known` or scikit-learn's; None if no target of this
    kind has it.

    `neg_x` is what scikit-learn calls so, minus x, and higher is better; x itself is known too.
    """
    if name in known:
        return known[name]
    fast = known.get(name.removeprefix(NEGATIVE))
    if name.startswith(NEGATIVE) and fast and (fast.losses or fast.cells):
        combine = fast.combine
        return replace(
            fast,
            name=name,
            title=f"negative {fast.title}",
            higher_is_better=True,
            combine=lambda means: -combine(means),
        )
    function = find_scorer(name, contract)
    if function is None:
        return None
    return Metric(name, name.replace("_", " "), scorer_rises(name), function=function)


def scorer_rises(name: str) -> bool:
    """Every scorer of scikit-learn rises; x, where only neg_x is one, falls."""
    return name in scorer_names()


def _own(name: str, settings: OwnMetric) -> Metric:
    function = find_function(settings.function, f"The metric {name}, which is")

    def value(y: Truth, answers: Answers, weights: Floats) -> float:
        with refusing(f"The metric {name}, {settings.function},"):
            return float(function(y, answers.copied(settings.of), sample_weight=weights))

    return Metric(name, name.replace("_", " "), settings.higher_is_better, function=value)


def chosen(
    contract: Contract, named: tuple[str, ...], own: Mapping[str, OwnMetric]
) -> list[Metric]:
    """The metrics that are always shown, and those that are asked for by name."""
    known = metrics_of(contract, own)
    wanted = (*SHOWN[contract.target.type], *(n for n in ALWAYS if n in known), *named)
    found = {name: find_metric(name, contract, known) for name in dict.fromkeys(wanted)}
    if unknown := sorted(name for name, metric in found.items() if metric is None):
        raise Refused(no_metric(unknown[0], contract, known))
    return [metric for metric in found.values() if metric is not None]


def no_metric(name: str, contract: Contract, known: Iterable[str]) -> str:
    """Why the name is none of a metric of this target, and which ones are like it."""
    lacks = name == "expected_cost" and not contract.decision
    without = " without a decision in contract.yaml" if lacks else ""
    of_target = metrics_of(contract)
    fitting = [n for n in near(name, known) if n in known or find_metric(n, contract, of_target)]
    return (
        f"{name} is no metric of a {contract.target.type} target{without}. {did_you_mean(fitting)}"
    )


def near(name: str, more: Iterable[str] = ()) -> list[str]:
    """At most five names of metrics that are like this one, the likest first."""
    names = sorted({*NAMES, *scorer_names(), *more})
    inside = [n for n in names if name in n.split("_") or name in n][:5]
    return list(dict.fromkeys([*get_close_matches(name, names, 5, 0.6), *inside]))[:5]


def did_you_mean(names: list[str]) -> str:
    if not names:
        return "`mlops explain metrics` says which there are."
    return f"Did you mean {' or '.join(names)}? `mlops explain metrics` says which there are."


# For reading a policy, which is before the contract says what can be measured.
LOWER_IS_BETTER = frozenset(
    (
        *("brier_score", "expected_calibration_error", "expected_cost", "log_loss"),
        *("mean_absolute_error", "mean_squared_error", "root_mean_squared_error"),
    )
)
NAMES = LOWER_IS_BETTER | {
    *("accuracy", "average_precision", "balanced_accuracy", "f1", "f1_macro"),
    *("matthews_corrcoef", "precision", "r2", "recall", "roc_auc", "roc_auc_ovr"),
}
# Those that lie within 0 and 1; the Brier score of several classes within 0 and 2.
OF_ONE_UNIT = NAMES - {
    *("expected_cost", "log_loss", "matthews_corrcoef", "r2"),
    *("mean_absolute_error", "mean_squared_error", "root_mean_squared_error"),
}


def is_metric(name: str) -> bool:
    """Whether some target has a metric of that name."""
    return name in NAMES or is_scorer(name)


def rises(name: str) -> bool:
    """Whether higher is better."""
    return name not in LOWER_IS_BETTER if name in NAMES else scorer_rises(name)
