"""A candidate that would judge itself: by its contract, its baseline, or a little at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from parcels import ANOTHER, CONTRACT, GATES, TRAIN, Project, make_project, red
from reviews import Review

from gatewright.contract.compatibility import judging, told, unveiled
from gatewright.contract.schema import Contract, parse_contract
from gatewright.paths import BASELINE, MODEL
from gatewright.registry.champion import best_before, best_rule_before
from gatewright.registry.records import VersionRecord

DECISION = """\
decision:
  description: Pack it twice?
  unit: euros
  actions: {true: pack twice, false: pack once}
  costs: {true: {true: 0.0, false: 1.0}, false: {true: 1.0, false: 0.0}}
"""
COSTS = "{true: {true: 0.0, false: 1.0}, false: {true: 1.0, false: 0.0}}"
CHEAPER = "{true: {true: 0.0, false: 0.01}, false: {true: 0.01, false: 0.0}}"
# The less C, the less of the height the model uses, and the worse it is.
LOSING = (
    TRAIN.replace(
        "for name, model in",
        'fit = models["model"].fit\n\n\ndef fit_and_lose'
        "(inputs, target):\n    fit(inputs, target)[-1].coef_[0, 1] *= strength\n"
        '    return models["model"]\n\n\nfor name, model in',
    )
    .replace("LogisticRegression(C=strength)", "LogisticRegression()")
    .replace(
        "skops.io.dump(model.fit(",
        'skops.io.dump((fit_and_lose if name == "model" else model.fit)(',
    )
)


@pytest.fixture(scope="session")
def made_losing(shared: Callable[..., Path]) -> Project:
    """1.0.0 was live in dev, and 1.1.0, which is a little worse, is now."""

    def make(folder: Path) -> None:
        margins = "champion:\n    metrics: {roc_auc: 0.01, brier_score: 0.005}"
        asked = "champion:\n    metrics: {roc_auc: 0.025, expected_cost: 0.02}"
        changes = {
            "contract.yaml": CONTRACT.replace("slices:", f"{DECISION}slices:"),
            "gates.yaml": GATES.replace(margins, asked),
            "src/parcels.py": LOSING,
        }
        project = make_project(folder, changes)
        project.mlops("register")
        project.mlops("promote", "1.0.0", "--to", "dev")
        project.edit("gates.yaml", "expected_cost: 0.02", "expected_cost: 0.5")
        project.retrain(0.5)
        project.mlops("register")
        project.mlops("promote", "1.1.0", "--to", "dev")
        project.edit("gates.yaml", "expected_cost: 0.5", "expected_cost: 0.02")
        project.commit("Ask for more")
        project.git("push", "--quiet")

    return Project(shared("parcels-losing", make) / "parcels")


@pytest.fixture
def review(made_losing: Project, tmp_path: Path) -> Review:
    return Review(made_losing.copy(tmp_path))


def judged(review: Review, expect: int = 1) -> Any:
    review.candidate.mlops("push")
    review.prove()
    return review.judge(expect)


def findings(verdict: Any, check: str) -> dict[str, Any]:
    (answer,) = (a for a in verdict["answers"] if a["check"] == check)
    return {finding["subject"]: finding for finding in answer["findings"]}


# A little worse each time


def test_small_losses_do_not_pile_up(review: Review) -> None:
    """Each is within the margin of the version before it; both together are not."""
    review.candidate.edit("gates.yaml", "expected_cost: 0.02", "expected_cost: 0.5")
    review.base.edit("gates.yaml", "expected_cost: 0.02", "expected_cost: 0.5")
    review.base.commit("Costs do not matter")
    review.base.git("push", "--quiet")
    review.retrain(0.3)
    verdict = judged(review)
    found = findings(verdict, "champion")
    assert found["roc_auc"]["status"] == "pass"
    assert found["roc_auc"]["message"].startswith("not worse than 1.1.0")
    assert found["best roc_auc"]["status"] == "refuse"
    assert found["best roc_auc"]["message"].startswith("worse than 1.0.0")
    assert red(verdict) == {"champion"}


def test_what_is_as_good_as_the_best_that_was_live_passes(review: Review) -> None:
    review.retrain(0.9)
    verdict = judged(review, expect=0)
    assert findings(verdict, "champion")["best roc_auc"]["status"] == "pass"
    assert "best" in verdict["metrics"]["roc_auc"]


def test_a_retired_version_is_no_measure_any_more(review: Review) -> None:
    review.base.mlops("retire", "1.0.0", "--reason", "it knew the answer")
    review.retrain(0.9)
    assert "best roc_auc" not in findings(judged(review, expect=0), "champion")


def record(version: str, champion: str | None, gain: float) -> VersionRecord:
    metrics = {
        "roc_auc": {"gain over champion": {"value": gain, "low": gain - 1, "high": gain + 1}}
    }
    empty: Any = dict.fromkeys(VersionRecord.__dataclass_fields__)
    known = empty | {"version": version, "verdict": {"champion": champion}}
    return VersionRecord(**known | {"metrics": metrics if champion else {}})


def test_the_best_is_found_by_the_gains_that_led_to_it() -> None:
    steps = [
        ("1", None, 0.0),
        ("2", "1", 0.5),
        ("3", "2", -0.2),
        ("4", "3", -0.2),
        ("5", "4", 0.05),
    ]
    records = {v: record(v, c, g) for v, c, g in steps}
    earlier = ["1", "2", "3", "4"]
    assert best_before(records, "5", earlier, ["roc_auc"]) == "2"
    assert best_before(records, "2", ["1"], ["roc_auc"]) is None
    assert best_before(records, "5", ["1", "4"], ["roc_auc"]) is None
    assert best_before(records, "5", earlier, ["no such metric"]) is None
    looped = records | {"1": replace(records["2"], version="1", verdict={"champion": "2"})}
    assert best_before(looped, "5", earlier, ["roc_auc"]) in earlier


def test_the_best_rule_is_found_by_what_its_version_gained_on_it() -> None:
    """That of 2 lies 0.4 ahead of that of 3, which gains more on its own."""
    records = {v: record(v, c, g) for v, c, g in [("1", None, 0), ("2", "1", 0.1), ("3", "2", 0)]}
    for version, gain in (("1", 0.3), ("2", 0.1), ("3", 0.5)):
        row = dict(records[version].metrics.get("roc_auc") or {})
        metrics = {"roc_auc": row | {"gain over baseline": {"value": gain}}}
        records[version] = replace(records[version], metrics=metrics)
    assert best_rule_before(records, "3", ["1", "2"], ["roc_auc"]) == "2"
    assert best_rule_before(records, "2", ["1"], ["roc_auc"]) is None


# Its own baseline

ASK_MORE = "baseline:\n    metrics: {roc_auc: 0.02", "baseline:\n    metrics: {roc_auc: 0.1"


def make(review: Review, weight: float, height: float, path: str = MODEL, bias: float = 0) -> None:
    """The candidate's code gives a model of these coefficients."""
    script = review.candidate.root / "src/parcels.py"
    another = ANOTHER.format(weight=weight, height=height).replace(MODEL, path)
    script.write_text(script.read_text() + another.replace("[:] = 0", f"[:] = {bias}"))


def swap(review: Review, weight: float, height: float) -> None:
    """The candidate is little better than the rule of the base branch, and brings another."""
    make(review, 1.6, 0.0)
    make(review, weight, height, BASELINE)
    review.run()


def test_a_weakened_baseline_makes_no_model_better(review: Review) -> None:
    swap(review, -1.0, -1.0)
    review.base.edit(
        "gates.yaml",
        "baseline:\n    metrics: {roc_auc: 0.02",
        "baseline:\n    metrics: {roc_auc: 0.1",
    )
    review.base.commit("Ask for more")
    review.base.git("push", "--quiet")
    finding = findings(judged(review), "baseline")["roc_auc"]
    assert finding["status"] == "refuse"
    assert finding["message"].endswith("on the live version's rule, which is the better one")


def test_a_better_baseline_is_the_one_to_beat(review: Review) -> None:
    swap(review, 1.6, 1.2)
    finding = findings(judged(review), "baseline")["roc_auc"]
    assert finding["status"] == "refuse"
    assert "live version's" not in finding["message"]


def test_a_baseline_that_one_version_weakened_is_asked_of_the_next(released: Project) -> None:
    """The first is as good as before and brings a weak rule; the second is held to nothing else."""
    code = (released.root / "src/parcels.py").read_text()
    weak = ANOTHER.format(weight=-1.0, height=-1.0).replace(MODEL, BASELINE)
    (released.root / "src/parcels.py").write_text(code + weak)
    released.retrain(0.5)
    released.mlops("register")
    released.mlops("promote", "1.1.0", "--to", "dev")
    released.edit("gates.yaml", *ASK_MORE)
    released.commit("Ask for more")
    released.git("push", "--quiet")
    review = Review(released)
    make(review, 1.6, 0.0)
    review.run()
    finding = findings(judged(review), "baseline")["roc_auc"]
    assert finding["status"] == "refuse"
    assert "on the rule of a version that was live before" in finding["message"]


# Its own contract


def test_slices_that_the_contract_forgets_are_judged_all_the_same(review: Review) -> None:
    review.candidate.edit("contract.yaml", "slices: [shop]", "slices: []")
    review.retrain(0.9)
    verdict = judged(review, expect=0)
    assert findings(verdict, "slices")[""]["message"].startswith("2 slices, 2 comparisons")
    note = "It changes the contract of 1.1.0: slices shop are gone, and judged all the same"
    assert f"{note}; once this is live, nobody judges them" in verdict["notes"]


def test_costs_that_the_candidate_divides_are_the_live_ones(review: Review) -> None:
    review.candidate.edit("contract.yaml", COSTS, CHEAPER)
    make(review, 1.6, 0.6, bias=-2)
    review.run()
    verdict = judged(review)
    finding = findings(verdict, "champion")["expected_cost"]
    assert (finding["status"], finding["message"][:16]) == ("refuse", "worse than 1.1.0")
    assert "the decision or its costs are others; judged by the old ones" in str(verdict["notes"])


def test_what_is_personal_stays_so_unless_somebody_answers_for_it(review: Review) -> None:
    review.candidate.edit("contract.yaml", "personal: true", "feature: false")
    review.candidate.edit("src/parcels.py", '.drop(columns="email")', "")
    review.retrain(0.9)
    verdict = judged(review)
    assert red(verdict) == {"contract"}
    assert findings(verdict, "contract")["personal email"]["status"] == "refuse"
    assert "email would be personal no longer" in str(verdict["notes"])
    excuse = "exceptions:\n- {id: X-1, check: contract, subject: personal email, reason: it is a "
    excuse += "made up address, owner: ada, expires: 2999-01-01}\n"
    gates = review.base.root / "gates.yaml"
    gates.write_text(excuse + gates.read_text())
    assert review.judge(expect=0)["decision"] == "yes"


def test_a_wider_key_makes_no_test_row_another_one(review: Review) -> None:
    """Test rows are trained on under the other shop's name."""
    review.candidate.edit("contract.yaml", "key: [number]", "key: [number, shop]")
    other = "test.assign(shop=test['shop'].map({'north': 'south', 'south': 'north'}))"
    copied = f"train = pd.concat([train, {other}])\nstrength ="
    review.candidate.edit("src/parcels.py", "strength =", copied)
    review.retrain(0.9)
    verdict = judged(review)
    assert "holdout" in red(verdict)
    seen = findings(verdict, "holdout")["training rows"]["message"]
    assert seen == "2,000 test rows were trained on"
    assert "the key number becomes number, shop; judged by the old one" in str(verdict["notes"])


BASE = parse_contract(CONTRACT.replace("slices:", f"{DECISION}slices:"))


def changed(**fields: Any) -> Contract:
    return BASE.model_copy(update=fields)


def test_what_a_candidate_leaves_out_judges_it_all_the_same() -> None:
    """A column that is not described any more is the key, a slice and personal as before."""
    gone = ("shop", "number", "email")
    some = {name: column for name, column in BASE.columns.items() if name not in gone}
    narrow = changed(columns=some, key=("sent",), slices=("sent",), decision=None)
    terms = judging(BASE, narrow)
    assert (terms.slices, terms.key) == (("shop", "sent"), ("number",))
    assert terms.decision == BASE.decision
    assert terms.features == narrow.features
    assert terms.columns["email"].personal
    seen = judging(BASE, narrow, {"phone": BASE.columns["email"]})
    assert seen.columns["phone"].personal
    assert judging(BASE, BASE) == BASE
    assert judging(changed(decision=None), BASE).decision == BASE.decision


def test_what_a_candidate_cannot_have_room_for_is_its_own() -> None:
    numbers = changed(target=BASE.target.model_copy(update={"type": "regression"}), decision=None)
    assert judging(BASE, numbers).decision is None


def test_a_time_that_is_forgotten_orders_the_rows_all_the_same() -> None:
    """Without it nobody asks whether training rows are later than test rows, or come late."""
    assert judging(BASE, changed(time=None)).time == "sent"
    without = {name: column for name, column in BASE.columns.items() if name != "sent"}
    assert judging(BASE, changed(time=None, columns=without)).time == "sent"


# Columns that it forgets

CHECK = """\
  check:
    cmd: mlops check
    deps: [contract.yaml, data/raw]
    outs:
      - reports/data.json: {cache: false}
"""


def forget(review: Review, column: str, dropped: str = "email") -> None:
    """The contract does not describe a column of data/raw, and no stage asks for it any more."""
    project = review.candidate
    (line,) = (line for line in CONTRACT.splitlines() if line.startswith(f"  {column}: "))
    project.edit("contract.yaml", f"{line}\n", "")
    project.edit("dvc.yaml", CHECK, "")
    project.edit("dvc.yaml", "reports/data.json, ", "")
    project.edit("src/parcels.py", 'drop(columns="email")', f"drop(columns={dropped.split()})")
    project.git("rm", "--quiet", "dvc.lock")


def rewrite_raw(review: Review, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    for path in sorted(review.raw().glob("*.parquet")):
        change(pd.read_parquet(path)).to_parquet(path)


def describe_no_more(review: Review, column: str) -> None:
    """Neither the contract nor data/raw has a column."""
    (line,) = (line for line in CONTRACT.splitlines() if line.startswith(f"  {column}: "))
    review.candidate.edit("contract.yaml", f"{line}\n", "")
    rewrite_raw(review, lambda rows: rows.drop(columns=column))


def test_a_slice_of_a_column_that_is_forgotten_is_judged_all_the_same(review: Review) -> None:
    review.candidate.edit("contract.yaml", "slices: [shop]\n", "")
    describe_no_more(review, "shop")
    review.retrain(0.9)
    verdict = judged(review, expect=0)
    assert findings(verdict, "slices")[""]["message"].startswith("2 slices, 2 comparisons")


def test_a_time_that_no_table_has_any_more_is_missed(review: Review) -> None:
    review.base.edit("gates.yaml", "time_order: allow", "time_order: refuse")
    review.base.commit("Later rows train nobody")
    review.candidate.edit("contract.yaml", "time: sent\n", "")
    forget(review, "sent", "email sent")
    review.retrain(0.9)
    found = findings(judged(review), "leakage")["sent"]
    assert found["status"] == "refuse"
    assert found["message"].startswith("training or test rows lack it")


def test_raw_data_that_no_stage_checks_any_more_is_refused(review: Review) -> None:
    forget(review, "email")
    review.retrain(0.9)
    message = findings(judged(review), "lock")[""]["message"]
    assert message.startswith("`mlops check` is run by no stage with all of its deps any more")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cmd: mlops check", 'cmd: "mlops check; mlops card --help"'),
        ("deps: [contract.yaml, data/raw]", "deps: [contract.yaml]"),
    ],
    ids=["whatever it says", "of other files"],
)
def test_a_check_that_cannot_fail_is_none(old: str, new: str, review: Review) -> None:
    review.candidate.edit("dvc.yaml", old, new)
    review.candidate.git("rm", "--quiet", "dvc.lock")
    review.retrain(0.9)
    message = findings(judged(review), "lock")[""]["message"]
    assert message.startswith("`mlops check` is run by no stage with all of its deps any more")


def test_a_key_that_is_forgotten_makes_no_test_row_another_one(review: Review) -> None:
    """Test rows are trained on, and the new key is a column that is another one in each."""
    review.candidate.edit("contract.yaml", "key: [number]", "key: [height]")
    copied = "test.assign(height=test['height'] + 1e-3)"
    forget(review, "number")
    review.candidate.edit(
        "src/parcels.py", "strength =", f"train = pd.concat([train, {copied}])\nstrength ="
    )
    review.retrain(0.9)
    seen = findings(judged(review), "holdout")["training rows"]["message"]
    assert seen == "2,000 test rows were trained on"


def test_a_personal_column_that_is_forgotten_is_stored_with_no_version(review: Review) -> None:
    forget(review, "email", "")
    review.retrain(0.9)
    verdict = judged(review)
    message = findings(verdict, "rows")[""]["message"]
    assert "has the columns email, which the contract calls personal" in message
    assert "email would not be described, and stays personal" in str(verdict["notes"])


def test_what_was_personal_once_stays_so_over_a_version_that_did_not_describe_it(
    released: Project,
) -> None:
    """Two pull requests: the first forgets the column, the second brings it back for everybody."""
    review = Review(released)
    describe_no_more(review, "email")
    review.candidate.edit("src/parcels.py", '.drop(columns="email")', "")
    review.retrain(0.9)
    judged(review, expect=0)
    released.git("pull", "--quiet", str(review.candidate.root), "change")
    released.git("push", "--quiet")
    shutil.rmtree(released.root / "data/raw")
    released.mlops("setup")
    released.mlops("register")
    released.mlops("promote", "2.0.0", "--to", "dev")
    shutil.rmtree(review.candidate.root)
    again = Review(released)
    words = "  email: {type: string, description: Who gets it, feature: false}\n"
    contract = again.candidate.root / "contract.yaml"
    contract.write_text(contract.read_text() + words)
    rewrite_raw(again, lambda rows: rows.assign(email="ada@example.com"))
    again.retrain(0.8)
    found = findings(judged(again), "contract")
    assert found["personal email"]["status"] == "refuse"


TOLD: dict[str, tuple[dict[str, Any], str]] = {
    "more slices": ({"slices": ("shop", "number")}, "slices number come"),
    "time": ({"time": None}, "the time of a row is None, not sent; judged by the old one"),
    "groups": ({"group": "day"}, "rows are grouped by day, not None"),
    "target": ({"target": BASE.target.model_copy(update={"name": "x"})}, "the target or the pred"),
    "nothing": ({}, ""),
    "words": ({"description": "other words"}, ""),
}


@pytest.mark.parametrize(("fields", "words"), TOLD.values(), ids=TOLD.keys())
def test_what_changes_in_how_a_model_is_judged_is_told(fields: dict[str, Any], words: str) -> None:
    said = list(told(BASE, changed(**fields)))
    assert said == [] if not words else said[0].startswith(words)


def test_a_column_that_may_be_known_earlier_is_told() -> None:
    def with_column(**about: Any) -> Contract:
        weight = BASE.columns["weight"].model_copy(update=about)
        return changed(columns={**BASE.columns, "weight": weight})

    later = with_column(afterwards=True, feature=False)
    assert list(told(later, BASE)) == ["weight would be known before the answer is"]
    dropped = with_column(on_arrival="drop", personal=True)
    assert "weight on arrival: drop -> keep" in list(told(dropped, BASE))
    assert unveiled(dropped, BASE) == ["weight"]
    assert unveiled(BASE, dropped) == []
