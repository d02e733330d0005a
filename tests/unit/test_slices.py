"""Slices, groups of people and costs: what is proven bad is found, what is chance is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, make_rows

from gatewright.contract.schema import parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import measure
from gatewright.evaluation.groups import groups_of
from gatewright.evaluation.intervals import mean_error
from gatewright.evaluation.metrics import chosen
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.slices import find_weak
from gatewright.gate.checks.base import Finding
from gatewright.gate.checks.cost import CostCheck
from gatewright.gate.checks.fairness import FairnessCheck
from gatewright.gate.checks.slices import SlicesCheck
from gatewright.gate.inputs import Sampling

CONTRACT_HERE = parse_contract(
    CONTRACT
    + """\
decision:
  description: Is it packed twice?
  unit: EUR
  actions: {false: once, true: twice}
  costs: {false: {false: 0, true: 1}, true: {false: 5, true: 2}}
"""
)


def answers(logits: Any, threshold: float = 0.5) -> Answers:
    scores = 1 / (1 + np.exp(-np.asarray(logits, dtype=float)))
    return Answers(scores, (scores >= threshold).astype(int))


class World:
    """Rows, and a candidate and a champion that answer for them."""

    def __init__(self, n: int = 6000, seed: int = 0, shops: int = 2) -> None:
        self.rows = make_rows(n, seed=seed).drop(columns="email")
        self.draw = np.random.default_rng(seed)
        names = np.array([f"shop {number:02d}" for number in range(shops)])
        self.rows["shop"] = names[self.draw.integers(shops, size=n)]
        self.truth = self.rows["broken"].to_numpy(dtype=bool)
        weight = self.rows["weight"].fillna(0).to_numpy()
        self.logits = 1.6 * weight + 1.2 * self.rows["height"].to_numpy()
        self.answers = {"candidate": self.noisy(0.3), "champion": self.noisy(0.3)}
        self.train = self.rows
        self.contract = CONTRACT_HERE

    def noisy(self, scale: float) -> Answers:
        return answers(self.logits + self.draw.normal(scale=scale, size=len(self.rows)))

    def spoil(self, where: Any) -> None:
        """Let the candidate guess in a part of the rows."""
        logits = np.where(where, self.draw.normal(size=len(self.rows)), self.logits)
        self.answers["candidate"] = answers(logits)

    questions = 1

    def ask(self, check: Any, **settings: Any) -> list[Finding]:
        metrics = chosen(self.contract, ("roc_auc",), {})
        groups = groups_of(self.rows, self.contract)
        known = {
            "settings": check.Settings(**settings),
            "contract": self.contract,
            "rows": self.rows,
            "train": self.train,
            "truth": self.truth,
            "answers": self.answers,
            "metrics": metrics,
            "groups": groups,
            "sampling": Sampling(),
            "questions": self.questions,
        }
        if check is SlicesCheck:
            known["measured"] = measure(self.truth, self.answers, metrics, resamples=200)
        names = check.check.__code__.co_varnames[: check.check.__code__.co_argcount]
        return list(check.check(**{name: known[name] for name in names}))


def statuses(findings: list[Finding]) -> dict[str, str]:
    return {f.subject: f.status for f in findings if f.subject != "weak part"}


def test_honest_slices_pass() -> None:
    findings = World().ask(SlicesCheck, metrics={"roc_auc": 0.01}, behind={"roc_auc": 0.1})
    assert statuses(findings) == {"": "pass"}
    assert "2 slices, 4 comparisons: none is proven worse" in findings[-1].message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": {"roc_auc": 0.01}}, "on the champion, margin 0.01"),
        ({"bounds": {"roc_auc": {"min": 0.7}}}, "to be at least 0.7"),
        ({"bounds": {"brier_score": {"max": 0.2}}}, "to be at most 0.2"),
        ({"behind": {"roc_auc": 0.1}}, "at most 0.1 behind"),
        ({"behind": {"brier_score": 0.05}}, "at most 0.05 behind"),
    ],
    ids=["change", "value", "value of a loss", "across slices", "a loss across slices"],
)
def test_a_slice_that_is_worse_is_refused_by_name(settings: Any, words: str) -> None:
    world = World(shops=4)
    world.spoil(world.rows["shop"] == "shop 02")
    findings = world.ask(SlicesCheck, **settings)
    assert statuses(findings) == {"shop shop 02": "refuse"}
    (finding,) = [f for f in findings if f.status == "refuse"]
    assert words in finding.message
    assert finding.estimate is not None


def test_a_small_slice_is_named_and_not_judged() -> None:
    world = World()
    world.rows.loc[:99, "shop"] = "tiny"
    world.spoil(world.rows["shop"] == "tiny")
    (*_, last) = world.ask(SlicesCheck, metrics={"roc_auc": 0.0}, missing="report")
    assert last.status == "pass"
    assert "too few rows to judge: tiny (100)" in last.message


def test_a_slice_that_no_test_row_has_is_refused() -> None:
    world = World()
    world.train = world.rows.assign(shop=np.where(world.rows.index < 600, "gone", "shop 01"))
    assert statuses(world.ask(SlicesCheck))["shop"] == "refuse"
    assert statuses(world.ask(SlicesCheck, missing="report"))["shop"] == "pass"
    world.train = world.rows.assign(shop=np.where(world.rows.index < 400, "gone", "shop 01"))
    assert "shop" not in statuses(world.ask(SlicesCheck))


def test_a_slice_on_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="asks for the columns store, which the test set lacks"):
        World().ask(SlicesCheck, columns=("store",))


def test_a_metric_of_another_target_is_refused_in_slices() -> None:
    with pytest.raises(Refused, match="r2 is no metric of this target"):
        World().ask(SlicesCheck, metrics={"r2": 0.1})


def test_found_weak_parts_are_told_and_judged_only_if_asked_for() -> None:
    world = World(8000)
    world.spoil(world.rows["height"].to_numpy() > 0.8)
    findings = world.ask(SlicesCheck, metrics={"roc_auc": 0.02})
    weak = [f for f in findings if f.subject == "weak part"]
    assert "height > 0.7" in weak[0].message or "height > 0.8" in weak[0].message
    world.rows["shop"] = "one"
    world.train = world.rows
    judged = world.ask(SlicesCheck, columns=(), metrics={"roc_auc": 0.02}, found="judge")
    assert any(f.status == "refuse" and "height >" in f.subject for f in judged)


def test_weak_parts_are_measured_on_rows_that_did_not_find_them() -> None:
    """On noise a tree finds something; measured on other rows, it is mostly nothing."""
    world = World(4000)
    found = 0
    for seed in range(40):
        loss = np.random.default_rng(seed).exponential(size=4000)
        found += len(find_weak(world.rows, loss, world.contract, 300, seed=seed))
    assert found <= 12


def test_few_rows_have_no_weak_parts() -> None:
    world = World(300)
    assert find_weak(world.rows, np.ones(300), world.contract, 100) == []


def test_what_is_bad_on_few_days_is_no_weak_part() -> None:
    """Storms over high parcels: by rows that looks like all of them, by days it is three days."""
    world, found = World(4000), [0, 0]
    days = np.arange(4000) // 100
    high = (world.rows["height"] > 0).to_numpy()
    for seed in range(10):
        draw = np.random.default_rng(seed)
        loss = draw.random(4000) + 2 * (high & np.isin(days, draw.choice(40, 3, replace=False)))
        for at, groups in enumerate((None, days)):
            weak = find_weak(world.rows, loss, world.contract, 300, groups, seed=seed)
            found[at] += any("height" in part.where for part in weak)
    assert found[0] >= 8
    assert found[1] <= 4


def test_groups_are_compared_only_if_named() -> None:
    (finding,) = World().ask(FairnessCheck)
    assert (finding.status, finding.subject) == ("pass", "")
    assert "no groups are named" in finding.message


def test_equal_treatment_passes() -> None:
    findings = World(20_000).ask(FairnessCheck, columns=("shop",))
    assert {f.status for f in findings} == {"pass"}
    assert len(findings) == 6


@pytest.mark.parametrize("rate", ["selection_rate", "true_positive_rate", "false_positive_rate"])
def test_other_answers_for_a_group_are_refused(rate: str) -> None:
    world = World(20_000)
    other = np.where(world.rows["shop"] == "shop 00", 2.5, 0.0)
    world.answers["candidate"] = answers(world.logits + other)
    findings = world.ask(FairnessCheck, columns=("shop",), max_gap={rate: 0.1})
    assert {f.status for f in findings} == {"refuse"}
    assert f"{rate} differs by" in findings[0].message


def test_more_errors_for_a_group_are_refused() -> None:
    world = World(20_000)
    world.spoil(world.rows["shop"] == "shop 00")
    findings = world.ask(FairnessCheck, columns=("shop",), max_gap={"error_rate": 0.05})
    assert {f.status for f in findings} == {"refuse"}


def test_a_gap_that_the_rows_cannot_settle_is_doubt() -> None:
    world = World(900)
    (first, _) = world.ask(FairnessCheck, columns=("shop",), max_gap={"selection_rate": 0.02})
    assert first.status == "unsure"


def test_a_small_group_is_told_and_not_judged() -> None:
    world = World(5000)
    world.rows.loc[:50, "shop"] = "tiny"
    findings = world.ask(FairnessCheck, columns=("shop",), max_gap={"selection_rate": 0.2})
    assert "51 rows are too few to compare" in [f.message for f in findings][-1]


def test_a_column_of_groups_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="asks for the columns colour"):
        World().ask(FairnessCheck, columns=("colour",))


def test_recommendations_that_save_pass() -> None:
    (finding, *_) = World().ask(CostCheck)
    assert finding.status == "pass"
    assert "EUR a row against" in finding.message


def test_recommendations_that_cost_more_than_none_are_refused() -> None:
    world = World()
    world.answers["candidate"] = answers(-world.logits)
    (finding, *_) = world.ask(CostCheck)
    assert finding.status == "refuse"


def test_recommendations_that_save_too_little_to_tell_are_doubt() -> None:
    world = World(1000)
    always = answers(np.full(1000, 9.0)).labels
    for broken, count in ((True, 1), (False, 3)):  # one costs 3 more, three cost 1 less each
        always[np.flatnonzero(world.truth == broken)[:count]] = 0
    world.answers["candidate"] = Answers(world.answers["candidate"].scores, always)
    (finding, *_) = world.ask(CostCheck)
    assert finding.status == "unsure"


@pytest.mark.parametrize("check", [CostCheck, FairnessCheck])
def test_who_asked_often_is_judged_by_wider_intervals(check: Any) -> None:
    """As the metrics are: of many models one saves enough, or is fair enough, by luck."""
    settings = {} if check is CostCheck else {"columns": ("shop",), "max_gap": {"error_rate": 0.1}}
    world = World()
    (once, *_) = world.ask(check, **settings)
    world.questions = 200
    (often, *_) = world.ask(check, **settings)
    assert once.estimate
    assert often.estimate
    grown = (often.estimate.high - often.estimate.low) / (once.estimate.high - once.estimate.low)
    assert grown == pytest.approx(1.78 if check is CostCheck else 1.65, abs=0.03)
    assert once.status == "pass"
    edge = (once.estimate.low + often.estimate.low) / 2 if check is CostCheck else None
    if edge is not None:
        assert world.ask(check, margin=edge)[0].status == "unsure"


def test_without_a_decision_there_is_nothing_to_cost() -> None:
    world = World()
    world.contract = parse_contract(CONTRACT)
    (finding,) = world.ask(CostCheck)
    assert "names no decision" in finding.message


def test_rows_of_one_group_are_not_taken_for_independent() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=100), 10)
    groups = np.repeat(np.arange(100), 10)
    assert mean_error(values, groups) > 2.5 * mean_error(values)


def test_groups_make_no_interval_narrower() -> None:
    """One that has nearly all rows, of many, would let whatever it costs look certain."""
    values = np.random.default_rng(0).normal(size=1000)
    lopsided = np.append(np.zeros(940, dtype=int), np.arange(1, 61))
    for groups in (np.zeros(1000, dtype=int), lopsided):
        assert mean_error(values, groups) >= mean_error(values)


def test_a_slice_that_is_one_group_is_refused_only_if_that_is_proven() -> None:
    """As of shops, where rows are grouped by the shop: one group alone has no spread."""
    alarms = 0
    for seed in range(20):
        world = World(2000, seed)
        world.contract = parse_contract(CONTRACT.replace("time: sent", "time: sent\ngroup: shop"))
        found = world.ask(SlicesCheck, metrics={"log_loss": 0.0, "roc_auc": 0.0}, min_rows=300)
        alarms += "refuse" in statuses(found).values()
    assert alarms <= 4  # 5%; five of twenty come once in 390 times


@pytest.mark.parametrize(("group", "count"), [("day", 60), ("week", 9), ("month", 3), ("shop", 2)])
def test_rows_of_one_day_week_or_month_are_a_group(group: str, count: int) -> None:
    rows = make_rows(1440).assign(sent=pd.date_range("2026-01-01", periods=1440, freq="h"))
    contract = parse_contract(CONTRACT.replace("time: sent", f"time: sent\ngroup: {group}"))
    codes = groups_of(rows, contract)
    assert codes is not None
    by = rows["shop"] if group == "shop" else rows["sent"].dt.to_period(group[0].upper())
    pairs = pd.DataFrame({"code": codes, "value": by.astype(str)}).drop_duplicates()
    assert len(pairs) == pairs["code"].nunique() == pairs["value"].nunique() == count


def test_a_day_is_that_of_the_columns_own_clock() -> None:
    contract = parse_contract(CONTRACT.replace("time: sent", "time: sent\ngroup: day"))
    times = pd.to_datetime(["2026-01-01 00:30", "2026-01-01 23:30", "2026-01-02 00:30"])
    rows = pd.DataFrame({"sent": times.tz_localize("Asia/Tokyo")})
    assert np.asarray(groups_of(rows, contract)).tolist() == [0, 0, 1]
    assert np.asarray(groups_of(rows.assign(sent=times), contract)).tolist() == [0, 0, 1]


def test_a_period_without_a_time_column_is_refused() -> None:
    text = CONTRACT.replace("time: sent", "group: day")
    with pytest.raises(Refused, match=r"group: .*columns that it does not describe: day"):
        parse_contract(text)


def test_a_group_column_makes_slices_wider() -> None:
    world = World(4000)
    text = CONTRACT.replace("time: sent", "time: sent\ngroup: height")
    world.contract = parse_contract(text)
    world.rows["height"] = world.rows["height"].round(1)
    assert statuses(world.ask(SlicesCheck, metrics={"roc_auc": 0.05})) == {"": "pass"}
    assert isinstance(pd.Series(groups_of(world.rows, world.contract)).nunique(), int)
