"""How good models are in each part of the rows, and which parts stand out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.evaluation.bootstrap import Estimate, delong, measure
from gatewright.evaluation.intervals import mean_error, normal
from gatewright.evaluation.metrics import SHOWN, Metric, metrics_of
from gatewright.evaluation.predictions import Answers, Floats, Truth

RESAMPLES = 200  # for a standard error, by Efron and Tibshirani's rule (1993, chapter 6)
SMALLEST = 100  # rows of each class, or of all for a number, that a figure needs
MOST = 200_000  # rows in which weak parts are looked for


@dataclass(frozen=True)
class Slice:
    """Values and their covariance, by metric, for the rows of one slice.

    values: shape (models,); covariances: (models, models).
    """

    column: str
    value: str
    rows: int
    share: float | None
    models: tuple[str, ...]
    metrics: Mapping[str, tuple[Metric, Floats, Floats]]

    def estimate(self, metric: str, model: str, confidence: float = 0.95) -> Estimate:
        value = self.metrics[metric][1][self.models.index(model)]
        return normal(float(value), self.error(metric, model), confidence)

    def error(self, metric: str, model: str) -> float:
        at = self.models.index(model)
        return float(np.sqrt(self.metrics[metric][2][at, at]))

    def gain(self, metric: str, model: str, over: str) -> tuple[float, float]:
        """How much better `model` is than `over`, and the standard error of that."""
        about, values, covariance = self.metrics[metric]
        a, b = self.models.index(model), self.models.index(over)
        sign = 1.0 if about.higher_is_better else -1.0
        variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
        return sign * float(values[a] - values[b]), float(max(variance, 0.0)) ** 0.5


def parts(column: pd.Series) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Each value of a column with the positions of its rows."""
    groups = column.groupby(column).indices.items()
    for value, index in sorted(groups, key=lambda item: str(item[0])):
        yield str(value), np.asarray(index)


def enough(y: Truth, contract: Contract, least: int) -> bool:
    """Whether each class, or a number, has at least `least` rows."""
    if not contract.classes:
        return len(y) >= least
    return int(np.bincount(y, minlength=len(contract.classes)).min()) >= least


def part(
    rows: NDArray[np.int64],
    y: Truth,
    answers: Mapping[str, Answers],
    metrics: Sequence[Metric],
    groups: NDArray[np.int64] | None,
    about: tuple[str, str] = ("", ""),
) -> Slice:
    """Measure models on some of the rows (positions), on the same ones all.

    ROC AUC by DeLong where rows are independent, all else by the paired bootstrap. Rows that are
    all of one group, as where the slices are the groups, are taken for independent.
    """
    inside = y[rows]
    if groups is not None and len(np.unique(groups[rows])) < 2:
        groups = None
    some = {name: said[rows] for name, said in answers.items()}
    measured: dict[str, tuple[Metric, Floats, Floats]] = {}
    slow = []
    for metric in metrics:
        if metric.name == "roc_auc" and groups is None:
            scores = {name: said.scores for name, said in some.items()}
            measured[metric.name] = (metric, *delong(inside, scores))
        else:
            slow.append(metric)
    if slow:
        codes = None if groups is None else np.unique(groups[rows], return_inverse=True)[1]
        drawn = measure(inside, some, slow, groups=codes, resamples=RESAMPLES)
        for at, metric in enumerate(slow):
            draws = drawn.draws[:, at]
            covariance = np.cov(draws.T).reshape(len(some), len(some))
            measured[metric.name] = (metric, drawn.points[at], covariance)
    share = float(inside.mean()) if inside.dtype == bool else None
    return Slice(*about, len(rows), share, tuple(answers), measured)


def by_slice(
    rows: pd.DataFrame,
    y: Truth,
    answers: Mapping[str, Answers],
    contract: Contract,
    groups: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """By column of the contract's `slices` and value: rows, share of the event, and a figure.

    The figure is the first metric of this kind of target, by model; a slice that is too small
    has none.
    """
    first = SHOWN[contract.target.type][0]
    metric = metrics_of(contract)[first]
    report: dict[str, Any] = {}
    for column in contract.slices:
        report[column] = {}
        for value, index in parts(rows[column]):
            entry: dict[str, Any] = {"rows": len(index)}
            if contract.target.type == "binary":
                entry["share"] = float(y[index].mean())
            if enough(y[index], contract, SMALLEST):
                found = part(index, y, answers, [metric], groups)
                entry[first] = {name: asdict(found.estimate(first, name)) for name in answers}
            report[column][value] = entry
    return report


@dataclass(frozen=True)
class Weak:
    """A part of the rows that a tree found on one half and that was measured on the other.

    `loss` is the candidate's mean loss there, `overall` on the whole other half.
    """

    where: str
    rows: int
    loss: Estimate
    overall: float
    index: NDArray[np.int64]


def find_weak(
    rows: pd.DataFrame,
    loss: Floats,
    contract: Contract,
    least: int,
    groups: NDArray[np.int64] | None = None,
    most: int = 3,
    seed: int = 0,
) -> list[Weak]:
    """Parts in which the candidate's loss is highest, by a shallow tree over the features.

    What the tree found on one half of the rows, or of the groups, is measured on the other, so that
    the figures are not those of its own best guess. Of more than MOST rows, as many are drawn
    without replacement. groups: codes from 0, shape (n,).
    """
    from sklearn.tree import DecisionTreeRegressor

    draw = np.random.default_rng(seed)
    some = np.arange(len(rows))
    if len(rows) > MOST:
        some = np.sort(draw.choice(len(rows), MOST, replace=False, shuffle=False))
        rows, loss = rows.iloc[some], loss[some]
        groups = groups if groups is None else groups[some]
    units = np.arange(len(rows)) if groups is None else groups
    half = draw.random(units.max(initial=-1) + 1)[units] < 0.5
    if min(half.sum(), (~half).sum()) < 2 * least:
        return []
    inputs, words = _encoded(rows, loss, half, contract)
    leaf = max(least, len(rows) // 50)
    tree = DecisionTreeRegressor(max_depth=3, min_samples_leaf=leaf, random_state=seed)
    tree.fit(inputs[half], loss[half])
    leaves, other = tree.apply(inputs), np.flatnonzero(~half)
    overall = float(loss[other].mean())
    found = []
    for node, text in _paths(tree.tree_, words):
        index = other[leaves[other] == node]
        if len(index) < 2 or not text:
            continue
        inside = loss[index]
        error = mean_error(inside, groups if groups is None else groups[index])
        estimate = normal(float(inside.mean()), error)
        if estimate.low > overall:
            found.append(Weak(text, len(index), estimate, overall, some[index]))
    return sorted(found, key=lambda weak: -weak.loss.value)[:most]


Words = tuple[str, "list[str] | None"]


def _encoded(
    rows: pd.DataFrame, loss: Floats, half: NDArray[np.bool_], contract: Contract
) -> tuple[NDArray[np.float32], list[Words]]:
    """Numbers as they are; categories in the order of their mean loss in the first half."""
    table = np.empty((len(rows), len(contract.features)), np.float32)  # what trees work on
    words: list[Words] = []
    for at, name in enumerate(contract.features):
        if contract.columns[name].type == "string":
            known = rows[name][half]
            means = pd.Series(loss[half], known.index).groupby(known).mean().sort_values()
            codes = pd.Categorical(rows[name], categories=means.index).codes
            table[:, at] = np.where(codes < 0, np.nan, codes)  # missing, or not in the first half
            words.append((name, [str(value) for value in means.index]))
        else:
            numbers = pd.to_numeric(rows[name])
            table[:, at] = numbers.to_numpy(dtype=np.float32, na_value=np.nan)
            words.append((name, None))
    return table, words


def _paths(tree: Any, words: list[Words]) -> Iterator[tuple[int, str]]:
    """Each leaf, with the conditions that lead to it, the narrowest of each column."""
    stack: list[tuple[int, dict[tuple[str, str], str]]] = [(0, {})]
    while stack:
        node, path = stack.pop()
        if tree.children_left[node] < 0:
            yield node, " and ".join(path.values())
            continue
        (name, values), cut = words[tree.feature[node]], float(tree.threshold[node])
        for child, side in ((tree.children_left[node], "<="), (tree.children_right[node], ">")):
            if values is None:
                condition = f"{name} {side} {cut:g}"
            else:
                kept = values[: int(cut) + 1] if side == "<=" else values[int(cut) + 1 :]
                shown = ", ".join(kept[:6]) + (f" and {len(kept) - 6} more" if kept[6:] else "")
                condition = f"{name} in {{{shown}}}"
            stack.append((child, {**path, (name, side if values is None else ""): condition}))
