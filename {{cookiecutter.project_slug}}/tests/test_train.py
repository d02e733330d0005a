"""Each model that params.yaml may name takes rows as the world sends them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from {{ cookiecutter.package_name }} import train
from {{ cookiecutter.package_name }}.load import model_columns


def settings(params: dict[str, Any], model: str) -> dict[str, Any]:
    return params["train"] | {"model": model}


@pytest.fixture(scope="module", params=list(train.MODELS))
def fitted(
    request: pytest.FixtureRequest,
    params: dict[str, Any],
    contract: dict[str, Any],
    rows: pd.DataFrame,
) -> Any:
    pipeline = train.build_model(settings(params, request.param), contract)
    return pipeline.fit(rows[model_columns(contract)], rows[contract["target"]["name"]])


def test_it_learns(fitted: Any, contract: dict[str, Any], rows: pd.DataFrame) -> None:
    scores = fitted.predict_proba(rows[model_columns(contract)])[:, 1]
    assert roc_auc_score(rows["late"], scores) > 0.6


def test_unseen_categories_and_missing_values_give_probabilities(
    fitted: Any, contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    strange = rows[model_columns(contract)][:50].copy()
    strange["destination"] = "XXX"
    strange["carrier"] = "??"
    for name in strange:
        if contract["columns"][name].get("nullable"):
            strange[name] = None if contract["columns"][name]["type"] == "string" else np.nan
    scores = fitted.predict_proba(strange)
    assert np.isfinite(scores).all()
    assert scores.sum(axis=1) == pytest.approx(1)


def test_a_row_alone_scores_as_it_does_among_others(
    fitted: Any, contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    inputs = rows[model_columns(contract)][:20]
    together = fitted.predict_proba(inputs)
    alone = np.vstack([fitted.predict_proba(inputs[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(together, alone)


def test_it_recommends_from_where_that_costs_least(
    fitted: Any, contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    inputs, target = rows[model_columns(contract)], rows[contract["target"]["name"]]
    model = train.with_threshold(fitted, inputs, target, contract)
    costs = contract["decision"]["costs"]

    def cost(threshold: float) -> float:
        said = model.predict_proba(inputs)[:, 1] >= threshold
        return float(np.mean([costs[bool(t)][bool(s)] for t, s in zip(target, said, strict=True)]))

    assert (model.predict(inputs) == (model.predict_proba(inputs)[:, 1] >= model.threshold)).all()
    assert cost(model.threshold) < min(cost(0.0), cost(1.1), cost(0.7))


def test_without_a_decision_it_recommends_from_one_half(
    fitted: Any, contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    plain = {key: value for key, value in contract.items() if key != "decision"}
    inputs, target = rows[model_columns(contract)], rows[contract["target"]["name"]]
    assert train.with_threshold(fitted, inputs, target, plain).threshold == 0.5


def test_an_unknown_model_is_refused(params: dict[str, Any], contract: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="no model 'crystal_ball'"):
        train.build_model(settings(params, "crystal_ball"), contract)


WRONG: dict[str, tuple[str, Any]] = {
    "a seed that is text": ("seed", "0"),
    "a seed below 0": ("seed", -1),
    "a seed that is true": ("seed", True),
    "a model that is a list": ("model", ["random_forest"]),
    "no settings": ("gradient_boosting", None),
    "an unknown setting": ("gradient_boosting", {"colour": "red"}),
    "a seed of its own": ("gradient_boosting", {"random_state": 1}),
    "a negative number": ("gradient_boosting", {"max_iter": -5}),
    "text for a number": ("gradient_boosting", {"learning_rate": "0.1"}),
    "true for a number": ("gradient_boosting", {"learning_rate": True}),
}


@pytest.mark.parametrize(("key", "value"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_cannot_be_followed_end_in_a_sentence(
    key: str, value: Any, params: dict[str, Any], contract: dict[str, Any]
) -> None:
    with pytest.raises(SystemExit, match=r"params\.yaml: "):
        train.build_model(settings(params, "gradient_boosting") | {key: value}, contract)


def test_the_stage_writes_model_and_baseline(
    contract: dict[str, Any],
    params: dict[str, Any],
    rows: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("contract.yaml").write_text(yaml.safe_dump(contract))
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("data/split").mkdir(parents=True)
    rows.to_parquet("data/split/train.parquet")
    train.main()
    assert sorted(path.name for path in Path("model").iterdir()) == [
        "baseline.skops",
        "model.skops",
    ]
