"""Any scorer of scikit-learn as a metric of answers that were given before.

scikit-learn's scorers take an estimator and rows. Here the estimator is one that knows the answers
already, and the rows are their positions, so each scorer does with them what it does with a model:
which of its answers it takes, which class it calls the event, and which sign its value has.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gatewright.contract.schema import Contract
from gatewright.evaluation.predictions import Answers, Floats, Truth

NEGATIVE = "neg_"
_OF_NUMBERS, _OF_CLUSTERS = "_regression", "cluster"  # modules of sklearn.metrics
Score = Callable[[Truth, Answers, Floats], float]


@cache
def scorer_names() -> frozenset[str]:
    """As `sklearn.metrics.get_scorer_names()` has them, without those of clusterings."""
    from sklearn.metrics import get_scorer, get_scorer_names

    return frozenset(n for n in get_scorer_names() if _OF_CLUSTERS not in _module(get_scorer(n)))


def is_scorer(name: str) -> bool:
    """Whether `name`, or `neg_` and it, is a scorer that can judge answers."""
    return name in scorer_names() or NEGATIVE + name in scorer_names()


def find_scorer(name: str, contract: Contract) -> Score | None:
    """A function of truth, answers and the number of times that each row counts.

    For x, where scikit-learn has neg_x only, minus that. None if there is no such scorer, or none
    for this kind of target: whether there is, is asked of the scorer itself, with a few rows.
    """
    if not is_scorer(name):
        return None
    from sklearn.exceptions import UndefinedMetricWarning
    from sklearn.metrics import get_scorer

    sign = 1.0 if name in scorer_names() else -1.0
    scorer = get_scorer(name if sign > 0 else NEGATIVE + name)
    numbers = contract.target.type == "regression"
    if numbers != (_OF_NUMBERS in _module(scorer)):
        return None
    made = _numbers_made if numbers else _classes_made

    def score(y: Truth, answers: Answers, weights: Floats) -> float:
        # Weights count rows; not every scorer takes weights, but each takes a row twice.
        rows = np.repeat(np.arange(len(y)), weights.astype(np.int64))
        try:
            return sign * float(scorer(made(answers), rows, _codes(y)[rows]))
        except (ValueError, UndefinedMetricWarning):  # as of one class where it needs two
            return float("nan")

    return score if _fits(score, contract) else None


def _fits(score: Score, contract: Contract) -> bool:
    """Whether a few rows of such a target have a value that scikit-learn finds meaningful."""
    from sklearn.exceptions import UndefinedMetricWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", UndefinedMetricWarning)
        return bool(np.isfinite(score(*_few(contract))))


def _module(scorer: Any) -> str:
    return str(scorer._score_func.__module__)


def _codes(y: Truth) -> Truth:
    return y.astype(np.int64) if y.dtype == bool else y


def _few(contract: Contract) -> tuple[Truth, Answers, Floats]:
    """Twelve rows whose answers are neither all right nor all wrong."""
    size = len(contract.classes)
    if not size:
        y = np.arange(1.0, 13.0)
        return y, Answers(y + 0.5, y + 0.5), np.ones(12)
    y = np.arange(12) % size
    said = np.where(np.arange(12) < 9, y, (y + 1) % size)
    scores = np.full((12, size), 0.4 / max(size - 1, 1))
    scores[np.arange(12), said] = 0.6
    return y, Answers(scores[:, 1] if size == 2 else scores, said), np.ones(12)


def _classes_made(answers: Answers) -> Any:
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Answered(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """A fitted classifier that has answered; it is asked by position."""

        def __init__(self) -> None:
            two = answers.scores.ndim == 1
            self.classes_ = np.arange(2 if two else answers.scores.shape[1])

        def predict(self, rows: Any) -> Any:
            return answers[rows].copied("labels")

        def predict_proba(self, rows: Any) -> Any:
            scores = answers.scores[rows]
            return scores if scores.ndim == 2 else np.column_stack([1 - scores, scores])

    return Answered()


def _numbers_made(answers: Answers) -> Any:
    from sklearn.base import BaseEstimator, RegressorMixin

    class Answered(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self) -> None:
            self.answered_ = True

        def predict(self, rows: Any) -> Any:
            return answers.scores[rows]

    return Answered()
