"""The pipeline of a generated project, on the real data."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from projects import Project

pytestmark = pytest.mark.slow
MODELS = ("model/model.skops", "model/baseline.skops")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_untouched_project_runs_nothing(trained: Project) -> None:
    said = trained.mlops("run").stdout
    assert "Running stage" not in said
    assert said.count("didn't change, skipping") == 6
    assert trained.git("status", "--porcelain") == ""


def test_two_clean_clones_give_the_same_bytes(trained: Project) -> None:
    digests = []
    for name, threads in (("first", "1"), ("second", "2")):
        clone = trained.clone(name)
        clone.mlops("setup")
        clone.run("dvc", "repro", "--force", env={"OMP_NUM_THREADS": threads})
        digests.append([sha256(clone.root / path) for path in MODELS])
        assert clone.git("status", "--porcelain") == "", "the lock would have changed"
    assert digests[0] == digests[1] == [sha256(trained.root / path) for path in MODELS]


def test_a_fresh_clone_needs_no_training(trained: Project) -> None:
    trained.mlops("push")
    clone = trained.clone("colleague")
    said = clone.mlops("run").stdout
    assert "Running stage" not in said
    assert clone.ask("gate")["decision"] == "yes"


@pytest.mark.parametrize("model", ["logistic_regression", "random_forest"])
def test_other_models_are_one_word_away(trained: Project, model: str) -> None:
    trained.edit("params.yaml", "model: gradient_boosting", f"model: {model}")
    trained.mlops("run", "train")
    verdict = trained.ask("gate")
    assert verdict["decision"] == "yes"
    assert verdict["metrics"]["roc_auc"]["candidate"]["value"] > 0.7


def test_data_that_breaks_the_contract_stops_the_pipeline(trained: Project) -> None:
    spoil = """
import pandas
path = "data/raw/2013-03.parquet"
rows = pandas.read_parquet(path)
rows.loc[5, "carrier"] = "??"
rows.loc[[7, 8], "humidity"] = 140.0
rows.loc[9, "distance"] = -1
rows.to_parquet(path, index=False)
"""
    trained.python(spoil)
    before = sha256(trained.root / "model/model.skops")
    done = trained.mlops("run", expect=None)
    assert done.returncode != 0
    for words in ("2013-03.parquet", "carrier", "??", "humidity", "above 100", "distance"):
        assert words in done.stderr
    assert sha256(trained.root / "model/model.skops") == before
    assert not (trained.root / "reports/data.json").exists()


def test_new_months_move_no_row_to_the_other_side(trained: Project) -> None:
    shutil.copytree(trained.root / "data/split", trained.root / "before")
    shutil.copy(trained.root / "data/incoming/2013-09.parquet", trained.root / "data/raw")
    trained.mlops("run", "split")
    compare = """
import pandas
for side, grown in (("train", 27010), ("test", 0)):
    old, new = (pandas.read_parquet(f"{f}/{side}.parquet") for f in ("before", "data/split"))
    assert len(new) == len(old) + grown, (side, len(old), len(new))
    assert len(old.merge(new, how="inner")) == len(old), side
"""
    trained.python(compare)


def test_the_model_card_tells_what_it_must(trained: Project) -> None:
    card = (trained.root / "reports/model-card.md").read_text()
    metrics = json.loads((trained.root / "reports/metrics.json").read_text())
    value = metrics["metrics"]["roc_auc"]["candidate"]["value"]
    for part in (
        "## What it is for",
        "## What it is not for",
        "## Limits",
        "160,678 rows",
        "57,049 rows",
        f"{value:.3f} [",
        "| origin | JFK |",
        sha256(trained.root / "model/model.skops"),
        "scikit-learn 1.9",
    ):
        assert part in card
    for plot in ("roc", "calibration", "scores"):
        assert f"plots/{plot}.svg" in card
        assert (trained.root / f"reports/plots/{plot}.svg").read_text().startswith("<?xml")
