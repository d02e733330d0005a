"""Stage `train`: fit the model that params.yaml names, and the baseline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline

from .baseline import build_baseline
from .features import for_forest, for_linear, for_trees
from .load import kinds_of, model_columns, read_params, read_yaml
from .split import FOLDER

MODEL, BASELINE = Path("model/model.skops"), Path("model/baseline.skops")

Features = Callable[[list[str], list[str], int], ColumnTransformer]
# By name: the features, and the estimators for classes and for numbers.
MODELS: dict[str, tuple[Features, Callable[..., Any], Callable[..., Any]]] = {
    "gradient_boosting": (for_trees, HistGradientBoostingClassifier, HistGradientBoostingRegressor),
    "random_forest": (for_forest, RandomForestClassifier, RandomForestRegressor),
    "linear": (for_linear, LogisticRegression, Ridge),
}
SETTINGS = {"model", "seed", "rare", "baseline", *MODELS}


def checked(name: str, estimator: Any, values: Any) -> dict[str, Any]:
    """The values of `train.<name>`, if the estimator has such settings and takes them."""
    known = estimator.get_params()
    if not isinstance(values, dict) or not set(values) <= set(known) - {"random_state"}:
        raise SystemExit(f"params.yaml: `train.{name}` must hold settings of {estimator}.")
    for key, value in values.items():  # scikit-learn takes true for 1
        if isinstance(value, bool) and type(known[key]) in (int, float):
            raise SystemExit(f"params.yaml: `train.{name}.{key}` must be a number.")
    try:
        estimator.set_params(**values)
        if hasattr(estimator, "_parameter_constraints"):  # those of scikit-learn have them
            estimator._validate_params()
    except ValueError as error:
        raise SystemExit(f"params.yaml: `train.{name}`: {error}") from None
    return values


def build_model(settings: dict[str, Any], contract: dict[str, Any]) -> Pipeline:
    """The unfitted pipeline for `train` of params.yaml: features, then the chosen estimator."""
    name = settings["model"]
    if type(settings["seed"]) is not int or not 0 <= settings["seed"] < 2**32:
        raise SystemExit("params.yaml: `train.seed` must be a whole number from 0 to 2^32 - 1.")
    if not isinstance(name, str) or name not in MODELS:
        raise SystemExit(f"params.yaml: no model '{name}'. There are: {', '.join(MODELS)}.")
    if type(settings["rare"]) is not int or settings["rare"] < 1:
        raise SystemExit("params.yaml: `train.rare` must be a number of rows, from 1 on.")
    features, for_classes, for_numbers = MODELS[name]
    estimator = for_numbers if contract["target"].get("type") == "regression" else for_classes
    values = checked(name, estimator(), settings[name])
    chosen = estimator(random_state=settings["seed"], **values)
    inputs = features(*kinds_of(contract), settings["rare"])
    return Pipeline([("features", inputs), ("model", chosen)])


def fitted(
    pipeline: Pipeline, inputs: pd.DataFrame, target: pd.Series, contract: dict[str, Any]
) -> Any:
    """The pipeline, fitted on all rows; for a yes or no, with the threshold that costs least."""
    if contract["target"].get("type", "binary") == "binary":
        return with_threshold(pipeline, inputs, target, contract)
    return pipeline.fit(inputs, target)


def with_threshold(
    pipeline: Pipeline, inputs: pd.DataFrame, target: pd.Series, contract: dict[str, Any]
) -> FixedThresholdClassifier:
    """The pipeline, fitted on all rows, recommending what costs least.

    The threshold is the cheapest on a quarter of the training rows, by a fit on the others; test
    rows have no say. Without a decision in the contract it is one half.
    """
    threshold = 0.5
    if decision := contract.get("decision"):
        costs = np.array([[decision["costs"][t][a] for a in (False, True)] for t in (False, True)])

        def saved(truth: Any, said: Any) -> float:
            return -float(costs[np.asarray(truth, int), np.asarray(said, int)].mean())

        tuned = TunedThresholdClassifierCV(
            pipeline, scoring=make_scorer(saved), cv=0.25, refit=True, random_state=0
        ).fit(inputs, target)
        fitted, threshold = tuned.estimator_, float(tuned.best_threshold_)
    else:
        fitted = pipeline.fit(inputs, target)
    chosen = FixedThresholdClassifier(
        FrozenEstimator(fitted), threshold=threshold, response_method="predict_proba"
    )
    return chosen.fit(inputs, target)


def main() -> None:
    contract, settings = read_yaml("contract.yaml"), read_params("train", SETTINGS)
    rows = pd.read_parquet(FOLDER / "train.parquet")
    inputs, target = rows[model_columns(contract)], rows[contract["target"]["name"]]
    if empty := [name for name in inputs if inputs[name].isna().all()]:
        raise SystemExit(
            f"{', '.join(empty)}: no training row has a value, so nothing can be learnt of it. "
            "Write `feature: false` in contract.yaml, or bring rows that have one."
        )
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    for path, pipeline in (
        (MODEL, build_model(settings, contract)),
        (BASELINE, build_baseline(settings["baseline"], contract)),
    ):
        model = fitted(pipeline, inputs, target, contract)
        skops.io.dump(model, path)
        advice = getattr(model, "threshold", None)
        more = "" if advice is None else f", recommends from {advice:.3f} on"
        print(f"{path}: fitted on {len(rows):,} rows{more}")


if __name__ == "__main__":
    main()
