"""The baseline is a rule that a person could say."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.baseline import build_baseline


def answers(model: Any, rows: pd.DataFrame) -> Any:
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


@pytest.fixture
def settings(params: dict[str, Any]) -> Any:
    return params["train"]["baseline"]


def test_without_a_limit_it_is_a_table_of_means(
    contract: dict[str, Any], rows: pd.DataFrame, settings: Any
) -> None:
    columns, target = settings["columns"], contract["target"]
    full = rows.dropna(subset=columns)
    rule = build_baseline(settings | {"leaves": None}, contract).fit(full, full[target["name"]])
    truth = full[target["name"]]
    if target.get("type") != "regression":
        truth = (truth == rule.classes_[-1]).astype(float)
    means = truth.groupby([full[name] for name in columns]).transform("mean")
    given = answers(rule, full)
    np.testing.assert_allclose(given[:, -1] if given.ndim == 2 else given, means)


def test_it_answers_for_what_it_never_saw(
    contract: dict[str, Any], rows: pd.DataFrame, settings: Any
) -> None:
    rule = build_baseline(settings, contract).fit(rows, rows[contract["target"]["name"]])
    strange = rows[:5].copy()
    for name in settings["columns"]:
        if contract["columns"][name]["type"] == "string":
            strange[name] = "never seen"
    assert np.isfinite(answers(rule, strange)).all()


WRONG: dict[str, Any] = {
    "nothing": None,
    "a setting more": {"columns": [], "leaves": 4, "depth": 1},
    "no column": {"columns": [], "leaves": 4},
    "a column that there is not": {"columns": ["nowhere"], "leaves": 4},
    "one leaf": {"columns": None, "leaves": 1},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_settings_that_cannot_be_followed_end_in_a_sentence(
    wrong: Any, contract: dict[str, Any], settings: Any
) -> None:
    if wrong and wrong["columns"] is None:
        wrong = wrong | {"columns": settings["columns"]}
    with pytest.raises(SystemExit, match=r"params\.yaml: `train\.baseline"):
        build_baseline(wrong, contract)
