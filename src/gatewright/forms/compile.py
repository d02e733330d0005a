"""A fitted scikit-learn model as a plan: what each of its parts computes, written down as numbers.

Encoders are asked for every category that they know; trees that compare single-precision numbers
get thresholds that decide the same for double-precision ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.errors import Refused
from gatewright.evaluation.predictions import request_rows
from gatewright.forms.plan import (
    Computed,
    IsMissing,
    Linear,
    Link,
    Lookup,
    Number,
    Plan,
    Tree,
    Trees,
)


class NoPlan(Refused):
    """A model of which no plan can be made, and why."""


def compile_model(model: Any, contract: Contract, sha256: str) -> Plan:
    """The plan of a fitted model; the means of a sum's columns are still zero.

    Raises NoPlan for a model, or part of one, that is not known here.
    """
    threshold, estimator = _threshold(model)
    columns: list[Computed] = [
        Lookup(name, {}, nan, nan) if _is_category(contract, name) else Number(name)
        for name in contract.features
    ]
    names = list(contract.features)
    if type(estimator).__name__ == "Pipeline":
        for _, step in estimator.steps[:-1]:
            columns = _transformed(step, columns, names, contract)
            names = []
        estimator = estimator.steps[-1][1]
    if raw := [c.input for c in columns if isinstance(c, Lookup) and not c.values]:
        raise NoPlan(f"{', '.join(raw)} reaches the model as text")
    head, link = _head(estimator, len(columns))
    classes: tuple[str | bool, ...] = contract.classes
    if classes:
        known = [value.item() if hasattr(value, "item") else value for value in estimator.classes_]
        if set(known) != set(classes):
            raise NoPlan(f"the model knows the classes {known}")
        if len(classes) == 2 and known != list(classes):
            raise NoPlan("the classes of the model are in another order than the contract's")
        head = _reordered(head, [known.index(value) for value in classes])
    return Plan(
        model=sha256,
        inputs=tuple(contract.features),
        columns=tuple(columns),
        head=head,
        link=link,
        classes=classes,
        threshold=threshold,
    )


def _is_category(contract: Contract, name: str) -> bool:
    return contract.columns[name].type in ("string", "boolean")


def _threshold(model: Any) -> tuple[float | None, Any]:
    """From which probability on the event is recommended, and the model below."""
    threshold = None
    while True:
        match type(model).__name__:
            case "FixedThresholdClassifier" | "TunedThresholdClassifierCV":
                if model.response_method not in ("auto", "predict_proba"):
                    raise NoPlan(f"its threshold is on {model.response_method}")
                if getattr(model, "pos_label", None) is not None:
                    raise NoPlan("its threshold is on a class that is named")
                best = getattr(model, "best_threshold_", getattr(model, "threshold", None))
                threshold = 0.5 if best in ("auto", None) else float(best)
                model = model.estimator_
            case "FrozenEstimator":
                model = model.estimator
            case _:
                return threshold, model


def _transformed(
    step: Any, columns: list[Computed], names: list[str], contract: Contract
) -> list[Computed]:
    """What a fitted transformer makes of these columns, which have `names` if they are inputs."""
    match type(step).__name__:
        case "ColumnTransformer":
            if not names:
                raise NoPlan("a ColumnTransformer takes what another one made")
            made: list[Computed] = []
            for _, part, wanted in step.transformers_:
                if isinstance(part, str) and part == "drop":
                    continue
                chosen = _chosen(wanted, names)
                taken = [columns[names.index(name)] for name in chosen]
                made += _transformed(part, taken, chosen, contract)
            return made
        case "Pipeline":
            for _, part in step.steps:
                columns = _transformed(part, columns, names, contract)
                names = []
            return columns
        case "FunctionTransformer" if step.func is None:
            return columns
        case "OrdinalEncoder" | "OneHotEncoder":
            return _encoded(step, names, contract)
        case "SimpleImputer":
            return _imputed(step, _numbers(columns, "SimpleImputer"))
        case "StandardScaler":
            size = len(columns)
            shifts = _vector(step.mean_ if step.with_mean else None, 0.0, size)
            scales = _vector(step.scale_ if step.with_std else None, 1.0, size)
            return _scaled(_numbers(columns, "StandardScaler"), shifts, scales)
        case name:
            raise NoPlan(f"what {name} computes is not known here")


def _chosen(wanted: Any, names: list[str]) -> list[str]:
    if isinstance(wanted, str):
        return [wanted]
    if isinstance(wanted, slice):
        return names[wanted]
    found = np.asarray(wanted)
    if found.dtype == bool:
        return [name for name, take in zip(names, found.tolist(), strict=True) if take]
    return [item if isinstance(item, str) else names[item] for item in found.tolist()]


def _numbers(columns: list[Computed], what: str) -> list[Computed]:
    if texts := [c.input for c in columns if isinstance(c, Lookup) and not c.values]:
        raise NoPlan(f"{what} takes {', '.join(texts)}, which is text")
    return columns


def _encoded(encoder: Any, names: list[str], contract: Contract) -> list[Computed]:
    """Asked for each category, for one that it does not know, and for none."""
    if not names:
        raise NoPlan("an encoder takes what another step made")
    known = [_plain(values) for values in encoder.categories_]
    widths = getattr(encoder, "_n_features_outs", [1] * len(names))  # of one-hot columns
    ends = np.cumsum(widths).tolist()
    places = list(zip([0, *ends[:-1]], ends, strict=True))
    first = {name: of[0] if of else None for name, of in zip(names, known, strict=True)}
    made: list[Computed] = []
    for place, name in enumerate(names):
        asked = [*known[place], _unseen(known[place]), None]
        rows = [{**dict.fromkeys(contract.features), **first, name: value} for value in asked]
        codes = _codes(encoder, request_rows(rows, contract, names))
        for column in codes[:, slice(*places[place])].T.tolist():
            *values, unknown, missing = column
            made.append(
                Lookup(name, dict(zip(known[place], values, strict=True)), unknown, missing)
            )
    return made


def _codes(encoder: Any, rows: pd.DataFrame) -> NDArray[np.float64]:
    try:
        codes = encoder.transform(rows)
    except ValueError as error:
        raise NoPlan(f"its encoder refuses what it does not know ({error})") from error
    return np.asarray(codes.toarray() if hasattr(codes, "toarray") else codes, dtype=float)


def _plain(values: Any) -> list[str | bool]:
    """Categories as plain values, without the missing one."""
    found = [value.item() if hasattr(value, "item") else value for value in values]
    return [value for value in found if value is not None and value == value]


def _unseen(values: Sequence[str | bool]) -> str | bool | None:
    """A value of the same kind that is not among them; None if there is none."""
    if all(isinstance(value, bool) for value in values):
        return next((value for value in (False, True) if value not in values), None)
    return max(map(str, values), key=len) + "\N{REPLACEMENT CHARACTER}"


def _imputed(imputer: Any, columns: list[Computed]) -> list[Computed]:
    fills = np.asarray(imputer.statistics_, dtype=float).tolist()
    made: list[Computed] = []
    for column, fill in zip(columns, fills, strict=True):
        if not isinstance(column, Number) or column.steps:
            raise NoPlan("an imputer takes what another step made")
        if fill != fill:
            raise NoPlan(f"{column.input} has no value to fill in")
        made.append(replace(column, missing=fill))
    if imputer.add_indicator:
        made += [IsMissing(columns[at].input) for at in imputer.indicator_.features_.tolist()]
    return made


def _vector(values: Any, otherwise: float, size: int) -> list[float]:
    return [otherwise] * size if values is None else np.asarray(values, dtype=float).tolist()


def _scaled(columns: list[Computed], shifts: list[float], scales: list[float]) -> list[Computed]:
    made: list[Computed] = []
    for column, shift, scale in zip(columns, shifts, scales, strict=True):
        if isinstance(column, Lookup):
            values = {value: (code - shift) / scale for value, code in column.values.items()}
            unknown, missing = (column.unknown - shift) / scale, (column.missing - shift) / scale
            made.append(Lookup(column.input, values, unknown, missing))
        else:
            made.append(replace(column, steps=(*column.steps, (shift, scale))))
    return made


def _head(estimator: Any, columns: int) -> tuple[Trees | Linear, Link]:
    match type(estimator).__name__:
        case "HistGradientBoostingClassifier" | "HistGradientBoostingRegressor":
            return _boosted(estimator)
        case "RandomForestClassifier" | "RandomForestRegressor":
            trees = [each.tree_ for each in estimator.estimators_]
            return _averaged(trees, hasattr(estimator, "classes_")), "identity"
        case "DecisionTreeClassifier" | "DecisionTreeRegressor":
            return _averaged([estimator.tree_], hasattr(estimator, "classes_")), "identity"
        case "LogisticRegression":
            link: Link = "softmax" if len(estimator.classes_) > 2 else "logistic"
            return _sum(estimator.coef_, estimator.intercept_, columns), link
        case "LinearRegression" | "Ridge":
            return _sum(estimator.coef_, estimator.intercept_, columns), "identity"
        case name:
            raise NoPlan(f"what {name} computes is not known here")


def _boosted(model: Any) -> tuple[Trees, Link]:
    names = {
        "IdentityLink": "identity",
        "LogLink": "exp",
        "LogitLink": "logistic",
        "MultinomialLogit": "softmax",
    }
    link: Any = names.get(type(model._loss.link).__name__)
    if link is None:
        raise NoPlan(f"its link {type(model._loss.link).__name__} is not known here")
    trees, outputs = [], []
    for of_iteration in model._predictors:
        for output, predictor in enumerate(of_iteration):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise NoPlan("it splits by native categories; let an encoder give them codes")
            leaf = nodes["is_leaf"].astype(bool)
            trees.append(
                Tree(
                    column=tuple(nodes["feature_idx"].tolist()),
                    threshold=tuple(nodes["num_threshold"].tolist()),
                    missing_left=tuple(nodes["missing_go_to_left"].astype(bool).tolist()),
                    left=tuple(np.where(leaf, -1, nodes["left"].astype(np.int64)).tolist()),
                    right=tuple(np.where(leaf, -1, nodes["right"].astype(np.int64)).tolist()),
                    values=tuple((value,) for value in nodes["value"].tolist()),
                    cover=tuple(nodes["count"].astype(float).tolist()),
                )
            )
            outputs.append(output)
    start = np.asarray(model._baseline_prediction, dtype=float).ravel().tolist()
    return Trees(tuple(start), tuple(trees), tuple(outputs)), link


def _averaged(trees: list[Any], classes: bool) -> Trees:
    """Trees that compare in single precision, and whose leaves are averaged."""
    made = []
    outputs = trees[0].value.shape[2] if classes else 1
    if trees[0].value.shape[1] != 1:
        raise NoPlan("it predicts several targets")
    for tree in trees:
        values = tree.value[:, 0, :]
        values = values[:, [1]] if classes and outputs == 2 else values
        made.append(
            Tree(
                column=tuple(np.maximum(tree.feature, 0).tolist()),
                threshold=tuple(_double(value) for value in tree.threshold.tolist()),
                missing_left=tuple(tree.missing_go_to_left.astype(bool).tolist()),
                left=tuple(tree.children_left.tolist()),
                right=tuple(tree.children_right.tolist()),
                values=tuple(map(tuple, values.tolist())),
                cover=tuple(tree.weighted_n_node_samples.tolist()),
            )
        )
    size = outputs if classes and outputs > 2 else 1
    return Trees((0.0,) * size, tuple(made), (-1,) * len(made), float(len(made)))


def _double(threshold: float) -> float:
    """The largest double that, rounded to single precision, is at most `threshold`."""
    if threshold == inf:
        return inf
    below = np.float32(threshold)
    if float(below) > threshold:
        below = np.nextafter(below, np.float32(-inf))
    above = float(np.nextafter(below, np.float32(inf)))
    if above == inf:
        above = 2.0**128
    middle = (float(below) + above) / 2  # ties go to the even one
    is_even = int(below.view(np.uint32)) % 2 == 0
    return middle if is_even else float(np.nextafter(middle, -inf))


def _sum(weights: Any, start: Any, columns: int) -> Linear:
    shaped = np.atleast_2d(np.asarray(weights, dtype=float))
    begins = np.broadcast_to(np.asarray(start, dtype=float).ravel(), (len(shaped),))
    rows = tuple(map(tuple, shaped.tolist()))
    return Linear(tuple(begins.tolist()), rows, (0.0,) * columns)


def _reordered(head: Trees | Linear, order: list[int]) -> Trees | Linear:
    """The outputs in another order, where there is one for each class."""
    if len(head.start) == 1 or order == sorted(order):
        return head
    start = tuple(head.start[at] for at in order)
    if isinstance(head, Linear):
        return replace(head, start=start, weights=tuple(head.weights[at] for at in order))
    outputs = tuple(-1 if at < 0 else order.index(at) for at in head.outputs)
    trees = tuple(
        replace(tree, values=tuple(tuple(v[at] for at in order) for v in tree.values))
        if output < 0
        else tree
        for tree, output in zip(head.trees, head.outputs, strict=True)
    )
    return replace(head, start=start, outputs=outputs, trees=trees)
