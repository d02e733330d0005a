"""What became of each known test row, counted by its key."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from parcels import make_rows

from gatewright.errors import Refused
from gatewright.evaluation.holdout import Holdout, compare

KEY = ["shop", "number"]
TRAIN = make_rows(50, first=1000)


def test_the_same_rows_in_another_order_are_the_same() -> None:
    known = make_rows(80)
    assert known["weight"].isna().any(), "a missing value equals a missing value"
    test = known.sample(frac=1, random_state=0)
    assert compare(known, test, TRAIN, KEY) == Holdout(0, 0, 0, 0)
    assert compare(known, known, TRAIN, KEY) == Holdout(0, 0, 0, 0)


def test_rows_that_go_change_come_or_were_trained_on_are_counted() -> None:
    known = make_rows(80)
    test = pd.concat([known.iloc[7:], make_rows(5, first=500)], ignore_index=True)
    test = test.sample(frac=1, random_state=0)
    changed = test["number"].isin([10, 11, 12])
    test.loc[changed, "height"] += 1
    test.loc[test["number"] == 20, "weight"] = np.nan
    train = pd.concat([TRAIN, known.iloc[:2], test.tail(3)], ignore_index=True)
    missing = int(known["weight"].isna()[20])
    assert compare(known, test, train, KEY) == Holdout(gone=7, changed=4 - missing, added=5, seen=5)
    assert compare(None, test, train, KEY) == Holdout(0, 0, 0, seen=3)


def test_a_key_of_many_columns_is_told_apart_all_the_same() -> None:
    """Codes of seven columns of 2,000 values each would not fit into one integer."""
    draw = np.random.default_rng(0)
    known = pd.DataFrame(
        draw.permuted(np.tile(np.arange(2000), (7, 1)), axis=1).T, columns=list("abcdefg")
    )
    test = known.sample(frac=1, random_state=0).iloc[3:]
    assert compare(known, test, test.tail(2), list("abcdefg")) == Holdout(3, 0, 0, 2)


def test_what_only_one_side_has_is_no_change() -> None:
    known = make_rows(30)
    test = known.assign(more=1).drop(columns="email")
    assert compare(known, test, TRAIN, KEY) == Holdout(0, 0, 0, 0)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_key_that_stands_twice_or_is_absent_is_refused(which: int) -> None:
    sides: list[pd.DataFrame] = [make_rows(30), make_rows(30), TRAIN]
    sides[which] = pd.concat([sides[which], sides[which].head(1)])
    with pytest.raises(Refused, match="The key shop, number stands more than once"):
        compare(sides[0], sides[1], sides[2], KEY)
    sides[which] = sides[which].drop(columns="number")
    with pytest.raises(Refused, match="lacks the key columns number"):
        compare(sides[0], sides[1], sides[2], KEY)
