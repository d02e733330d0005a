"""Each model that params.yaml may name takes rows as the world sends them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import log_loss, r2_score

from {{ cookiecutter.package_name }} import train
from {{ cookiecutter.package_name }}.load import model_columns


def settings(params: dict[str, Any], model: str) -> dict[str, Any]:
    return params["train"] | {"model": model}


def task(contract: dict[str, Any]) -> str:
    return str(contract["target"].get("type", "binary"))


def answers(model: Any, inputs: pd.DataFrame) -> Any:
    """Probabilities, shape (n, classes), or numbers, shape (n, 1)."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba(inputs)
    return model.predict(inputs).reshape(-1, 1)


@pytest.fixture(scope="module", params=list(train.MODELS))
def fitted(
    request: pytest.FixtureRequest,
    params: dict[str, Any],
    contract: dict[str, Any],
    rows: pd.DataFrame,
) -> Any:
    known = settings(params, request.param)
    if request.param != params["train"]["model"]:  # its settings may be those of another task
        known |= {request.param: {}}
    pipeline = train.build_model(known, contract)
    return pipeline.fit(rows[model_columns(contract)], rows[contract["target"]["name"]])


def test_it_learns(fitted: Any, contract: dict[str, Any], rows: pd.DataFrame) -> None:
    inputs, truth = rows[model_columns(contract)], rows[contract["target"]["name"]]
    if task(contract) == "regression":
        assert r2_score(truth, fitted.predict(inputs)) > 0.1
    else:
        usual = truth.value_counts(normalize=True).reindex(fitted.classes_)
        always = np.tile(usual.to_numpy(dtype=float), (len(rows), 1))
        assert log_loss(truth, answers(fitted, inputs)) < 0.95 * log_loss(truth, always)


def test_unseen_categories_and_missing_values_get_an_answer(
    fitted: Any, contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    strange = rows[model_columns(contract)][:50].copy()
    for name in strange:
        kind = contract["columns"][name]["type"]
        if kind == "string":
            strange[name] = "never seen"
        if contract["columns"][name].get("nullable"):
            strange[name] = np.nan if kind in ("integer", "number") else None
    given = answers(fitted, strange)
    assert np.isfinite(given).all()
    if task(contract) != "regression":
        assert given.sum(axis=1) == pytest.approx(1)


def test_a_row_alone_scores_as_it_does_among_others(
    fitted: Any, contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    inputs = rows[model_columns(contract)][:20]
    alone = np.vstack([answers(fitted, inputs[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(answers(fitted, inputs), alone)


COSTS = {False: {False: 0, True: 60}, True: {False: 200, True: 80}}


def test_it_recommends_from_where_that_costs_least(params: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    inputs = pd.DataFrame({"sign": random.normal(size=3000)})
    target = pd.Series(inputs["sign"] + random.normal(size=3000) > 1)
    contract = {
        "target": {"name": "event"},
        "columns": {"sign": {"type": "number"}},
        "decision": {"costs": COSTS},
    }
    pipeline = train.build_model(settings(params, "linear") | {"linear": {}}, contract)
    model = train.fitted(pipeline, inputs, target, contract)

    def cost(threshold: float) -> float:
        said = model.predict_proba(inputs)[:, 1] >= threshold
        return float(np.mean([COSTS[bool(t)][bool(s)] for t, s in zip(target, said, strict=True)]))

    assert (model.predict(inputs) == (model.predict_proba(inputs)[:, 1] >= model.threshold)).all()
    assert cost(model.threshold) < min(cost(0.0), cost(1.1), cost(0.8))
    del contract["decision"]
    assert train.fitted(pipeline, inputs, target, contract).threshold == 0.5


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
    "a share of rare rows": ("rare", 0.5),
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


@pytest.fixture
def project(
    contract: dict[str, Any],
    params: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The folder in which the stage runs, without rows."""
    monkeypatch.chdir(tmp_path)
    Path("contract.yaml").write_text(yaml.safe_dump(contract))
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("data/split").mkdir(parents=True)


@pytest.mark.usefixtures("project")
def test_the_stage_writes_model_and_baseline(rows: pd.DataFrame) -> None:
    rows.to_parquet("data/split/train.parquet")
    train.main()
    assert sorted(path.name for path in Path("model").iterdir()) == [
        "baseline.skops",
        "model.skops",
    ]


@pytest.mark.usefixtures("project")
def test_a_column_without_a_value_ends_in_a_sentence(
    contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    first = model_columns(contract)[0]
    rows.assign(**{first: None}).to_parquet("data/split/train.parquet")
    with pytest.raises(SystemExit, match="no training row has a value"):
        train.main()
