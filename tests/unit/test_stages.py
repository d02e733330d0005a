"""What the pipeline writes for people."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from parcels import Project

NAME = "GOMP_SPINCOUNT"


def test_evaluate_writes_a_row_a_test_row(trained: Project) -> None:
    table = pd.read_parquet(trained.root / "reports/predictions.parquet")
    models = ("candidate", "candidate recommends", "baseline", "baseline recommends")
    assert list(table) == ["number", "truth", *models]
    assert (table["candidate recommends"] == (table["candidate"] >= 0.5)).all()
    assert table["number"].tolist() == trained.test_rows["number"].tolist()
    assert table["candidate"].between(0, 1).all()


def test_every_metric_comes_with_its_interval(trained: Project) -> None:
    report = json.loads((trained.root / "reports/metrics.json").read_text())
    shown = {"roc_auc", "brier_score", "log_loss"}
    assert set(report["metrics"]) == {*shown, "expected_calibration_error"}
    for entry in report["metrics"].values():
        for estimate in entry.values():
            assert estimate["low"] <= estimate["value"] < estimate["high"]
    assert set(report["slices"]["shop"]) == {"north", "south"}
    assert "roc_auc" in report["slices"]["shop"]["north"]


def test_a_slice_with_few_rows_gets_no_figure(trained: Project) -> None:
    rows = trained.test_rows
    trained.put_test_rows(rows.assign(shop=np.where(rows.index < 50, "north", "south")))
    trained.mlops("evaluate")
    report = json.loads((trained.root / "reports/metrics.json").read_text())
    assert "roc_auc" not in report["slices"]["shop"]["north"]
    trained.mlops("card")
    assert "too few rows" in (trained.root / "reports/model-card.md").read_text()


def test_the_card_says_what_a_reader_asks_for(trained: Project) -> None:
    trained.mlops("card")
    card = (trained.root / "reports/model-card.md").read_text()
    for words in (
        "# Model card: Parcels",
        "## What it is for",
        "that it never saw",
        "ROC AUC | higher |",
        "| shop | north |",
        "sha256 `",
    ):
        assert words in card
    assert "@example.com" not in card


def test_cards_are_the_same_bytes_twice(trained: Project) -> None:
    written = []
    for _ in range(2):
        trained.mlops("card")
        plots = sorted((trained.root / "reports/plots").iterdir())
        written.append([p.read_bytes() for p in [*plots, trained.root / "reports/model-card.md"]])
    assert len(written[0]) == 4
    assert written[0] == written[1]


def test_a_test_set_of_one_class_is_refused(trained: Project) -> None:
    trained.put_test_rows(trained.test_rows.query("broken"))
    assert "lacks a class" in trained.mlops("evaluate", expect=1).err


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda rows: rows.drop(columns="height"), "lacks the columns height"),
        (lambda rows: rows.assign(broken=None), "rows without a label"),
    ],
)
def test_rows_that_cannot_be_measured_on_are_refused(
    spoil: object, why: str, trained: Project
) -> None:
    assert callable(spoil)
    trained.put_test_rows(spoil(trained.test_rows))
    assert why in trained.mlops("evaluate", expect=1).err


# The exit status of `mlops run`


def test_a_pipeline_that_fails_is_a_no(trained: Project) -> None:
    trained.edit("src/parcels.py", "max_depth=1", "max_depth='deep'")
    said = trained.mlops("run", expect=1)
    assert "The pipeline fails; its message stands above." in said.err


def test_a_stage_that_there_is_not_is_wrong_use(trained: Project) -> None:
    said = trained.mlops("run", "chekc", expect=64)
    assert "There is no stage 'chekc'. There are: check, " in said.err
    trained.mlops("run", "check")


def test_a_pipeline_that_cannot_be_read_is_a_no(trained: Project) -> None:
    trained.edit("dvc.yaml", "stages:", "stagse:")
    trained.mlops("run", expect=1)
    assert "DVC cannot read the pipeline" in trained.mlops("run", "check", expect=1).err


def test_an_interrupted_pipeline_decided_nothing(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dvc.repo.Repo.reproduce", interrupted)
    assert "interrupted" in trained.mlops("run", expect=2).err


@pytest.mark.parametrize(("chosen", "told"), [({}, "1000"), ({NAME: "5"}, "5")])
def test_threads_of_a_stage_soon_sleep_while_they_wait(
    chosen: dict[str, str], told: str, trained: Project
) -> None:
    (trained.root / "src/say.py").write_text(f"import os\nprint(os.environ[{NAME!r}])\n")
    done = subprocess.run(
        [sys.executable, "-m", "gatewright", "stage", "say"],
        cwd=trained.root,
        env={name: value for name, value in os.environ.items() if name != NAME} | chosen,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == told
