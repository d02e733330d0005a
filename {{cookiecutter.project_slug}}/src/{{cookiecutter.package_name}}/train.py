"""Stage `train`: fit the model that params.yaml names, and the baseline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
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


def main() -> None:
    contract, settings = read_yaml("contract.yaml"), read_yaml("params.yaml")["train"]
    rows = pd.read_parquet(FOLDER / "train.parquet")
    inputs, target = rows[model_columns(contract)], rows[contract["target"]["name"]]
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    for path, pipeline in (
        (MODEL, build_model(settings, contract)),
        (BASELINE, build_baseline()),
    ):
        pipeline.fit(inputs, target)
        skops.io.dump(pipeline, path)
        print(f"{path}: fitted on {len(rows):,} rows")


if __name__ == "__main__":
    main()
