"""No row changes side as data grows."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from {{ cookiecutter.package_name }} import split

WINDOWS = {"holdout": [{"from": "2013-02-01", "until": "2013-03-01"}], "share": 0.25}


@pytest.fixture
def timed(contract: dict[str, Any], rows: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
    """A contract with a time column, whatever this project's has, and rows of it."""
    columns = contract["columns"] | {"moment": {"type": "datetime", "description": "When"}}
    hours = pd.to_timedelta(range(len(rows)), unit="h")
    moments = pd.Timestamp("2013-01-01") + hours
    return contract | {"columns": columns, "time": "moment"}, rows.assign(moment=moments)


@pytest.fixture(params=["by time", "by key"])
def side(
    request: pytest.FixtureRequest, timed: tuple[dict[str, Any], pd.DataFrame]
) -> dict[str, Any]:
    contract, _ = timed
    return contract if request.param == "by time" else contract | {"time": None}


@pytest.fixture
def timed_rows(timed: tuple[dict[str, Any], pd.DataFrame]) -> pd.DataFrame:
    return timed[1]


def test_a_row_keeps_its_side_as_data_grows(side: dict[str, Any], timed_rows: pd.DataFrame) -> None:
    alone = split.is_holdout(timed_rows[:1500], side, WINDOWS)
    grown = split.is_holdout(timed_rows, side, WINDOWS)
    assert (alone == grown[:1500]).all()
    assert 0 < alone.sum() < len(alone)


def test_a_row_keeps_its_side_in_another_order(
    side: dict[str, Any], timed_rows: pd.DataFrame
) -> None:
    shuffled = timed_rows.sample(frac=1, random_state=2)
    there, here = (split.is_holdout(r, side, WINDOWS) for r in (shuffled, timed_rows))
    assert (there.sort_index() == here).all()


def test_a_window_holds_its_first_moment_and_not_its_last() -> None:
    times = pd.Series(pd.to_datetime(["2013-01-31T23:59", "2013-02-01T00:00", "2013-03-01T00:00"]))
    assert split.in_windows(times, WINDOWS["holdout"]).tolist() == [False, True, False]


def test_a_window_in_the_future_changes_nothing_now(
    timed: tuple[dict[str, Any], pd.DataFrame],
) -> None:
    contract, rows = timed
    later = {"holdout": [*WINDOWS["holdout"], {"from": "2031-01-01", "until": "2031-02-01"}]}
    now, then = (split.is_holdout(rows, contract, s) for s in (WINDOWS, later))
    assert (now == then).all()


def test_the_share_of_keys_is_about_what_was_asked() -> None:
    keys = pd.DataFrame({"place": ["a", "b", "c"] * 1000, "number": range(3000)})
    assert split.by_key(keys, 0.25).mean() == pytest.approx(0.25, abs=0.03)


def test_rows_of_one_group_stand_on_one_side(contract: dict[str, Any], rows: pd.DataFrame) -> None:
    columns = contract["columns"] | {"who": {"type": "string", "description": "Whose row it is"}}
    grouped = contract | {"columns": columns, "time": None, "group": "who"}
    owned = rows.assign(who=[f"w{i % 300}" for i in range(len(rows))])
    held_out = split.is_holdout(owned, grouped, WINDOWS)
    assert 0 < held_out.sum() < len(rows)
    assert (held_out.groupby(owned["who"]).nunique() == 1).all()


def test_the_stage_writes_both_sides(
    timed: tuple[dict[str, Any], pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contract, rows = timed
    monkeypatch.chdir(tmp_path)
    Path("contract.yaml").write_text(yaml.safe_dump(contract))
    Path("params.yaml").write_text(yaml.safe_dump({"split": WINDOWS}))
    Path("data/raw").mkdir(parents=True)
    rows.to_parquet("data/raw/a.parquet")
    split.main()
    sides = [pd.read_parquet(f"data/split/{name}.parquet") for name in ("train", "test")]
    assert sum(map(len, sides)) == len(rows)
    assert sides[1]["moment"].dt.month.unique().tolist() == [2]

    Path("params.yaml").write_text(yaml.safe_dump({"split": WINDOWS | {"holdout": []}}))
    with pytest.raises(SystemExit, match="The test set is empty"):
        split.main()


WRONG = {
    "no section": {"other": {}},
    "nothing": None,
    "a section of text": {"split": "all"},
    "an unknown setting": {"split": WINDOWS | {"seed": 1}},
    "a setting less": {"split": {"holdout": []}},
    "a share of everything": {"split": WINDOWS | {"share": 1}},
    "a share of text": {"split": WINDOWS | {"share": "0.2"}},
    "a share that is true": {"split": WINDOWS | {"share": True}},
    "no windows": {"split": WINDOWS | {"holdout": None}},
    "a window of text": {"split": WINDOWS | {"holdout": ["2013"]}},
    "a window without an end": {"split": WINDOWS | {"holdout": [{"from": "2013-01-01"}]}},
    "a date that is none": {
        "split": WINDOWS | {"holdout": [{"from": "2013-01-01", "until": "2013-02-30"}]}
    },
    "a number for a date": {"split": WINDOWS | {"holdout": [{"from": 2013, "until": 2014}]}},
    "a window that ends before it begins": {
        "split": WINDOWS | {"holdout": [{"from": "2013-03-01", "until": "2013-02-01"}]}
    },
    "a time zone": {
        "split": WINDOWS | {"holdout": [{"from": "2013-01-01T00:00Z", "until": "2013-02-01"}]}
    },
}


@pytest.mark.parametrize("params", WRONG.values(), ids=WRONG.keys())
def test_settings_that_cannot_be_followed_end_in_a_sentence(
    params: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(SystemExit, match=r"params\.yaml: `split"):
        split.read_settings()
    Path("params.yaml").write_text(yaml.safe_dump({"split": WINDOWS}))
    assert split.read_settings() == WINDOWS
