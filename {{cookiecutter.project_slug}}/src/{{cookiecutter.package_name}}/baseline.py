"""The rule that a person would use: how often were flights like this one late before?

The late rate by airport and hour, as a table that anybody could print. A tree that may split
until every pair of airport and hour has a leaf of its own is exactly that table.
"""

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

PLACE, TIME = "origin", "hour"


def build_baseline() -> Pipeline:
    """An unfitted pipeline whose probability is the share of late rows in (origin, hour)."""
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    columns = ColumnTransformer([("place", codes, [PLACE]), ("time", "passthrough", [TIME])])
    return Pipeline([("columns", columns), ("table", DecisionTreeClassifier(random_state=0))])
