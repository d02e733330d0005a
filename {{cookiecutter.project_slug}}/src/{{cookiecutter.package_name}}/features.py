"""How columns become what a model takes in. All of it is fitted and saved with the model."""

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler


def for_trees(categories: list[str], numbers: list[str], rare: int) -> ColumnTransformer:
    """Codes for categories, numbers as they are; trees need no scale.

    Categories of fewer than `rare` rows share one code. A category that was not seen in training
    is -1, a missing one -2, a missing number stays NaN.
    """
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-2,
        min_frequency=rare,
    )
    return ColumnTransformer([("codes", codes, categories), ("numbers", "passthrough", numbers)])


def for_forest(categories: list[str], numbers: list[str], rare: int) -> ColumnTransformer:
    """As for trees, and missing numbers filled in, with a column that says so."""
    codes = for_trees(categories, numbers, rare).transformers[0][1]
    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return ColumnTransformer([("codes", codes, categories), ("numbers", filled, numbers)])


def for_linear(categories: list[str], numbers: list[str], rare: int) -> ColumnTransformer:
    """A column a category, numbers filled and scaled; an unseen category counts as a rare one."""
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=rare)
    scaled = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    return ColumnTransformer([("one_hot", one_hot, categories), ("numbers", scaled, numbers)])
