"""Features keep their number, whatever is missing."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import features
from {{ cookiecutter.package_name }}.load import model_columns


@pytest.fixture
def kinds(contract: dict[str, Any]) -> tuple[list[str], list[str]]:
    columns = model_columns(contract)
    text = [c for c in columns if contract["columns"][c]["type"] == "string"]
    return text, [c for c in columns if c not in text]


def test_trees_get_a_column_each_and_codes_for_the_unknown(
    kinds: tuple[list[str], list[str]], rows: pd.DataFrame
) -> None:
    text, numbers = kinds
    made = features.for_trees(text, numbers).fit(rows)
    odd = rows[rows["plane_engine"].isna()][:1].assign(carrier="??")
    coded = dict(zip([*text, *numbers], made.transform(odd)[0], strict=True))
    assert coded["carrier"] == -1
    assert coded["plane_engine"] == -2


@pytest.mark.parametrize("make", [features.for_forest, features.for_linear])
def test_nothing_stays_missing_where_the_model_cannot_take_it(
    make: Any, kinds: tuple[list[str], list[str]], rows: pd.DataFrame
) -> None:
    made = make(*kinds).fit(rows)
    values = made.transform(rows)
    dense = values.toarray() if hasattr(values, "toarray") else values
    assert np.isfinite(np.asarray(dense, dtype=float)).all()
    assert made.transform(rows[:7]).shape == (7, values.shape[1])
