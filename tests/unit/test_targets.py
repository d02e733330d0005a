"""Several classes, and numbers: the whole way from data to production, and each refusal there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, DVC, GATES, TRAIN, Project, make_project, make_rows, red

CLASSES = ["whole", "dented", "broken"]
PEOPLE = "  customer: {type: integer, description: Who sent it, min: 0, feature: false}\n"
CARD = """\
  card:
    cmd: mlops card
    deps:
      - contract.yaml
      - docs/model-card-words.md
      - reports/metrics.json
      - reports/predictions.parquet
    outs:
      - reports/model-card.md: {cache: false}
      - reports/plots: {cache: false}
"""


def several(n: int, first: int = 0) -> pd.DataFrame:
    """What becomes of a parcel: the heavier and higher, the worse."""
    rows = make_rows(n, first).drop(columns="broken")
    draw = np.random.default_rng([3, first])
    harm = 1.6 * rows["weight"].fillna(0) + 1.2 * rows["height"] + draw.logistic(size=n)
    rows["fate"] = np.array(CLASSES)[np.digitize(harm, [-0.5, 1.5])]
    return rows


def numbers(n: int, first: int = 0) -> pd.DataFrame:
    """How many days it takes; parcels of one customer are late together."""
    rows = make_rows(n, first).drop(columns="broken")
    draw = np.random.default_rng([5, first])
    rows["customer"] = draw.integers(first // 10, first // 10 + 200, size=n)
    together = np.random.default_rng(7).normal(size=10_000)[rows["customer"]]
    days = 20 + 3 * rows["weight"].fillna(0) + 2 * rows["height"] + together
    rows["days"] = (days + draw.normal(scale=2, size=n)).clip(0, 60)
    return rows


SEVERAL = {
    "contract.yaml": CONTRACT.replace(
        "target: {name: broken, description: The parcel arrives broken.}",
        "target:\n  {name: fate, description: What becomes of it., type: multiclass,"
        " classes: [whole, dented, broken]}",
    )
    + """\
decision:
  description: How is it packed?
  unit: EUR
  actions: {whole: once, dented: twice, broken: by hand}
  costs:
    whole: {whole: 0, dented: 1, broken: 9}
    dented: {whole: 10, dented: 1, broken: 9}
    broken: {whole: 40, dented: 30, broken: 9}
""",
    "gates.yaml": GATES.replace("roc_auc: {min: 0.70}", "roc_auc_ovr: {min: 0.70}")
    .replace("brier_score: {max: 0.23}", "brier_score: {max: 0.60}")
    .replace("roc_auc: {min: 0.72}", "accuracy: {min: 0.55}")
    .replace("roc_auc:", "roc_auc_ovr:"),
    "src/parcels.py": TRAIN.replace('"broken"', '"fate"'),
    "dvc.yaml": DVC + CARD,
}
NUMBERS = {
    "contract.yaml": CONTRACT.replace(
        "target: {name: broken, description: The parcel arrives broken.}",
        "group: customer\ntarget: {name: days, description: How long it takes., type: regression}",
    )
    .replace(
        "prediction: {name: probability_broken, description: How probable it is that it arrives "
        "broken.}",
        "prediction: {name: days, description: How many days it takes., min: -60, max: 100}",
    )
    .replace("  shop:", PEOPLE + "  shop:"),
    "gates.yaml": """\
sampling: {resamples: 200}
checks:
  rows: {min: 500}
  bounds:
    metrics:
      r2: {min: 0.5}
      mean_absolute_error: {max: 3}
  baseline:
    metrics: {mean_absolute_error: 0.2}
  champion:
    metrics: {mean_absolute_error: 0.05, root_mean_squared_error: 0.05}
  slices:
    metrics: {mean_absolute_error: 0.2}
  leakage: {time_order: allow, too_good: {r2: 0.99}}
environments:
  dev: {}
  staging: {}
  production: {}
""",
    "src/parcels.py": TRAIN.replace('"broken"', '"days"')
    .replace("LogisticRegression(C=strength)", "Ridge(alpha=1 / strength)")
    .replace("import LogisticRegression", "import Ridge")
    .replace("DecisionTreeClassifier", "DecisionTreeRegressor"),
    "dvc.yaml": DVC + CARD,
}


def made(folder: Path, changes: dict[str, str], rows: Callable[[int, int], Any]) -> Project:
    project = make_project(folder, changes, rows)
    project.mlops("register")
    for environment in ("dev", "staging", "production"):
        project.mlops("promote", "1.0.0", "--to", environment)
    return project


@pytest.fixture(scope="module")
def made_several(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return made(tmp_path_factory.mktemp("several"), SEVERAL, several)


@pytest.fixture(scope="module")
def made_numbers(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return made(tmp_path_factory.mktemp("numbers"), NUMBERS, numbers)


def sorted_out(project: Project, strength: str) -> None:
    """Train a model that hardly learns."""
    (project.root / "params.yaml").write_text(f"train: {{C: {strength}}}\n")
    project.mlops("run", "train")


def test_several_classes_walk_to_production(made_several: Project) -> None:
    assert set(made_several.live().values()) == {"1.0.0"}
    verdict = made_several.ask("gate", "--env", "production")
    assert red(verdict) == set()
    assert set(verdict["metrics"]) >= {"roc_auc_ovr", "accuracy", "expected_cost", "log_loss"}
    told = pd.read_parquet(made_several.root / "reports/predictions.parquet")
    assert [f"candidate {name}" for name in CLASSES] == [*told.columns[2:5]]
    card = (made_several.root / "reports/model-card.md").read_text()
    assert "ROC AUC, one against the rest" in card
    golden = made_several.record("1.0.0")["golden"]
    assert {pair["recommends"] for pair in golden} <= set(CLASSES)
    assert "1.0.0" in made_several.mlops("smoke", "production").out


def test_numbers_walk_to_production(made_numbers: Project) -> None:
    assert set(made_numbers.live().values()) == {"1.0.0"}
    verdict = made_numbers.ask("gate", "--env", "production")
    assert red(verdict) == set()
    assert set(verdict["metrics"]) >= {"r2", "mean_absolute_error", "root_mean_squared_error"}
    (groups,) = (
        finding
        for answer in verdict["answers"]
        for finding in answer["findings"]
        if finding["subject"] == "groups"
    )
    assert groups["message"] == "394 of at least 50"
    card = (made_numbers.root / "reports/model-card.md").read_text()
    assert "R²" in card
    assert (made_numbers.root / "reports/plots").is_dir()
    assert "1.0.0" in made_numbers.mlops("smoke", "production").out


@pytest.fixture(params=["several", "numbers"])
def of_either(
    request: pytest.FixtureRequest, made_several: Project, made_numbers: Project, tmp_path: Path
) -> Project:
    return {"several": made_several, "numbers": made_numbers}[request.param].copy(tmp_path)


def test_a_worse_model_of_either_kind_is_refused(of_either: Project) -> None:
    sorted_out(of_either, "0.0005")
    verdict = of_either.ask("gate", expect=1)
    assert {"champion"} <= red(verdict)
    assert "worse than 1.0.0" in json.dumps(verdict)


def test_turned_labels_of_either_kind_are_refused(of_either: Project) -> None:
    path = "data/split/train.parquet"
    rows = pd.read_parquet(of_either.root / path)
    name = "fate" if "fate" in rows else "days"
    turned = rows.index % 5 == 0
    rows.loc[turned, name] = rows[name].to_numpy()[::-1][turned]
    of_either.put(path, lambda target: rows.to_parquet(target))
    verdict = of_either.ask("gate", expect=1)
    assert red(verdict) == {"data"}
    assert "have another label" in json.dumps(verdict)


def test_a_class_that_the_model_does_not_know_is_refused(
    made_several: Project, tmp_path: Path
) -> None:
    project = made_several.copy(tmp_path)
    project.edit(
        "src/parcels.py",
        "for name, model in",
        'train = train[train["fate"] != "broken"]\nfor name, model in',
    )
    project.mlops("run", "train")
    verdict = project.ask("gate", expect=1)
    assert "gives shape (2000, 2), not one probability a class" in json.dumps(verdict)


def test_a_number_out_of_its_range_is_refused(made_numbers: Project, tmp_path: Path) -> None:
    project = made_numbers.copy(tmp_path)
    project.edit("contract.yaml", "min: -60, max: 100", "min: 0, max: 25")
    verdict = project.ask("gate", expect=1)
    assert {"contract", "bounds", "champion"} <= red(verdict)
    assert "between 0 and 25" in json.dumps(verdict)
