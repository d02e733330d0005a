"""What training rows change, and which of it the gate refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, make_rows

from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.training_diff import Change, compare_training
from gatewright.gate.checks.base import Finding
from gatewright.gate.checks.data import DataCheck

PARCELS = parse_contract(CONTRACT)
MANY = parse_contract(
    CONTRACT.replace(
        "description: The parcel arrives broken.}",
        "description: Its state., type: multiclass, classes: [whole, dented, broken]}",
    )
)
NUMBER = parse_contract(
    CONTRACT.replace(
        "description: The parcel arrives broken.}", "description: The damage., type: regression}"
    ).replace("that it arrives broken.}", "that it arrives broken., min: -99, max: 99}")
)
OLD, NEW = 8000, 5000
Make = Callable[..., pd.DataFrame]


def many_rows(n: int, first: int = 0, seed: int = 0) -> pd.DataFrame:
    rows = make_rows(n, first, seed)
    draw = np.random.default_rng([seed, first, 1])
    hit = 2 * rows["weight"].fillna(0) + 2 * rows["height"] + draw.normal(size=n)
    return rows.assign(broken=np.select([hit < -1.5, hit < 1.5], ["whole", "dented"], "broken"))


def number_rows(n: int, first: int = 0, seed: int = 0) -> pd.DataFrame:
    rows = make_rows(n, first, seed)
    draw = np.random.default_rng([seed, first, 1])
    damage = 3 * rows["weight"].fillna(0) + 2 * rows["height"] + draw.normal(size=n)
    return rows.assign(broken=damage)


def grown(seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    before = make_rows(OLD, 0, seed)
    return before, pd.concat([before, make_rows(NEW, OLD, seed)], ignore_index=True)


def flipped(rows: pd.DataFrame, where: pd.Series, share: float = 1.0) -> pd.DataFrame:
    draw = np.random.default_rng(7)
    chosen = where & (draw.random(len(rows)) < share)
    return rows.assign(broken=rows["broken"] ^ chosen)


def judged(change: Change | None, **settings: float) -> list[Finding]:
    return list(DataCheck.check(DataCheck.Settings(**settings), change))


def red(change: Change, **settings: float) -> set[str]:
    """The subjects of what is not green."""
    return {found.subject for found in judged(change, **settings) if found.status != "pass"}


@pytest.mark.parametrize("seed", range(5))
def test_an_honest_update_is_green(seed: int) -> None:
    change = compare_training(*grown(seed), PARCELS)
    assert red(change) == set()
    assert (change.gone, change.relabelled, change.altered) == (0, 0, 0)
    assert change.new == change.touched == NEW


def test_the_same_rows_in_another_order_and_another_type_change_nothing() -> None:
    before, _ = grown()
    now = before.sample(frac=1, random_state=1).astype({"number": "int32", "shop": object})
    change = compare_training(before, now.assign(broken=now["broken"].astype(object)), PARCELS)
    assert (change.gone, change.relabelled, change.altered, change.new) == (0, 0, 0, 0)
    assert red(change) == set()


def test_the_same_rows_and_seed_give_the_same_answer() -> None:
    assert compare_training(*grown(), PARCELS) == compare_training(*grown(), PARCELS)


def test_rows_that_are_gone_are_counted() -> None:
    before, now = grown()
    change = compare_training(before, now.iloc[120:], PARCELS)
    assert change.gone == 120
    assert red(change) == {"rows gone"}
    assert red(change, max_gone=0.02) == set()


def test_rows_with_another_label_are_counted() -> None:
    before, now = grown()
    change = compare_training(before, flipped(now, now["number"] < 40), PARCELS)
    assert change.relabelled == 40
    assert red(change) == {"rows relabelled"}


def test_rows_with_other_inputs_are_counted() -> None:
    before, now = grown()
    change = compare_training(
        before, now.assign(height=now["height"].where(now["number"] >= 120, 0.1)), PARCELS
    )
    assert change.altered == 120
    assert red(change) == {"rows altered"}


def test_a_value_that_goes_missing_or_comes_is_another_input() -> None:
    before, now = grown()
    weight = now["weight"].where(now["number"] != before["weight"].first_valid_index())
    weight = weight.where(weight.notna() | (now["number"] > before["weight"].isna().idxmax()), 0.0)
    assert compare_training(before, now.assign(weight=weight), PARCELS).altered == 2


def test_personal_columns_are_not_looked_at() -> None:
    before, now = grown()
    change = compare_training(before.drop(columns="email"), now.assign(email="x"), PARCELS)
    assert change.altered == 0
    assert change.columns_new == ()


def test_another_balance_is_refused() -> None:
    before, now = grown()
    keep = (now["number"] < OLD) | now["broken"] | (now["number"] % 2 == 0)
    change = compare_training(before, now[keep], PARCELS)
    assert red(change) == {"balance"}
    assert change.balance is not None
    assert 0.1 < change.balance.low < change.balance.high < 0.25


def test_copies_of_an_outlier_under_new_keys_are_refused() -> None:
    before, now = grown()
    rows = now.iloc[[0] * 60].assign(
        number=np.arange(60) + 99_999, weight=8.0, height=8.0, broken=True
    )
    change = compare_training(before, pd.concat([now, rows]), PARCELS)
    assert change.duplicates == 60
    assert red(change) == {"duplicates"}


def test_duplicates_that_are_usual_are_not_odd() -> None:
    before, now = (rows.round({"weight": 0, "height": 0}) for rows in grown())
    change = compare_training(before, now, PARCELS)
    assert change.duplicates > 1000
    assert red(change) == set()


def test_new_categories_are_refused() -> None:
    before, now = grown()
    change = compare_training(
        before, now.assign(shop=now["shop"].where(now["number"] < OLD + NEW - 150, "west")), PARCELS
    )
    assert [(found.column, found.values) for found in change.new_categories] == [("shop", 1)]
    assert red(change) == {"new categories"}


def test_values_outside_of_the_range_are_refused() -> None:
    before, now = grown()
    # A column that says nothing of the label.
    width = {"width": PARCELS.columns["height"]}
    contract = PARCELS.model_copy(update={"columns": PARCELS.columns | width})
    values = pd.Series(np.arange(len(now)) % 100 / 100)
    now = now.assign(width=values.mask(now["number"] >= OLD + 4000, 8.5))
    change = compare_training(before.assign(width=values[:OLD]), now, contract)
    found = {about.column: (about.rows, about.values) for about in change.out_of_range}
    assert found["width"] == (1000, 1)
    assert red(change) == {"ranges"}


@pytest.mark.parametrize("seed", range(3))
def test_labels_flipped_in_one_slice_are_found(seed: int) -> None:
    before, now = grown(seed)
    where = (now["number"] >= OLD) & (now["shop"] == "north")
    change = compare_training(before, flipped(now, where, 0.1), PARCELS)
    assert {subject.partition(",")[0] for subject in red(change)} == {"labels"}
    assert max(change.parts, key=lambda part: part.share).name == "shop north"
    subjects = red(compare_training(before, flipped(now, where, 0.2), PARCELS))
    assert "labels, shop north" in subjects
    assert "labels, shop south" not in subjects


@pytest.mark.parametrize("seed", range(3))
def test_labels_flipped_at_random_are_refused(seed: int) -> None:
    before, now = grown(seed)
    change = compare_training(before, flipped(now, now["number"] >= OLD, 0.1), PARCELS)
    (labels,) = [found for found in judged(change) if found.subject == "labels"]
    assert labels.status == "refuse"


def test_labels_flipped_in_one_class_are_found_in_the_other() -> None:
    """What was called whole is now called broken, so it is there that labels disagree."""
    before, now = grown()
    where = (now["number"] >= OLD) & ~now["broken"]
    assert "labels, label True" in red(compare_training(before, flipped(now, where, 0.1), PARCELS))


def test_a_season_with_more_of_one_class_is_no_disagreement() -> None:
    before, now = grown()
    keep = (now["number"] < OLD) | now["broken"] | (now["number"] % 5 < 3)
    assert not [s for s in red(compare_training(before, now[keep], PARCELS)) if "labels" in s]


@pytest.mark.parametrize("seed", range(2))
def test_many_classes(seed: int) -> None:
    before = many_rows(OLD, 0, seed)
    now = pd.concat([before, many_rows(NEW, OLD, seed)], ignore_index=True)
    assert red(compare_training(before, now, MANY)) == set()
    wrong = (now["number"] >= OLD) & (now["number"] % 10 == 0)
    now["broken"] = now["broken"].mask(wrong, now["broken"].map({"whole": "broken"}))
    now["broken"] = now["broken"].fillna("whole")
    change = compare_training(before, now, MANY)
    assert "labels" in red(change)
    assert {part.name for part in change.parts} >= {"label whole", "label dented", "shop north"}


@pytest.mark.parametrize("seed", range(2))
def test_a_number(seed: int) -> None:
    before = number_rows(OLD, 0, seed)
    now = pd.concat([before, number_rows(NEW, OLD, seed)], ignore_index=True)
    assert red(compare_training(before, now, NUMBER)) == set()
    wrong = (now["number"] >= OLD) & (now["number"] % 10 == 0)
    change = compare_training(
        before, now.assign(broken=now["broken"].mask(wrong, now["broken"] + 12)), NUMBER
    )
    assert red(change) >= {"labels", "labels, label too high"}
    assert "labels, label too low" not in red(change)


def test_another_mean_of_a_number_is_refused() -> None:
    before = number_rows(OLD)
    now = pd.concat([before, number_rows(NEW, OLD)], ignore_index=True)
    keep = (now["number"] < OLD) | (now["broken"] > 0)
    assert "balance" in red(compare_training(before, now[keep], NUMBER))


def test_rows_of_a_group_are_not_taken_for_independent() -> None:
    """Each parcel is there five times, which is no more to judge by than once."""
    customer = {"customer": PARCELS.columns["number"]}
    contract = PARCELS.model_copy(update={"columns": PARCELS.columns | customer})
    rows = make_rows(2000, seed=1)
    five = pd.concat([rows.assign(customer=rows["number"])] * 5, ignore_index=True)
    five["number"] = np.arange(len(five))
    five["height"] += five["number"] / 1e6  # copies are refused by themselves
    before = five[five["customer"] < 1200]
    alone, grouped = (
        compare_training(before, five, contract.model_copy(update={"group": group})).disagreement
        for group in (None, "customer")
    )
    assert alone is not None
    assert grouped is not None
    assert grouped.excess.high - grouped.excess.low > 1.5 * (alone.excess.high - alone.excess.low)


def test_without_a_champion_there_is_nothing_to_compare() -> None:
    (found,) = judged(compare_training(None, grown()[0], PARCELS))
    assert found.status == "pass"
    assert "nothing is live" in found.message
    assert "labels are doubtful" in found.message
    assert [found.status for found in judged(None)] == ["pass"]


@pytest.mark.parametrize("column", ["number", "broken"])
@pytest.mark.parametrize("which", [0, 1])
def test_without_key_or_target_nothing_is_compared(column: str, which: int) -> None:
    tables = list(grown())
    tables[which] = tables[which].drop(columns=column)
    with pytest.raises(Refused, match=f"lack the columns {column}"):
        compare_training(tables[0], tables[1], PARCELS)


def test_a_key_that_stands_twice_is_refused() -> None:
    before, now = grown()
    with pytest.raises(Refused, match="more than once in the candidate's"):
        compare_training(before, pd.concat([now, now.iloc[:1]]), PARCELS)


def test_rows_that_have_nothing_in_common() -> None:
    change = compare_training(make_rows(1000), make_rows(1000, 5000), PARCELS)
    assert (change.gone, change.new) == (1000, 1000)
    assert "rows gone" in red(change)


def test_few_touched_rows_pass_only_if_they_are_few_of_all() -> None:
    before = make_rows(OLD)
    change = compare_training(before, pd.concat([before, make_rows(100, OLD)]), PARCELS)
    assert change.disagreement is None
    assert red(change) == set()
    before = make_rows(300)
    change = compare_training(before, pd.concat([before, make_rows(100, OLD)]), PARCELS)
    assert "labels" in red(change)


def one_class(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(broken=False)


def no_labels(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(broken=pd.Series([None] * len(rows), index=rows.index, dtype=object))


def all_missing(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(weight=np.nan, shop=None)


def without_column(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns="weight")


def infinite(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(weight=np.inf)


def empty(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[:0]


ODD = [one_class, no_labels, all_missing, without_column, infinite, empty]


@pytest.mark.parametrize("contract", [PARCELS, MANY, NUMBER], ids=["binary", "many", "number"])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("which", ["before", "now"])
def test_odd_tables_are_judged(contract: Contract, odd: Make, which: str) -> None:
    make = {"binary": make_rows, "multiclass": many_rows, "regression": number_rows}
    before = make[contract.target.type](600)
    now = pd.concat([before, make[contract.target.type](300, 600)])
    tables = (odd(before), now) if which == "before" else (before, odd(now))
    change = compare_training(*tables, contract)
    assert judged(change)
    assert "nan" not in str(judged(change))


@pytest.mark.parametrize("odd", ODD)
def test_odd_tables_come_first(odd: Make) -> None:
    rows = odd(make_rows(600))
    assert compare_training(None, rows, PARCELS).rows == len(rows)
