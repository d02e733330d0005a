"""Good models are let in, and each check refuses what it is there for, alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from parcels import Project, make_model, make_rows
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops.artefacts.contract import read_contract
from mlops.artefacts.files import read_text
from mlops.artefacts.lock import TEST, TRAIN, parse_lock
from mlops.artefacts.model import BASELINE, MODEL, seal
from mlops.errors import Misuse, Refused
from mlops.gate.checks import CHECKS
from mlops.gate.checks.quality import compare
from mlops.gate.evidence import Champion, Evidence
from mlops.gate.policy import parse_policy, read_policy
from mlops.gate.verdict import Verdict, judge
from mlops.measure.resample import Estimate

NAN = float("nan")
WORSE = {"weight": 1.6, "height": 0.5}  # good enough for bounds and baseline, were nothing live


def red(verdict: Any) -> set[str]:
    """The checks that did not pass."""
    return {
        answer["check"]
        for answer in verdict["answers"]
        if any(finding["status"] != "pass" for finding in answer["findings"])
    }


def another_good_model(project: Project) -> None:
    """As good as the one it replaces, but nobody wrote it into dvc.lock."""
    skops.io.dump(make_model(), project.root / MODEL)
    seal(project.root / MODEL)


def few_rows(project: Project) -> None:
    project.edit("gates.yaml", "rows: {min: 500", "rows: {min: 5000")


def fewer_test_rows(project: Project) -> None:
    project.put_test_rows(project.test_rows.iloc[5:])


def a_bound_out_of_reach(project: Project) -> None:
    project.edit("gates.yaml", "roc_auc: {min: 0.70}", "roc_auc: {min: 0.95}")


def a_baseline_as_good(project: Project) -> None:
    project.put_baseline(make_model(1.5, 1.2))


def a_worse_model(project: Project) -> None:
    project.put_model(make_model(**WORSE))


RED: dict[str, Callable[[Project], None]] = {
    "files": another_good_model,
    "rows": few_rows,
    "holdout": fewer_test_rows,
    "bounds": a_bound_out_of_reach,
    "baseline": a_baseline_as_good,
    "champion": a_worse_model,
}


@pytest.mark.parametrize(("check", "spoil"), RED.items(), ids=RED.keys())
def test_each_check_turns_red_alone(
    check: str, spoil: Callable[[Project], None], released: Project
) -> None:
    spoil(released)
    verdict = released.ask("gate", expect=1)
    assert red(verdict) == {check}
    assert verdict["decision"] == "no"
    assert verdict["sentence"].startswith("No: the model may not enter dev. " + check)


def test_every_check_has_such_a_test() -> None:
    assert set(RED) == {check.id for check in CHECKS}


def test_the_honest_model_passes_all(released: Project) -> None:
    verdict = released.ask("gate", "--env", "production")
    assert red(verdict) == set()
    assert verdict["sentence"] == "Yes: the model may enter production and holds against 1.0.0."


def test_the_first_model_is_judged_by_bounds_and_baseline(trained: Project) -> None:
    assert "as the first" in trained.ask("gate")["sentence"]
    a_baseline_as_good(trained)
    assert red(trained.ask("gate", expect=1)) == {"baseline"}


def test_one_environment_may_ask_for_more(released: Project) -> None:
    released.edit("gates.yaml", "roc_auc: {min: 0.72}", "roc_auc: {min: 0.95}")
    released.mlops("gate", "--env", "staging")
    released.mlops("gate", "--env", "production", expect=1)


# Against the champion


def against(project: Project, champion: Any, margins: dict[str, float]) -> Verdict:
    """The verdict on the project's model when `champion` is live."""
    path = project.root / "champion.skops"
    skops.io.dump(champion, path)
    policy = read_policy(project.root, "dev")
    settings = policy.settings["champion"].model_copy(update={"metrics": margins})
    policy = replace(policy, settings=policy.settings | {"champion": settings})
    contract = read_contract(project.root)
    live = Champion("0.9.0", path, contract)
    lock = parse_lock(read_text(project.root / "dvc.lock"))
    return judge(policy, Evidence(project.root, contract, lock, live, policy.sampling))


@pytest.mark.parametrize(
    ("champion", "margin", "decision", "words"),
    [
        (WORSE, 0.0, "yes", "better than 0.9.0"),
        ({"weight": 1.5, "height": 1.2}, 0.01, "yes", "not worse than 0.9.0"),
        ({"weight": 1.5, "height": 1.2}, 0.0, "undecided", "cannot be told from 0.9.0"),
    ],
)
def test_what_the_champion_check_answers(
    champion: dict[str, float], margin: float, decision: str, words: str, trained: Project
) -> None:
    verdict = against(trained, make_model(**champion), {"roc_auc": margin})
    assert verdict.decision == decision
    (finding,) = verdict.answers[-1].findings
    assert finding.message.startswith(words)


def test_a_worse_model_is_refused_with_the_name_of_the_champion(released: Project) -> None:
    a_worse_model(released)
    verdict = released.ask("gate", expect=1)
    assert "worse than 1.0.0" in verdict["sentence"]
    assert verdict["champion"] == "1.0.0"


def test_what_cannot_be_told_exits_with_2(released: Project) -> None:
    released.edit("gates.yaml", "roc_auc: 0.01, brier_score: 0.005", "roc_auc: 0.0")
    released.put_model(make_model(1.5, 1.2))
    said = released.mlops("gate", expect=2)
    assert "Undecided: the model does not enter dev." in said.out
    assert "CANNOT TELL" in said.out


def test_the_same_model_again_is_not_worse_even_without_margin(released: Project) -> None:
    every = "roc_auc: 0, average_precision: 0, brier_score: 0, log_loss: 0"
    released.edit("gates.yaml", "roc_auc: 0.01, brier_score: 0.005", every)
    findings = released.ask("gate")["answers"][-1]["findings"]
    assert [f["message"].startswith("not worse than 1.0.0") for f in findings] == [True] * 4


@pytest.mark.parametrize(
    ("low", "high", "margin", "status", "words"),
    [
        (0.001, 0.020, 0.01, "pass", "better than"),
        (0.000, 0.000, 0.00, "pass", "not worse than"),
        (-0.010, 0.005, 0.01, "pass", "not worse than"),
        (-0.009, -0.001, 0.01, "pass", "not worse than"),
        (-0.011, 0.005, 0.01, "unsure", "cannot be told from"),
        (-0.011, 0.000, 0.01, "unsure", "cannot be told from"),
        (-0.011, -0.001, 0.01, "refuse", "worse than"),
        (NAN, NAN, 0.01, "refuse", "not comparable with"),
    ],
)
def test_compare_has_four_answers_and_nan_is_none_of_the_good_ones(
    low: float, high: float, margin: float, status: str, words: str
) -> None:
    assert compare(Estimate(0.0, low, high), margin) == (status, words)


# What cannot be measured


def nan_predictions(project: Project) -> None:
    project.put_model(make_model(math.nan, 1.0))


def one_class(project: Project) -> None:
    project.put_test_rows(project.test_rows.query("broken"))


def no_rows(project: Project) -> None:
    project.put_test_rows(project.test_rows.head(0))


def no_labels(project: Project) -> None:
    project.put_test_rows(project.test_rows.astype({"broken": "object"}).assign(broken=None))


def no_feature(project: Project) -> None:
    project.put_test_rows(project.test_rows.drop(columns="height"))


def a_regressor(project: Project) -> None:
    model = make_pipeline(SimpleImputer()).fit(make_rows(50)[["weight", "height"]])
    project.put_model(model)


def three_classes(project: Project) -> None:
    rows = make_rows(300)
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    project.put_model(model.fit(rows[["weight", "height"]], np.arange(300) % 3))


def other_features(project: Project) -> None:
    rows = make_rows(300)
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    project.put_model(model.fit(rows[["weight"]], rows["broken"]))


def remove(path: str) -> Callable[[Project], None]:
    return lambda project: (project.root / path).unlink()


def alter_test_rows(project: Project) -> None:
    rows = project.test_rows
    rows.head(-1).to_parquet(project.root / TEST)


def write(path: str, content: bytes) -> Callable[[Project], None]:
    return lambda project: project.put(path, lambda target: target.write_bytes(content) and None)


SCORED = {"bounds", "baseline", "champion"}
MEASURED = {"rows", "holdout", *SCORED}
BAD: dict[str, tuple[Callable[[Project], None], set[str], str]] = {
    "predictions are NaN": (nan_predictions, SCORED, "are missing or no numbers between 0 and 1"),
    "one class only": (one_class, MEASURED, "0 of at least 100"),
    "no rows": (no_rows, MEASURED, "0 of at least 500"),
    "rows without a label": (no_labels, MEASURED, "rows without a label"),
    "a feature is missing": (no_feature, MEASURED, "lacks the columns height"),
    "no classifier": (a_regressor, SCORED, "is no classifier with probabilities"),
    "three classes": (three_classes, SCORED, "gives shape (2000, 3)"),
    "made for other columns": (other_features, SCORED, "The candidate fails on the test rows"),
    "no model": (remove(MODEL), {"files", *SCORED}, "model/model.skops is missing"),
    "no baseline": (remove(BASELINE), {"files", *SCORED}, "model/baseline.skops is missing"),
    "no test set": (remove(TEST), {"files", *MEASURED}, "test.parquet is missing"),
    "a test set that nobody wrote": (
        alter_test_rows,
        {"files", "holdout"},
        "is not the file that dvc.lock",
    ),
    "an unreadable test set": (write(TEST, b"PAR1?"), MEASURED, "no readable Parquet"),
    "an empty model": (write(MODEL, b""), SCORED, "is not a whole skops file"),
}


@pytest.mark.parametrize(("spoil", "checks", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_measured_is_refused(
    spoil: Callable[[Project], None], checks: set[str], words: str, released: Project
) -> None:
    spoil(released)
    said = released.mlops("gate", "--json", expect=1)
    assert red(said.json) == checks
    assert words in said.out


def test_the_lock_must_name_what_is_judged(released: Project) -> None:
    lock = released.root / "dvc.lock"
    lock.write_text(lock.read_text().replace("model/baseline.skops", "model/other.skops"))
    verdict = released.ask("gate", expect=1)
    assert red(verdict) == {"files"}
    assert "model/baseline.skops is not in dvc.lock" in verdict["sentence"]


@pytest.mark.parametrize("name", ["dvc.lock", "gates.yaml"])
def test_without_lock_or_policy_there_is_no_verdict(name: str, released: Project) -> None:
    (released.root / name).unlink()
    assert f"{name} cannot be read" in released.mlops("gate", expect=1).err


def test_a_figure_that_somebody_wrote_down_decides_nothing(released: Project) -> None:
    honest = released.ask("gate")["metrics"]
    (released.root / "reports/metrics.json").write_text('{"roc_auc": 0.99}')
    assert released.ask("gate")["metrics"] == honest


# The rows that only ever test


def with_rows(project: Project, path: str, rows: Any) -> None:
    project.put(path, lambda target: rows.to_parquet(target))


def change_a_label(project: Project) -> None:
    rows = project.test_rows
    other = rows["number"] == rows["number"].iloc[3]
    project.put_test_rows(rows.assign(broken=rows["broken"] ^ other))


def train_on_a_test_row(project: Project) -> None:
    train = pd.read_parquet(project.root / TRAIN)
    with_rows(project, TRAIN, pd.concat([train, project.test_rows.head(3)]))


def the_same_row_twice(project: Project) -> None:
    project.put_test_rows(pd.concat([project.test_rows, project.test_rows.head(1)]))


HOLDOUT: dict[str, tuple[Callable[[Project], None], str]] = {
    "rows are gone": (fewer_test_rows, "5 known test rows are gone"),
    "a label is another": (change_a_label, "1 known test rows have other values"),
    "test rows were trained on": (train_on_a_test_row, "3 test rows were trained on"),
    "a row counts twice": (the_same_row_twice, "stands more than once"),
    "no training rows": (remove(TRAIN), "no readable Parquet"),
}


@pytest.mark.parametrize(("spoil", "words"), HOLDOUT.values(), ids=HOLDOUT.keys())
def test_the_holdout_stays_what_it_was(
    spoil: Callable[[Project], None], words: str, released: Project
) -> None:
    spoil(released)
    said = released.mlops("gate", "--json", expect=1)
    assert "holdout" in red(said.json)
    assert words in said.out


def test_the_holdout_may_grow(released: Project) -> None:
    more = make_rows(500, 9000).drop(columns="email")
    released.put_test_rows(pd.concat([released.test_rows, more]))
    (finding,) = released.ask("gate")["answers"][2]["findings"]
    assert finding["message"].endswith("none was trained on; 500 are new")


def test_the_policy_may_let_the_holdout_change_but_not_be_trained_on(released: Project) -> None:
    released.edit("gates.yaml", "checks:\n", "checks:\n  holdout: {may_change: true}\n")
    fewer_test_rows(released)
    assert "holdout.may_change allows it" in released.mlops("gate", "--json").out
    train_on_a_test_row(released)
    assert red(released.ask("gate", expect=1)) == {"holdout"}


# gates.yaml


def test_an_environment_inherits_and_overrides(trained: Project) -> None:
    text = read_text(trained.root / "gates.yaml")
    bounds = parse_policy(text, "production").settings["bounds"].model_dump()["metrics"]
    assert bounds["roc_auc"]["min"] == 0.72
    assert bounds["brier_score"]["max"] == 0.23
    assert parse_policy(text, "dev").digest == parse_policy(text, "production").digest


POLICY: dict[str, tuple[str, str, str]] = {
    "unknown check": ("  rows:", "  row:", "checks that do not exist: row."),
    "unknown check of an environment": ("staging: {}", "staging: {drift: {}}", "not exist: drift."),
    "unknown key": ("min_each_class", "min_per_class", "min_per_class"),
    "unknown metric": ("roc_auc: {min: 0.70}", "auc: {min: 0.70}", "unknown metrics: auc"),
    "key twice": ("  champion:", "  rows: {}\n  champion:", "the key 'rows' is given twice"),
    "wrong side": ("{max: 0.23}", "{min: 0.23}", "brier_score: lower is better"),
    "wrong side of a higher one": ("{min: 0.70}", "{max: 0.70}", "roc_auc: higher is better"),
    "min and max": ("{min: 0.70}", "{min: 0.7, max: 1.0}", "give either min or max"),
    "no bound": ("{min: 0.70}", "{}", "give either min or max"),
    "negative margin": ("brier_score: 0.0}", "brier_score: -0.1}", "margins must be zero or more"),
    "margin that is NaN": ("brier_score: 0.0}", "brier_score: .nan}", "margins must be zero"),
    "no margin": ("{roc_auc: 0.01, brier_score: 0.005}", "{}", "at least 1 item"),
    "too few resamples": ("resamples: 200", "resamples: 10", "sampling.resamples"),
    "no rows asked for": ("{min: 500,", "{min: 0,", "greater than or equal to 1"),
    "an error in another environment": ("{min: 0.72}", "{max: 0.72}", "bounds for production"),
    "no YAML": ("checks:", "checks: [", "gates.yaml is not valid YAML"),
}


@pytest.mark.parametrize(("old", "new", "words"), POLICY.values(), ids=POLICY.keys())
def test_a_policy_that_could_be_misread_is_refused(
    old: str, new: str, words: str, made_project: Project
) -> None:
    text = read_text(made_project.root / "gates.yaml")
    assert old in text
    with pytest.raises(Refused) as refusal:
        parse_policy(text.replace(old, new), "dev")
    assert words in str(refusal.value)
    assert "gates.yaml" in str(refusal.value)


def test_a_bound_that_is_not_a_number_proves_nothing(released: Project) -> None:
    released.edit("gates.yaml", "{min: 0.70}", "{min: .nan}")
    assert red(released.ask("gate", expect=1)) == {"bounds"}


def test_an_unknown_environment_is_misuse(released: Project) -> None:
    said = released.mlops("gate", "--env", "prod", expect=64)
    assert "There is no environment 'prod'. There are: dev, staging, production." in said.err
    with pytest.raises(Misuse):
        parse_policy(read_text(released.root / "gates.yaml"), "prod")


def test_a_policy_without_environments_is_refused(trained: Project) -> None:
    text = read_text(trained.root / "gates.yaml").partition("environments:")[0]
    (trained.root / "gates.yaml").write_text(text + "environments: {}\n")
    assert "at least 1 item" in trained.mlops("gate", expect=1).err


# What people and machines read


def test_the_report_is_written_for_both(released: Project) -> None:
    shown = released.mlops("gate").out
    assert "Yes: the model may enter dev" in shown
    told = (released.root / "reports/gate.md").read_text()
    assert told.startswith("# Gate of dev: yes")
    assert "| champion | roc_auc | pass | not worse than 1.0.0" in told
    assert (released.root / "reports/gate.json").exists()


def test_json_holds_no_nan(released: Project) -> None:
    one_class(released)
    metrics = released.ask("gate", expect=1)["metrics"]
    assert metrics["roc_auc"]["candidate"] == {"value": None, "low": None, "high": None}
