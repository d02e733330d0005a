"""Stage `train`: fit the model that params.yaml names, and the baseline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline

from .baseline import build_baseline
from .features import for_forest, for_linear, for_trees
from .load import model_columns, read_yaml
from .split import FOLDER

MODEL, BASELINE = Path("model/model.skops"), Path("model/baseline.skops")

Features = Callable[[list[str], list[str]], ColumnTransformer]
MODELS: dict[str, tuple[Features, type[Any]]] = {
    "gradient_boosting": (for_trees, HistGradientBoostingClassifier),
    "random_forest": (for_forest, RandomForestClassifier),
    "logistic_regression": (for_linear, LogisticRegression),
}


def build_model(settings: dict[str, Any], contract: dict[str, Any]) -> Pipeline:
    """The unfitted pipeline for `train` of params.yaml: features, then the chosen estimator."""
    name = settings["model"]
    if name not in MODELS:
        raise SystemExit(f"params.yaml: no model '{name}'. There are: {', '.join(MODELS)}.")
    features, estimator = MODELS[name]
    columns = model_columns(contract)
    text = [c for c in columns if contract["columns"][c]["type"] == "string"]
    numbers = [c for c in columns if c not in text]
    chosen = estimator(random_state=settings["seed"], **settings[name])
    return Pipeline([("features", features(text, numbers)), ("model", chosen)])


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
    contract, settings = read_yaml("contract.yaml"), read_yaml("params.yaml")["train"]
    rows = pd.read_parquet(FOLDER / "train.parquet")
    inputs, target = rows[model_columns(contract)], rows[contract["target"]["name"]]
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    for path, pipeline in (
        (MODEL, build_model(settings, contract)),
        (BASELINE, build_baseline()),
    ):
        model = with_threshold(pipeline, inputs, target, contract)
        skops.io.dump(model, path)
        print(f"{path}: fitted on {len(rows):,} rows, recommends from {model.threshold:.3f} on")


if __name__ == "__main__":
    main()
