"""Good models are let in, and each check refuses what it is there for, alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from parcels import CONTRACT, Project, make_model, make_rows, red
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline

from gatewright.adapters.files import read_text
from gatewright.adapters.model_file import seal
from gatewright.contract.schema import parse_contract, read_contract
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.predictions import answer
from gatewright.gate.checks import CHECKS
from gatewright.gate.checks.champion import compare
from gatewright.gate.inputs import GateInputs, Loaded, Sampling
from gatewright.gate.policy import read_policy
from gatewright.gate.verdict import Verdict, judge
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.dvc_lock import parse_lock
from gatewright.registry.champion import Champion
from gatewright.release.smoke_test import golden

NAN = float("nan")
WORSE = {"weight": 1.6, "height": 0.5}  # good enough for bounds and baseline, were nothing live


def found(verdict: Any, check: str) -> Any:
    """The findings of one check."""
    return next(a["findings"] for a in verdict["answers"] if a["check"] == check)


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


def rows_outside_the_contract(project: Project) -> None:
    project.edit("contract.yaml", "unit: m, min: -9", "unit: m, min: -1")


def a_decision_that_costs(project: Project) -> None:
    text = (project.root / "contract.yaml").read_text()
    decision = """\
decision:
  description: Is it packed twice?
  unit: EUR
  actions: {false: once, true: twice}
  costs: {false: {false: 0, true: 1}, true: {false: 50, true: 0}}
"""
    (project.root / "contract.yaml").write_text(text + decision)


def ask_also(check: str, words: str) -> Callable[[Project], None]:
    return lambda project: project.edit("gates.yaml", "checks:\n", f"checks:\n  {check}: {words}\n")


def a_weak_slice(project: Project) -> None:
    project.edit("gates.yaml", "metrics: {roc_auc: 0.05}", "bounds: {roc_auc: {min: 0.95}}")


def too_good_a_model(project: Project) -> None:
    project.edit("gates.yaml", "too_good: {roc_auc: 0.99}", "too_good: {roc_auc: 0.8}")


def turned_labels(project: Project) -> None:
    train = pd.read_parquet(project.root / TRAIN)
    turned = train.index % 5 == 0
    with_rows(project, TRAIN, train.assign(broken=train["broken"] ^ turned))


RED: dict[str, Callable[[Project], None]] = {
    "files": another_good_model,
    "rows": few_rows,
    "holdout": fewer_test_rows,
    "contract": rows_outside_the_contract,
    "bounds": a_bound_out_of_reach,
    "baseline": a_baseline_as_good,
    "champion": a_worse_model,
    "cost": a_decision_that_costs,
    "slices": a_weak_slice,
    "fairness": ask_also("fairness", "{columns: [broken]}"),
    "leakage": too_good_a_model,
    "data": turned_labels,
    "behaviour": ask_also(
        "behaviour", "{expect: [{name: heavy is safe, raise: {weight: 1}, then: falls}]}"
    ),
    "operations": ask_also("operations", "{max_mb: 0.0001}"),
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
    assert not any(
        "could not be measured" in finding["message"] for finding in found(verdict, check)
    )


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


def _hours(rows: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.date_range("2026-01-01", periods=len(rows), freq="h")


def against(project: Project, champion: Any, margins: dict[str, float]) -> Verdict:
    """The verdict on the project's model when `champion` is live."""
    path = project.root / "champion.skops"
    skops.io.dump(champion, path)
    policy = read_policy(project.root, "dev")
    settings = policy.settings["champion"].model_copy(update={"metrics": margins})
    policy = replace(policy, settings=policy.settings | {"champion": settings})
    contract = read_contract(project.root)
    live = Champion("0.9.0", path, contract, golden=golden(project.root, contract))
    lock = parse_lock(read_text(project.root / "dvc.lock"))
    return judge(policy, GateInputs(project.root, contract, lock, live, policy.sampling))


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
    (finding,) = found(verdict.to_dict(), "champion")
    assert finding["message"].startswith(words)


def test_a_candidate_cannot_drop_the_groups(trained: Project) -> None:
    """An hour a row; neither side may make intervals narrower than the other one does."""
    contract, model = read_contract(trained.root), trained.root / MODEL
    rows = pd.read_parquet(trained.root / TEST).assign(sent=_hours)
    widths = {}
    for name, ours, live in (
        ("rows", None, None),
        ("days", "day", None),
        ("dropped", None, "day"),
        ("finer", "day", "month"),
        ("months", "month", None),
    ):
        mine, theirs = (contract.model_copy(update={"group": group}) for group in (ours, live))
        champion = Champion("0.9.0", model, theirs)
        lock = parse_lock(read_text(trained.root / "dvc.lock"))
        inputs = GateInputs(trained.root, mine, lock, champion, Sampling(resamples=200))
        vars(inputs)["test"] = Loaded(rows)
        groups = inputs.groups.need()
        widths[name] = len(rows) if groups is None else int(groups.max()) + 1
    assert (
        widths["rows"] > widths["days"] == widths["dropped"] > widths["months"] == widths["finer"]
    )


def test_a_margin_may_be_a_share_of_what_it_is_compared_with(released: Project) -> None:
    a_worse_model(released)
    champion = "roc_auc: 0.01, brier_score: 0.005"
    released.edit("gates.yaml", champion, "roc_auc: 10%, brier_score: 20%")
    released.edit("gates.yaml", "{roc_auc: 0.05}", "{roc_auc: 10%}")
    verdict = released.ask("gate")
    value = verdict["metrics"]["roc_auc"]["champion"]["value"]
    auc = next(f for f in found(verdict, "champion") if f["subject"] == "roc_auc")
    assert auc["bound"] == pytest.approx(-value / 10)
    released.edit("gates.yaml", "roc_auc: 10%, brier_score: 20%", "roc_auc: 1%, brier_score: 1%")
    assert red(released.ask("gate", expect=1)) == {"champion"}


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
    findings = found(released.ask("gate"), "champion")
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
    assert compare(Estimate(0.0, low, high), margin, worse=True) == (status, words)


def test_what_several_metrics_do_not_prove_together_is_not_called_worse() -> None:
    assert compare(Estimate(-0.02, -0.04, -0.001), 0.01, worse=False)[0] == "unsure"


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
    def put(target: Path) -> None:
        target.write_bytes(content)

    return lambda project: project.put(path, put)


SCORED = {"contract", "bounds", "baseline", "champion", "cost", "slices", "fairness", "leakage"}
ASKED = {*SCORED, "behaviour", "operations"}  # all that ask the candidate's model itself
READ = {*ASKED, "rows", "holdout"}  # all that read test rows
BAD: dict[str, tuple[Callable[[Project], None], set[str], str]] = {
    "predictions are NaN": (nan_predictions, ASKED, "are missing or no numbers between 0 and 1"),
    "one class only": (
        one_class,
        {"rows", "holdout", "bounds", "baseline", "champion", "leakage"},
        "0 of at least 100",
    ),
    "no rows": (no_rows, READ, "0 of at least 500"),
    "rows without a label": (no_labels, READ, "rows without a label"),
    "a feature is missing": (no_feature, READ, "lacks the columns height"),
    "no classifier": (a_regressor, ASKED, "is no model that predicts"),
    "three classes": (three_classes, ASKED, "gives shape (2000, 3)"),
    "made for other columns": (other_features, ASKED, "The candidate fails on the test rows"),
    "no model": (remove(MODEL), {"files", *ASKED}, "model/model.skops is missing"),
    "no baseline": (remove(BASELINE), {"files", *SCORED}, "model/baseline.skops is missing"),
    "no test set": (remove(TEST), {"files", *READ}, "test.parquet is missing"),
    "a test set that nobody wrote": (
        alter_test_rows,
        {"files", "holdout"},
        "is not the file that dvc.lock",
    ),
    "an unreadable test set": (write(TEST, b"PAR1?"), READ, "no readable Parquet"),
    "an empty model": (write(MODEL, b""), ASKED, "is not a whole skops file"),
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
    "no training rows": (remove(TRAIN), "train.parquet is missing"),
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
    (finding,) = found(released.ask("gate"), "holdout")
    assert finding["message"].endswith("none was trained on; 500 are new")


def test_the_policy_may_let_the_holdout_change_but_not_be_trained_on(released: Project) -> None:
    released.edit("gates.yaml", "checks:\n", "checks:\n  holdout: {may_change: true}\n")
    fewer_test_rows(released)
    assert "holdout.may_change allows it" in released.mlops("gate", "--json").out
    train_on_a_test_row(released)
    assert red(released.ask("gate", expect=1)) == {"holdout"}


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


# What a model recommends


@pytest.mark.parametrize(
    "how",
    [
        {"threshold": 0.3, "response_method": "predict_proba"},
        {"threshold": 0.3, "response_method": "predict_proba", "pos_label": False},
        {"threshold": -1.0, "response_method": "decision_function"},
        {"threshold": "auto", "response_method": "predict_proba"},
    ],
    ids=str,
)
def test_what_is_judged_is_what_the_model_recommends(how: dict[str, Any]) -> None:
    """The shortcut past `predict` may not be another way of cutting."""
    rows = make_rows(500).drop(columns="email")
    model = FixedThresholdClassifier(FrozenEstimator(make_model()), **how)
    model.fit(rows[["weight", "height"]], rows["broken"])
    said = answer(model, rows, parse_contract(CONTRACT), "candidate")
    np.testing.assert_array_equal(said.labels, model.predict(rows[["weight", "height"]]))
