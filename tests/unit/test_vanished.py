"""Rows that vanish by label and slice, and what a slice costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from parcels import CONTRACT, make_rows

from gatewright.contract.schema import Contract, parse_contract
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.training_diff import compare_training
from gatewright.gate.checks.base import Finding
from gatewright.gate.checks.cost import CostCheck
from gatewright.gate.checks.data import DataCheck
from gatewright.gate.inputs import Sampling

SHOPS = "values: [north, south]"
PARCELS = parse_contract(CONTRACT.replace(SHOPS, "values: [north, south, west, east]"))
NUMBER = parse_contract(
    CONTRACT.replace(SHOPS, "values: [north, south, west, east]")
    .replace("description: The parcel arrives broken.}", "description: Damage., type: regression}")
    .replace("that it arrives broken.}", "that it arrives broken., min: -99, max: 99}")
)


def parcels(seed: int = 0, n: int = 6000) -> pd.DataFrame:
    draw = np.random.default_rng([seed, 9])
    shops = draw.choice(["north", "south", "west", "east"], n, p=[0.4, 0.4, 0.17, 0.03])
    return make_rows(n, 0, seed).assign(shop=shops)


def refused(
    before: pd.DataFrame, now: pd.DataFrame, contract: Contract = PARCELS, **settings: float
) -> set[str]:
    """The subjects by part that are refused, however many rows may be gone in all."""
    settings = {"max_gone": 1.0} | settings
    found = DataCheck.check(DataCheck.Settings(**settings), compare_training(before, now, contract))
    parts = [one for one in found if one.subject.startswith("rows gone, ")]
    return {one.subject for one in parts if one.status != "pass"}


@pytest.mark.parametrize("shop", ["west", "east"])
def test_one_label_of_a_slice_is_found(shop: str) -> None:
    before = parcels()
    now = before[~((before["shop"] == shop) & before["broken"])]
    assert f"rows gone, shop {shop}, label True" in refused(before, now)
    assert refused(before, now, max_vanished=1.0) == set()


def test_a_part_of_them_is_found_and_told() -> None:
    before = parcels()
    now = before[~((before["shop"] == "west") & before["broken"] & (before["number"] % 5 == 0))]
    change = compare_training(before, now, PARCELS)
    (first, *_) = change.vanished
    assert first.name == "shop west, label True"
    assert first.proven
    assert 0.05 < first.excess < first.gone / first.rows < 0.3


def test_the_low_half_of_a_number_is_found() -> None:
    before = parcels()
    before = before.assign(broken=before["weight"].fillna(0) + before["height"])
    now = before[~((before["shop"] == "west") & (before["broken"] < 0))]
    assert "rows gone, shop west, label below the median" in refused(before, now, NUMBER)


def test_rows_that_age_out_are_not_picked() -> None:
    """Even where old rows had more of one label, and where a shop's window is another."""
    before = parcels()
    before["broken"] |= before["number"] < 1500
    assert refused(before, before[before["number"] >= 2000]) == set()
    kept = (before["number"] >= 1500) & ((before["shop"] != "west") | (before["number"] >= 3000))
    assert refused(before, before[kept]) == set()


def test_a_shop_that_closed_is_not_picked() -> None:
    """It had more broken parcels than the rest, in each of the other columns' values."""
    before = parcels()
    before.loc[before["shop"] == "west", "broken"] |= before["number"] % 3 > 0
    colour = {"colour": PARCELS.columns["shop"]}
    contract = PARCELS.model_copy(update={"columns": PARCELS.columns | colour})
    before = before.assign(colour=np.where(before["number"] % 2 == 0, "red", "blue"))
    assert refused(before, before[before["shop"] != "west"], contract) == set()


def test_what_another_column_explains_is_not_picked() -> None:
    """Half of a shop's rows go, whatever their label; most are red, and more are broken."""
    columns = PARCELS.columns | {"colour": PARCELS.columns["shop"]}
    contract = PARCELS.model_copy(update={"columns": columns})
    before = parcels(n=12000)
    west = before["shop"] == "west"
    before.loc[west, "broken"] |= before["number"] % 3 > 0
    red = np.random.default_rng(1).random(len(before)) < np.where(west, 0.9, 0.2)
    before["colour"] = np.where(red, "red", "blue")
    kept = ~west | (np.random.default_rng(2).random(len(before)) < 0.5)
    assert refused(before, before[kept], contract) == set()
    picked = ~(west & before["broken"]) | kept
    assert "rows gone, shop west, label True" in refused(before, before[picked], contract)


def test_honest_losses_are_refused_at_most_at_the_nominal_rate() -> None:
    alarms = 0
    for seed in range(100):
        before = parcels(seed)
        share = np.random.default_rng(seed).uniform(0.01, 0.9)
        alarms += bool(refused(before, before.sample(frac=1 - share, random_state=seed)))
    assert alarms <= 4  # 1%, of which five of a hundred come once in 3,000 times


def late(before: pd.DataFrame, now: pd.DataFrame) -> list[Finding]:
    change = compare_training(before, now, PARCELS)
    found = DataCheck.check(DataCheck.Settings(), change)
    return [one for one in found if one.subject.startswith("late rows")]


@pytest.mark.parametrize("stray", [0, 3])
@pytest.mark.parametrize("since", [4000, 4800])
def test_a_shop_whose_newest_rows_have_not_come_is_told(since: int, stray: int) -> None:
    """From the first of the new rows on, or later; a few that come all the same hide nothing."""
    rows = parcels()
    gone = (rows["shop"] == "west") & (rows["number"] >= since)
    gone &= rows["number"] < rows["number"][gone].iloc[-1 - stray]
    (finding,) = late(rows[:4000], rows[~gone])
    assert (finding.status, finding.subject) == ("warn", "late rows, shop west")
    day = str(rows["sent"][since].date())
    assert finding.message.startswith(f"hardly any rows since {day}: ")


def test_a_shop_that_closed_long_ago_is_late_no_more() -> None:
    rows = parcels()
    gone = (rows["shop"] == "west") & (rows["number"] >= 2500)
    assert late(rows[~gone][:4000], rows[~gone]) == []


def test_rows_that_came_are_not_called_late() -> None:
    """Nor where half of a shop's went, which may be how it is now."""
    for seed in range(30):
        rows = parcels(seed)
        half = (rows["shop"] == "west") & (rows["number"] % 2 == 0) & (rows["number"] > 4000)
        assert late(rows[:4000], rows) == []
        assert late(rows[:4000], rows[~half]) == []


DECISION = """\
decision:
  description: Is it packed twice?
  unit: EUR
  actions: {false: once, true: twice}
  costs: {false: {false: 0, true: 3}, true: {false: 5, true: 3}}
"""
DECIDED = parse_contract(CONTRACT.replace(SHOPS, "values: [north, south, west, east]") + DECISION)


def costs(blind: str | None, seed: int = 0, **settings: object) -> list[Finding]:
    """Champion and candidate recommend about the same, but one shop's parcels."""
    rows = parcels(seed)
    draw = np.random.default_rng([seed, 3])
    hit = rows["weight"].fillna(0) * 1.6 + rows["height"] * 1.2

    def says(noise: float) -> NDArray[np.int64]:
        return np.asarray(hit + draw.normal(0, noise, len(rows)) > 0.4).astype(np.int64)

    now = np.where(rows["shop"] == blind, 0, says(0.3))
    answers = {name: Answers(hit.to_numpy(), said) for name, said in (("champion", says(0.3)),)}
    answers["candidate"] = Answers(hit.to_numpy(), now)
    truth = rows["broken"].to_numpy()
    made = CostCheck.Settings(**settings)  # type: ignore[arg-type]
    return list(CostCheck.check(made, DECIDED, rows, truth, rows, answers, None, Sampling()))


def test_a_slice_that_costs_more_is_refused() -> None:
    found = costs("west")
    assert [one.subject for one in found if one.status == "refuse"] == ["shop west"]
    assert "a row more than under the champion" in found[-1].message
    assert all(one.status == "pass" for one in costs("west", slice_margin=3.0))
    assert all(one.status == "pass" for one in costs("west", min_rows=1100))


def test_equal_models_cost_about_the_same_in_each_slice() -> None:
    alarms = sum(
        any(one.status == "refuse" for one in costs(None, seed, slice_margin=0.0))
        for seed in range(100)
    )
    assert alarms <= 11  # 5%; twelve of a hundred come once in 230 times


@pytest.mark.parametrize("margin", ["150%", -1.0, "much"])
def test_a_margin_of_slices_is_a_margin(margin: object) -> None:
    with pytest.raises(ValueError, match="margin"):
        CostCheck.Settings(slice_margin=margin)  # type: ignore[arg-type]
