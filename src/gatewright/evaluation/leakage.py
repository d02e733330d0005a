"""What a model could know of the test rows, or of their answer, that it should not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.evaluation.intervals import share_error
from gatewright.evaluation.near_copies import NearCopies, find_near_copies
from gatewright.evaluation.predictions import Truth, truth

BLOCK = 250_000  # rows that are hashed at once
MOST = 20_000  # rows of each side on which single columns are tried
NEAR = 0.05  # of a standard deviation: the grid on which near duplicates fall together


@dataclass(frozen=True)
class Repeats:
    """The share of the test rows that stand in the training rows, and what is usual.

    Usual is the share of the training rows that stand among the others: few or coarse features
    repeat without any leak.
    """

    share: float
    usual: float

    @property
    def beyond(self) -> float:
        return self.share - self.usual


@dataclass(frozen=True)
class Leakage:
    """What was found between training and test rows.

    alone: by feature, how well it tells the target by itself on test rows: ROC AUC (the mean over
    the classes), or R² for a number. identifiers: features with (nearly) a value a row.
    same, near: test rows whose features and label stand in the training rows, exactly and to NEAR
    of a standard deviation. late: share of the training rows that are later than the first
    test row; None without a time column. copies: test rows that stand among the new training rows
    in all but a few columns.
    """

    alone: dict[str, float]
    identifiers: list[str]
    same: Repeats
    near: Repeats
    late: float | None
    copies: NearCopies


def find_leakage(
    train: pd.DataFrame,
    test: pd.DataFrame,
    contract: Contract,
    known: pd.DataFrame | None = None,
    live: Contract | None = None,
    seed: int = 0,
) -> Leakage:
    """Compare training and test rows. Both need the contract's features and target.

    known, live: the champion's training rows, which test rows may be like, and its contract, whose
    columns a candidate cannot choose.
    """
    features = [name for name in contract.features if name in train and name in test]
    y, y_test = truth(train, contract), truth(test, contract)
    late = None
    if contract.time and contract.time in train and contract.time in test:
        late = float((train[contract.time] > test[contract.time].min()).mean())
    return Leakage(
        alone=_alone(train, test, y, y_test, features, contract, seed),
        identifiers=[name for name in features if _identifies(train[name], name, contract)],
        same=_shared(train[features], test[features], y, y_test, {}),
        near=_shared(train[features], test[features], y, y_test, _steps(train[features])),
        late=late,
        copies=_copies(train, test, contract, known, live, seed),
    )


def repeated(judged: pd.DataFrame, new: pd.DataFrame, contract: Contract) -> tuple[int, float]:
    """New test rows with the features, to NEAR, and the label of another test row.

    Returns how many there are, and by how much their share of the new rows lies beyond the share of
    the judged rows that repeat one of all of them, and beyond chance (one-sided, 99%). So honest
    rows stay honest where there are many of few or coarse features.
    """
    if new.empty or judged.empty:
        return 0, 0.0
    steps, names = _steps(judged[contract.features]), contract.features
    old, more = (_hashes(rows[names], truth(rows, contract), steps) for rows in (judged, new))
    copies, usual = np.split(pd.concat([more, old]).duplicated(keep=False).to_numpy(), [len(more)])
    chance = NormalDist().inv_cdf(0.99) * float(np.hypot(share_error(copies), share_error(usual)))
    return int(copies.sum()), max(0.0, float(copies.mean() - usual.mean()) - chance)


def _copies(
    train: pd.DataFrame,
    test: pd.DataFrame,
    contract: Contract,
    known: pd.DataFrame | None,
    live: Contract | None,
    seed: int,
) -> NearCopies:
    """By the champion's columns, unless most of them are gone."""
    features = contract.features
    if known is not None and live is not None:
        kept = [name for name in live.features if name in features and name in known]
        if 2 * len(kept) >= len(live.features):
            return find_near_copies(train, known, test, contract, kept, seed)
    return find_near_copies(train, None, test, contract, features, seed)


def _identifies(values: pd.Series, name: str, contract: Contract) -> bool:
    """Whether a column names rows: the whole key, or text or whole numbers that hardly repeat."""
    if contract.key == (name,):
        return True
    if contract.columns[name].type not in ("string", "integer"):
        return False
    return bool(values.nunique() > 0.95 * max(values.notna().sum(), 1))


def _shared(
    train: pd.DataFrame, test: pd.DataFrame, y: Truth, y_test: Truth, steps: Mapping[str, float]
) -> Repeats:
    """Rows with the same features and label, numbers compared on a grid of `steps` by column."""
    if not len(test.columns):
        return Repeats(0.0, 0.0)
    seen, asked = _hashes(train, y, steps), _hashes(test, y_test, steps)
    return Repeats(float(asked.isin(seen).mean()), float(seen.duplicated(keep=False).mean()))


def _hashes(rows: pd.DataFrame, label: Truth, steps: Mapping[str, float]) -> pd.Series:
    """A hash of each row and its label. In blocks, because a coarse copy of all rows is large."""
    blocks = []
    for at in range(0, len(rows), BLOCK):
        block = rows[at : at + BLOCK]
        on_grid = {n: (block[n].astype(float) / step).round() for n, step in steps.items()}
        labelled = block.assign(**on_grid, **{" label": label[at : at + BLOCK]})
        blocks.append(pd.util.hash_pandas_object(labelled, index=False))
    return pd.concat(blocks, ignore_index=True) if blocks else pd.Series(dtype="uint64")


def _steps(train: pd.DataFrame) -> dict[str, float]:
    """By numeric column NEAR standard deviations of the training rows, where they vary."""
    numbers = train.select_dtypes("number", exclude="bool")
    steps = {str(n): NEAR * float(numbers[n].astype(float).std()) for n in numbers}
    return {name: step for name, step in steps.items() if step > 0}


def _alone(
    train: pd.DataFrame,
    test: pd.DataFrame,
    y: Truth,
    y_test: Truth,
    features: list[str],
    contract: Contract,
    seed: int,
) -> dict[str, float]:
    """A small tree a column, fitted on training rows and tried on test rows."""
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    draw = np.random.default_rng(seed)
    rows, others = (_some(draw, len(side)) for side in (train, test))
    number = contract.target.type == "regression"
    kind = DecisionTreeRegressor if number else DecisionTreeClassifier
    known = np.unique(y[rows])
    if not number and (len(known) < 2 or not np.array_equal(known, np.unique(y_test[others]))):
        return {}
    scores = {}
    for name in features:
        inputs, asked = _codes(train[name].iloc[rows], test[name].iloc[others], y[rows])
        tree = kind(max_leaf_nodes=32, min_samples_leaf=5, random_state=seed).fit(inputs, y[rows])
        if number:
            scores[name] = float(r2_score(y_test[others], tree.predict(asked)))
            continue
        said = tree.predict_proba(asked)
        said = said[:, 1] if len(known) == 2 else said
        scores[name] = float(roc_auc_score(y_test[others], said, multi_class="ovr"))
    return scores


def _some(draw: np.random.Generator, n: int) -> NDArray[np.int64]:
    return np.asarray(np.sort(draw.choice(n, MOST, replace=False)) if n > MOST else np.arange(n))


def _codes(
    train: pd.Series, test: pd.Series, y: Truth
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One column as numbers; categories in the order of their mean target in training."""
    if not (pd.api.types.is_numeric_dtype(train.dtype) or train.dtype == bool):
        means = pd.Series(y.astype(float)).groupby(train.astype(str).to_numpy()).mean()
        order = dict(zip(means.sort_values().index, range(len(means)), strict=True))
        train, test = (side.astype(str).map(order) for side in (train, test))
    made = (side.to_numpy(dtype=float, na_value=np.nan).reshape(-1, 1) for side in (train, test))
    first, second = made
    return first, second
