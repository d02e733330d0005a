"""The rule that a person would use: a small tree of at most two columns.

Without a limit to its leaves it is a table that anybody could print: the answer of each pair of
values is the mean of the training rows that have them.
"""

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .load import kinds_of

SETTINGS = {"columns", "leaves"}


def build_baseline(settings: Any, contract: dict[str, Any]) -> Pipeline:
    """The unfitted rule for `train.baseline` of params.yaml."""
    if not isinstance(settings, dict) or set(settings) != SETTINGS:
        raise SystemExit("params.yaml: `train.baseline` must hold columns and leaves, no more.")
    columns, leaves = settings["columns"], settings["leaves"]
    categories, numbers = kinds_of(contract)
    if (
        not isinstance(columns, list)
        or not 1 <= len(columns) <= 2
        or not all(name in (*categories, *numbers) for name in columns)
    ):
        raise SystemExit(
            "params.yaml: `train.baseline.columns` must be one or two that models use."
        )
    if leaves is not None and (type(leaves) is not int or leaves < 2):
        raise SystemExit(
            "params.yaml: `train.baseline.leaves` must be a number from 2 on, or null."
        )
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    inputs = ColumnTransformer(
        [
            ("categories", codes, [name for name in columns if name in categories]),
            ("numbers", "passthrough", [name for name in columns if name in numbers]),
        ]
    )
    is_number = contract["target"].get("type") == "regression"
    tree = DecisionTreeRegressor if is_number else DecisionTreeClassifier
    return Pipeline([("columns", inputs), ("rule", tree(max_leaf_nodes=leaves, random_state=0))])
