"""How much of what a model gains cannot have come from its training rows.

A model that saw test rows knows more of them than its training rows teach. What these teach is
asked of plain models of our own, fitted on them: boosted trees and a linear one, the better of
both. What the champion was better than such models of *its* training rows is skill, and does not
count. Membership is told from such a difference of losses by Sablayrolles et al. (2019), White-box
vs Black-box: Bayes Optimal Strategies for Membership Inference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.intervals import mean_error, normal
from gatewright.evaluation.metrics import metrics_of
from gatewright.evaluation.predictions import Answers, Floats, Truth, truth

FITTED, ASKED = 20_000, 50_000  # training rows that are learnt from, test rows that are answered
WORTH = 0.02  # of the champion's loss; a smaller gain is not asked about
CONFIDENCE = 0.99  # as this is asked at each update
STEPS = 60  # of boosting


@dataclass(frozen=True)
class Unexplained:
    """The part of a loss that the candidate saves and its training rows do not explain.

    share: of the champion's loss, or without a champion of that of our own model; the loss is the
    Brier score, or the squared error of a number. against: whose loss.
    """

    share: Estimate
    against: str


def find_unexplained(
    train: pd.DataFrame,
    known: pd.DataFrame | None,
    test: pd.DataFrame,
    candidate: Answers,
    champion: Answers | None,
    contract: Contract,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Unexplained | None:
    """Compare losses on test rows; None if the candidate does not gain enough to ask.

    known: the champion's training rows. candidate, champion: their answers for the test rows, shape
    (n,); groups: codes from 0 of those that are not independent.
    """
    losses = metrics_of(contract)["brier_score" if contract.classes else "mean_squared_error"]
    loss: Callable[[Truth, Answers], Floats] | None = losses.losses
    if loss is None or len(test) < 2:
        return None
    draw = np.random.default_rng([seed, 11])
    at = np.arange(len(test))
    if len(at) > ASKED:
        at = np.sort(draw.choice(len(at), ASKED, replace=False, shuffle=False))
    test, candidate = test.iloc[at], candidate[at]
    y, groups = truth(test, contract), None if groups is None else groups[at]
    lost = loss(y, candidate)
    if champion is None or known is None:
        own = _taught(train, test, y, loss, contract, seed)
        return None if own is None else _share(own - lost, own, groups, "a plain model")
    live = loss(y, champion[at])
    if _share(live - lost, live, groups, "").share.low <= WORTH:
        return None
    own = _taught(train, test, y, loss, contract, seed)
    before = _taught(known, test, y, loss, contract, seed)
    if own is None:
        return None
    skill = np.zeros(len(y)) if before is None else before - live
    excess = own - lost - (skill if skill.mean() > 0 else 0.0)
    smaller = min(excess, live - lost, key=lambda saved: float(saved.mean()))
    return _share(smaller, live, groups, "the champion")


def _share(
    saved: Floats, loss: Floats, groups: NDArray[np.int64] | None, against: str
) -> Unexplained:
    whole = float(loss.mean())
    if not whole > 0:
        return Unexplained(Estimate(0.0, 0.0, 0.0), against)
    share = saved / whole
    return Unexplained(normal(float(share.mean()), mean_error(share, groups), CONFIDENCE), against)


def _taught(
    train: pd.DataFrame,
    test: pd.DataFrame,
    y: Truth,
    loss: Callable[[Truth, Answers], Floats],
    contract: Contract,
    seed: int,
) -> Floats | None:
    """The losses, shape (n,), of the better of two plain models of the training rows.

    None if the rows have one class or no column.
    """
    from threadpoolctl import threadpool_limits

    names = [name for name in contract.features if name in train and name in test]
    target = contract.target.name
    if target not in train or not names:
        return None
    train = train[train[target].notna()]
    if len(train) > FITTED:
        draw = np.random.default_rng([seed, 13])
        train = train.iloc[np.sort(draw.choice(len(train), FITTED, replace=False, shuffle=False))]
    told = truth(train, contract)
    if len(np.unique(told)) < 2:
        return None
    found = []
    with threadpool_limits(1):
        for model in _models(train[names], contract, seed):
            model.fit(_plain(train[names], contract), told)
            found.append(loss(y, _answers(model, _plain(test[names], contract), contract)))
    return min(found, key=lambda lost: float(lost.mean()))


def _plain(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Text as objects, missing as a word of its own; all else as floats, infinite ones missing."""
    columns = {}
    for name in rows:
        if contract.columns[str(name)].type == "string":
            columns[name] = rows[name].astype(object).map(str)
            continue
        if contract.columns[str(name)].type == "datetime":
            values = pd.to_datetime(rows[name], utc=True).astype("int64").to_numpy(float)
        else:
            values = pd.to_numeric(rows[name], errors="coerce").to_numpy(float, na_value=np.nan)
        known = np.isfinite(values)
        # Trees cannot be cut by a column of which nothing is known.
        columns[name] = np.where(known, values, np.nan if known.any() else 0.0)
    return pd.DataFrame(columns, index=rows.index)


def _models(rows: pd.DataFrame, contract: Contract, seed: int) -> list[Any]:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    text = [name for name in rows if contract.columns[str(name)].type == "string"]
    numbers = [name for name in rows if name not in text]
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=20, max_categories=200
    )
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=20, max_categories=50
    )
    filled = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    trees = HistGradientBoostingClassifier if contract.classes else HistGradientBoostingRegressor
    steps = max(10, 2 * STEPS // max(len(contract.classes), 2))
    boosted = trees(max_iter=steps, early_stopping=False, random_state=seed)
    linear = LogisticRegression(max_iter=300) if contract.classes else Ridge()
    return [
        make_pipeline(
            ColumnTransformer([("text", words, text), ("numbers", figures, numbers)]), model
        )
        for words, figures, model in (
            (codes, "passthrough", boosted),
            (one_hot, filled, linear),
        )
    ]


def _answers(model: Any, rows: pd.DataFrame, contract: Contract) -> Answers:
    if not contract.classes:
        said = np.asarray(model.predict(rows), dtype=float)
        return Answers(said, said)
    scores = np.zeros((len(rows), len(contract.classes)))
    scores[:, np.asarray(model.classes_).astype(int)] = model.predict_proba(rows)
    labels = scores.argmax(axis=1)
    return Answers(scores[:, 1] if scores.shape[1] == 2 else scores, labels)
