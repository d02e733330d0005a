"""The pipeline of a generated project, on the real data: its first run, and what it promises."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from projects import Parcels, Project

pytestmark = pytest.mark.slow
MODELS = ("model/model.skops", "model/baseline.skops")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_untouched_project_runs_nothing(flights: Project) -> None:
    said = flights.mlops("run").stdout
    assert "Running stage" not in said
    assert said.count("didn't change, skipping") == 6
    assert flights.git("status", "--porcelain") == ""


def test_the_first_model_is_let_in(flights: Project) -> None:
    verdict = flights.ask("gate")
    assert verdict["decision"] == "yes"
    assert flights.refusals(verdict) == set()


def test_two_clean_clones_give_the_same_bytes(flights: Project) -> None:
    """By processes with other numbers of threads, too; fewer trees and months take less time."""
    flights.edit("params.yaml", "max_iter: 100", "max_iter: 20")
    for month in ("02", "04", "05", "06"):
        (flights.root / f"data/raw/2013-{month}.parquet").unlink()
    flights.inside("run")
    flights.commit("Fewer trees and months")
    flights.inside("push")
    clone = flights.clone("colleague")
    clone.mlops("setup")
    clone.run("dvc", "repro", "--force", env={"OMP_NUM_THREADS": "2"})
    assert clone.git("status", "--porcelain") == "", "the lock would have changed"
    for path in MODELS:
        assert sha256(clone.root / path) == sha256(flights.root / path)


def test_a_fresh_clone_needs_no_training(trained: Parcels) -> None:
    trained.mlops("push")
    clone = trained.clone("colleague")
    said = clone.mlops("run").stdout
    assert "Running stage" not in said
    assert said.count("didn't change, skipping") == 4
    assert clone.ask("gate")["decision"] == "yes"


@pytest.mark.parametrize("model", ["linear", "random_forest"])
def test_other_models_are_one_word_away(flights: Project, model: str) -> None:
    flights.edit("params.yaml", "model: gradient_boosting", f"model: {model}")
    flights.edit("params.yaml", "n_estimators: 100", "n_estimators: 30")  # it takes less time
    flights.inside("run", "train")
    verdict = flights.ask_inside("gate")
    assert verdict["decision"] == "yes"
    assert verdict["metrics"]["roc_auc"]["candidate"]["value"] > 0.7


def test_data_that_breaks_the_contract_stops_the_pipeline(flights: Project) -> None:
    path = flights.root / "data/raw/2013-03.parquet"
    rows = pd.read_parquet(path)
    rows.loc[5, "carrier"] = "??"
    rows.loc[[7, 8], "humidity"] = 140.0
    rows.loc[9, "distance"] = -1
    rows.to_parquet(path, index=False)
    before = sha256(flights.root / "model/model.skops")
    done = flights.mlops("run", expect=None)
    assert done.returncode != 0
    for words in ("2013-03.parquet", "carrier", "??", "humidity", "above 100", "distance"):
        assert words in done.stderr
    assert sha256(flights.root / "model/model.skops") == before
    assert not (flights.root / "reports/data.json").exists()


def test_new_months_move_no_row_to_the_other_side(flights: Project) -> None:
    shutil.copytree(flights.root / "data/split", flights.root / "before")
    shutil.copy(flights.root / "data/incoming/2013-09.parquet", flights.root / "data/raw")
    flights.inside("run", "split")
    for side, grown in (("train", 27010), ("test", 0)):
        folders = (flights.root / "before", flights.root / "data/split")
        old, new = (pd.read_parquet(folder / f"{side}.parquet") for folder in folders)
        assert len(new) == len(old) + grown
        assert len(old.merge(new, how="inner")) == len(old)


def test_the_model_card_tells_what_it_must(flights: Project) -> None:
    card = (flights.root / "reports/model-card.md").read_text()
    metrics = json.loads((flights.root / "reports/metrics.json").read_text())
    value = metrics["metrics"]["roc_auc"]["candidate"]["value"]
    for part in (
        "## What it is for",
        "## What it is not for",
        "## Limits",
        "160,678 rows",
        "57,049 rows",
        f"{value:.3f} [",
        "| origin | JFK |",
        sha256(flights.root / "model/model.skops"),
        "scikit-learn 1.9",
    ):
        assert part in card
    for plot in ("roc", "calibration", "scores"):
        assert f"plots/{plot}.svg" in card
        assert (flights.root / f"reports/plots/{plot}.svg").read_text().startswith("<?xml")
