"""Features keep their number, whatever is missing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import features
from {{ cookiecutter.package_name }}.load import kinds_of


def values(made: Any, rows: pd.DataFrame) -> Any:
    found = made.transform(rows)
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=float)


def test_trees_get_a_column_each_and_codes_for_the_unknown(
    contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    categories, numbers = kinds_of(contract)
    made = features.for_trees(categories, numbers, rare=2).fit(rows)
    odd = rows[:1].copy()
    for name in categories:
        if contract["columns"][name]["type"] == "string":
            odd[name] = "never seen"
    coded = dict(zip([*categories, *numbers], values(made, odd)[0], strict=True))
    assert all(coded[name] == -1 for name in categories if odd[name].iloc[0] == "never seen")
    for name in categories:
        if contract["columns"][name]["type"] == "string" and rows[name].isna().any():
            gap = values(made, rows[rows[name].isna()][:1])[0]
            assert gap[categories.index(name)] == -2


@pytest.mark.parametrize("make", [features.for_forest, features.for_linear])
def test_nothing_stays_missing_where_the_model_cannot_take_it(
    make: Any, contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    made = make(*kinds_of(contract), 2).fit(rows)
    found = values(made, rows)
    assert np.isfinite(found).all()
    assert values(made, rows[:7]).shape == (7, found.shape[1])
