"""Copies in disguise are found whichever few columns they differ in; honest rows have none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT

from gatewright.contract.schema import Contract, parse_contract
from gatewright.evaluation.near_copies import NearCopies, find_near_copies
from gatewright.gate.checks.leakage import LeakageCheck

NAMES = [f"x{i}" for i in range(9)]
KINDS = ("red", "blue", "green", "black", "white")
WIDE = parse_contract(
    CONTRACT
    + "  kind: {type: string, description: Its kind}\n"
    + "".join(f"  {name}: {{type: number, description: Some}}\n" for name in NAMES)
)
NUMBER = parse_contract(
    CONTRACT.replace("{name: broken,", "{name: broken, type: regression,").replace(
        "it arrives broken.}", "it arrives broken., min: -9, max: 9}", 1
    )
    + "".join(f"  {name}: {{type: number, description: Some}}\n" for name in NAMES)
)
FEATURES = ["kind", *NAMES]
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def rows(n: int, seed: int, first: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng([seed, first])
    numbers = {name: draw.normal(size=n) for name in NAMES}
    numbers["x0"] = np.where(draw.random(n) < 0.1, np.nan, numbers["x0"])
    return pd.DataFrame(
        {
            "number": np.arange(first, first + n),
            "sent": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n) + first, unit="h"),
            "kind": draw.choice(KINDS, n),
            **numbers,
            "broken": draw.random(n) < 1 / (1 + np.exp(-numbers["x1"])),
        }
    )


def search(
    new: pd.DataFrame, test: pd.DataFrame, known: pd.DataFrame | None, contract: Contract = WIDE
) -> NearCopies:
    train = new if known is None else pd.concat([known, new], ignore_index=True)
    features = [name for name in FEATURES if name in contract.columns]
    return find_near_copies(train, known, test, contract, features)


def as_they_are(rows: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    return rows


def two_columns(rows: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    return rows.assign(x3=rows["x3"] + 2, kind="red")


def a_column_each(rows: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    """Another column in every row."""
    table = rows[NAMES].to_numpy(copy=True)
    table[np.arange(len(rows)), draw.integers(len(NAMES), size=len(rows))] += 1
    return rows.assign(**dict(zip(NAMES, table.T, strict=True)))


def a_little_everywhere(rows: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    return rows.assign(**{n: rows[n] + draw.normal(0, 0.02, len(rows)) for n in NAMES})


@pytest.mark.parametrize("champion", [True, False])
@pytest.mark.parametrize("change", [as_they_are, two_columns, a_column_each, a_little_everywhere])
def test_copies_are_found(change: Change, champion: bool) -> None:
    test, known = rows(3000, 1), rows(4000, 1, 10_000)
    copies = change(test.head(1000), np.random.default_rng(1))
    new = pd.concat([rows(2000, 1, 20_000), copies], ignore_index=True)
    new = new if champion else pd.concat([known, new], ignore_index=True)
    found = search(new, test, known if champion else None)
    assert found.beyond is not None
    assert found.beyond.low > LeakageCheck.Settings().max_near
    assert found.share < 0.4  # of which a third are copies


def test_a_column_of_random_numbers_hides_nothing() -> None:
    """It is no column of the champion's, so it does not count; nor would it if it were one."""
    test, known = rows(3000, 2), rows(4000, 2, 10_000)
    draw = np.random.default_rng(2)
    copies = test.assign(x8=draw.normal(size=len(test)), made_up=draw.normal(size=len(test)))
    found = search(copies, test, known)
    assert found.beyond is not None
    assert found.beyond.low > 0.9


@pytest.mark.parametrize("seed", range(20))
def test_honest_rows_have_no_copies(seed: int) -> None:
    test, known = rows(3000, seed), rows(4000, seed, 10_000)
    for before in (known, None):
        found = search(rows(3000, seed, 20_000), test, before)
        assert found.beyond is not None
        assert found.beyond.low <= 0.02


def test_rows_that_were_there_before_are_not_new() -> None:
    test, known = rows(3000, 3), rows(4000, 3, 10_000)
    known = pd.concat([known, test], ignore_index=True)
    found = find_near_copies(known.sample(frac=1, random_state=1), known, test, WIDE, FEATURES)
    assert (found.new, found.share) == (0, 0.0)


def test_where_rows_are_alike_a_copy_cannot_be_told() -> None:
    coarse = dict.fromkeys(NAMES[1:], 0.0)
    test, known, new = (rows(3000, 4, first).assign(**coarse) for first in (0, 10_000, 20_000))
    assert search(new, test, known).beyond is None


def test_what_repeats_in_each_month_is_no_copy() -> None:
    """Customers come again with about the same row: what the champion's rows do is usual."""
    people = rows(3000, 5)
    draw = np.random.default_rng(5)

    def month(first: int) -> pd.DataFrame:
        return people.assign(
            number=people["number"] + first, x1=people["x1"] + draw.normal(0, 0.01, len(people))
        )

    found = search(month(20_000), month(0), month(10_000))
    assert found.beyond is None or found.beyond.low <= 0.05


def test_a_number_is_compared_by_its_eighths() -> None:
    test, known = rows(3000, 6), rows(4000, 6, 10_000)
    test, known = (table.assign(broken=table["x1"] + table["x2"]) for table in (test, known))
    found = search(test.assign(x5=0.0), test, known, NUMBER)
    assert found.beyond is not None
    assert found.beyond.low > 0.9


def test_of_very_many_new_rows_some_are_looked_at() -> None:
    """Half of the test rows have a copy among twenty times as many new rows."""
    test, known = rows(2000, 8), rows(4000, 8, 10_000)
    new = pd.concat([rows(40_000, 8, 20_000), test.head(1000)], ignore_index=True)
    found = search(new, test, known)
    assert found.beyond is not None
    assert found.new == 41_000
    assert found.beyond.low > 0.05
    honest = search(rows(40_000, 8, 20_000), test, known).beyond
    assert honest is not None
    assert honest.low <= 0.02


def test_nothing_to_compare_is_nothing_found() -> None:
    test, known = rows(3000, 7), rows(100, 7, 10_000)
    assert search(rows(10, 7, 20_000), test, known).share == 0
    assert search(known.iloc[:0], test.iloc[:0], known).share == 0
    empty = known.assign(x1=np.nan, x2=np.nan, kind=None)
    found = search(empty, test.assign(x1=np.nan, kind=None), known).beyond
    assert found is not None
    assert found.low <= 0
