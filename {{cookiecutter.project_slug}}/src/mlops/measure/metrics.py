"""Metrics that can be computed under row weights.

Each takes counts a row, so that a bootstrap resample is one weighted evaluation and nothing is
sorted twice. Names are scikit-learn's; under unit counts so are the values. A team adds its own
in gates.yaml, by the path of a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlops.artefacts.contract import Contract, Strict, Task
from mlops.errors import Refused
from mlops.measure.scoring import Answers, Floats, Truth

BINS = 15

View = Literal["event", "classes", "top"]


class Own(Strict):
    """A team's metric: a function f(truth, answers, sample_weight=...) that gives a number.

    `function` is its path, `package.module:name`. `of` says what it gets as answers: the model's
    scores or the labels that it recommends. It sees what scikit-learn's metrics see.
    """

    function: str
    higher_is_better: bool
    of: Literal["scores", "labels"] = "scores"


@dataclass
class Curve:
    """A ranking under the current counts. All have shape (n,), rows from the highest score down.

    rows, positives: how often each row counts, and if it is positive; before, after: positives
    down to the rows that share its score, without and with these. `last`: the last row with that
    score, None if each score is another. `scratch` may be filled: fresh arrays cost more than the
    arithmetic. `off`, shape (bins,): by how much the events of BINS bins of about as many rows
    each are more than expected.
    """

    rows: NDArray[np.int32]
    positives: NDArray[np.int32]
    before: NDArray[np.int32]
    after: NDArray[np.int32]
    last: NDArray[np.int64] | None
    scratch: tuple[Floats, Floats, NDArray[np.int32]]
    off: Floats


@dataclass(frozen=True)
class Metric:
    """One metric, in one of four forms.

    losses: shape (n,) or (k, n) a row; the value is `combine` of their weighted means.
    cells: a code a row; the value is `combine` of the weighted number of rows of each code.
    ranked: a function of the ranking, averaged over the rankings of its `view`.
    function: any function of truth, answers and counts; slow, so on few resamples.
    biased: its value on a sample lies above the truth, and is corrected by the bootstrap.
    """

    name: str
    title: str
    higher_is_better: bool
    losses: Callable[[Truth, Answers], Floats] | None = None
    cells: Callable[[Truth, Answers], NDArray[np.int64]] | None = None
    combine: Callable[[Floats], float] = lambda means: float(means[0])
    ranked: Callable[[Curve], float] | None = None
    view: View = "event"
    function: Callable[[Truth, Answers, Floats], float] | None = None
    biased: bool = False


def _log_loss(y: Truth, answers: Answers) -> Floats:
    tiny = np.finfo(np.float64).eps
    if answers.scores.ndim == 1:
        p = np.clip(answers.scores, tiny, 1 - tiny)
        return np.asarray(-np.log(np.where(y, p, 1 - p)))
    p = answers.scores / answers.scores.sum(axis=1, keepdims=True)
    return np.asarray(-np.log(np.clip(p[np.arange(len(y)), y], tiny, 1)))


def _brier(y: Truth, answers: Answers) -> Floats:
    """Brier (1950); for several classes the sum over them, as scikit-learn has it."""
    if answers.scores.ndim == 1:
        return np.square(answers.scores - y)
    happened = np.eye(answers.scores.shape[1])[y]
    return np.asarray(np.square(answers.scores - happened).sum(axis=1))


def _roc_auc(curve: Curve) -> float:
    """Area under the ROC curve by the trapezoid rule (Fawcett 2006).

    Each negative counts the positives above it, and half of those beside it.
    """
    above, negatives, whole = curve.scratch
    np.copyto(above, np.add(curve.before, curve.after, out=whole))
    np.copyto(negatives, np.subtract(curve.rows, curve.positives, out=whole))
    pairs = 2 * float(curve.after[-1]) * negatives.sum()
    return float(np.dot(negatives, above) / pairs) if pairs else float("nan")


def _average_precision(curve: Curve) -> float:
    """Mean precision weighted by the gain in recall, without interpolation."""
    precision, positives, whole = curve.scratch
    np.cumsum(curve.rows, dtype=np.int32, out=whole)
    np.copyto(precision, whole if curve.last is None else whole[curve.last])
    np.divide(curve.after, np.maximum(precision, 1, out=precision), out=precision)
    np.copyto(positives, curve.positives)
    total = float(curve.after[-1])
    return float(np.dot(positives, precision) / total) if total else float("nan")


def _calibration_error(curve: Curve) -> float:
    """Expected calibration error (Naeini et al. 2015) over bins of equal mass.

    The mean over the rows of how far the mean score of a bin lies from the share of its events.
    """
    return float(np.abs(curve.off).sum() / curve.rows.sum())


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
        return [
            Metric("roc_auc_ovr", ovr, True, ranked=_roc_auc, view="classes"),
            *metrics,
            by_label("f1_macro", "macro F1", lambda m: _f1s(m).mean()),
        ]
    return [
        Metric("roc_auc", "ROC AUC", True, ranked=_roc_auc),
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


def metrics_of(contract: Contract, own: Mapping[str, Own] | None = None) -> dict[str, Metric]:
    """Every metric that a target of this kind can have, and the team's own, by name."""
    known = _numbers() if contract.target.type == "regression" else _classes(contract)
    return {metric.name: metric for metric in known} | {
        name: _own(name, settings) for name, settings in (own or {}).items()
    }


def _own(name: str, settings: Own) -> Metric:
    module, _, attribute = settings.function.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise Refused(
            f"The metric {name} is {settings.function} in gates.yaml, which cannot be imported "
            f"({error}), so nothing can be measured by it. Write package.module:function."
        ) from None

    def value(y: Truth, answers: Answers, counts: Floats) -> float:
        return float(function(y, getattr(answers, settings.of), sample_weight=counts))

    return Metric(name, name.replace("_", " "), settings.higher_is_better, function=value)


def chosen(contract: Contract, named: tuple[str, ...], own: Mapping[str, Own]) -> list[Metric]:
    """The metrics that are always shown, and those that are asked for by name."""
    known = metrics_of(contract, own)
    if unknown := sorted(set(named) - set(known)):
        raise Refused(
            f"{', '.join(unknown)}: no metric of a {contract.target.type} target"
            f"{'' if contract.decision else ' without a decision in contract.yaml'}. There are: "
            f"{', '.join(known)}."
        )
    wanted = (*SHOWN[contract.target.type], *(n for n in ALWAYS if n in known), *named)
    return [known[name] for name in dict.fromkeys(wanted)]


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
