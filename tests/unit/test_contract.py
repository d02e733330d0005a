"""The contract stops bad rows with a table, and knows what breaks a consumer."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from parcels import CONTRACT, Project, make_rows

from gatewright.contract import validation
from gatewright.contract.compatibility import compare
from gatewright.contract.schema import Contract, parse_contract
from gatewright.contract.validation import Reason, describe, violations
from gatewright.errors import Refused

contract = parse_contract(CONTRACT)


def test_good_rows_have_no_fault() -> None:
    assert violations(contract, make_rows(500)).empty


def spoilt(**columns: Any) -> pd.DataFrame:
    rows = make_rows(500)
    for name, value in columns.items():
        rows[name] = rows[name].astype(object) if isinstance(value, str) else rows[name]
        rows.loc[[3, 8], name] = value
    return rows


FAULTS = {
    "a value below its range": (spoilt(height=-99.0), "height", "below -9", 2),
    "a value above its range": (spoilt(weight=99.0), "weight", "above 9", 2),
    "a category that is not in the list": (spoilt(shop="east"), "shop", "not among", 2),
    "a missing value where one is needed": (spoilt(height=np.nan), "height", "missing where", 2),
    "a column that is absent": (make_rows(500).drop(columns="height"), "height", "absent", 1),
    "a column that nobody knows": (make_rows(500).assign(x=1), "x", "not in the contract", 1),
    "a text where a number should be": (spoilt(height="tall"), "height", "not of the", 2),
    "a key that stands twice": (
        pd.concat([make_rows(500), make_rows(1)], ignore_index=True),
        "number",
        "more than once",
        2,
    ),
    "too many missing": (make_rows(500).assign(weight=np.nan), "weight", "more than 20%", 1),
    "a column that stands twice": (
        pd.concat([make_rows(500), make_rows(500)[["height"]]], axis=1),
        "height",
        "the column stands more than once",
        1,
    ),
}


@pytest.mark.parametrize(("rows", "column", "fault", "count"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_named_with_its_place(
    rows: pd.DataFrame, column: str, fault: str, count: int
) -> None:
    found = violations(contract, rows)
    hit = found[(found["column"] == column) & found["fault"].str.contains(fault)]
    assert not hit.empty, found.to_string()
    assert hit["rows"].iloc[0] == count


@pytest.mark.parametrize("block", [3, 499, 500])
def test_in_blocks_the_same_faults_are_found(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several kinds at once, in several rows, with a key that stands in two blocks."""
    rows = spoilt(height=-99.0, weight=np.nan)
    rows.loc[400:, "shop"] = "east"
    rows = pd.concat([rows, make_rows(1)], ignore_index=True).assign(x=1)
    whole = violations(contract, rows)
    assert {"height", "shop", "number", "x"} <= set(whole["column"])
    monkeypatch.setattr(validation, "BLOCK", block)
    pd.testing.assert_frame_equal(
        violations(contract, rows).sort_values(["column", "reason"], ignore_index=True),
        whole.sort_values(["column", "reason"], ignore_index=True),
    )


def test_each_fault_has_a_reason_for_machines() -> None:
    rows = spoilt(height=99.0, shop="east").assign(x=1)
    found = violations(contract, rows)
    assert dict(zip(found["column"], found["reason"], strict=True)) == {
        "x": Reason.UNKNOWN_COLUMN,
        "height": Reason.ABOVE_RANGE,
        "shop": Reason.UNKNOWN_VALUE,
    }


def test_every_reason_has_words_of_its_own() -> None:
    for about in (None, contract.columns["weight"]):
        assert len({describe(reason, about) for reason in Reason}) == len(Reason)


def test_a_class_that_the_target_does_not_have_is_found() -> None:
    several = changed("target.type", "multiclass", {"target.classes": ["a", "b", "c"]})
    rows = make_rows(500).assign(broken=["a", "b", "c", "d", "a"] * 100)
    (fault,) = violations(several, rows).to_dict("records")
    assert (fault["column"], fault["reason"], fault["rows"]) == ("broken", "unknown_value", 100)


def test_what_cannot_be_checked_is_a_fault() -> None:
    """A range of texts: pandera's check raises, and there is no wrong type to blame for it."""
    strange = changed("columns.email.min", 1)
    assert violations(strange, make_rows(5))["reason"].tolist() == [Reason.NOT_CHECKED]


def test_the_pipeline_stops_with_a_table_and_nothing_half_done(trained: Project) -> None:
    spoilt(shop="east").to_parquet(trained.root / "data/raw/2026-03.parquet")
    (trained.root / "reports/data.json").unlink()
    said = trained.mlops("check", expect=1)
    for words in ("2026-03.parquet", "shop", "not among", "east"):
        assert words in said.err
    assert not (trained.root / "reports/data.json").exists()


def test_a_key_in_two_files_is_found(trained: Project) -> None:
    make_rows(3).to_parquet(trained.root / "data/raw/2026-03.parquet")
    assert "stands in another file too" in trained.mlops("check", expect=1).err


def test_a_personal_value_is_never_shown(trained: Project) -> None:
    rows = make_rows(10, 9000)
    rows["email"] = rows["email"].astype(object)
    rows.loc[2, "email"] = None
    rows.loc[3, "number"] = rows.loc[2, "number"]
    rows.to_parquet(trained.root / "data/raw/2026-03.parquet")
    said = trained.mlops("check", expect=1)
    assert "email" in said.err
    assert "@example.com" not in said.err + said.out


def test_no_data_is_no_contract_kept(trained: Project) -> None:
    for path in (trained.root / "data/raw").iterdir():
        path.unlink()
    assert "no Parquet file" in trained.mlops("check", expect=1).err
    (trained.root / "data/raw/a.parquet").write_text("not parquet")
    assert "no readable Parquet file" in trained.mlops("check", expect=1).err


def changed(path: str, value: Any, more: dict[str, Any] | None = None) -> Contract:
    content = yaml.safe_load(CONTRACT)
    for where, what in {path: value, **(more or {})}.items():
        *way, last = where.split(".")
        place = content
        for step in way:
            place = place[step]
        place.pop(last, None)
        if what is not None:
            place[last] = what
    return parse_contract(yaml.safe_dump(content))


COMPARED = {
    "nothing": (contract, "none"),
    "other words": (changed("description", "Broken?"), "compatible"),
    "a wider range": (changed("columns.height.max", 99), "compatible"),
    "no range": (changed("columns.height.max", None), "compatible"),
    "one more category": (changed("columns.shop.values", ["north", "south", "east"]), "compatible"),
    "an open set": (changed("columns.shop.values", None), "compatible"),
    "missing allowed": (changed("columns.height.nullable", True), "compatible"),
    "a narrower range": (changed("columns.height.max", 1), "breaking"),
    "a range where none was": (changed("columns.number.max", 1), "breaking"),
    "one category less": (changed("columns.shop.values", ["north"]), "breaking"),
    "missing no longer allowed": (changed("columns.weight.nullable", False), "breaking"),
    "another unit": (changed("columns.weight.unit", "lb"), "breaking"),
    "another type": (changed("columns.height.type", "integer"), "breaking"),
    "a column gone": (changed("columns.height", None), "breaking"),
    "another prediction": (changed("prediction.name", "score"), "breaking"),
    "a wider prediction": (changed("prediction.max", 2), "breaking"),
    "another target": (changed("target.name", "late"), "breaking"),
}


@pytest.mark.parametrize(("new", "change"), COMPARED.values(), ids=COMPARED.keys())
def test_what_a_consumer_meets(new: Contract, change: str) -> None:
    found, why = compare(contract, new)
    assert found == change
    assert bool(why) == (change != "none")


WRONG = {
    "an unknown key": ("columns.height.colour", "red", "colour"),
    "an unknown type": ("columns.height.type", "tensor", "columns.height.type"),
    "a key that is no column": ("key", ["nobody"], "does not describe: nobody"),
    "a personal key": ("key", ["email"], "personal columns"),
    "the target among the inputs": ("target.name", "height", "among the input"),
}


@pytest.mark.parametrize(("path", "value", "why"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_contract_is_refused(path: str, value: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        changed(path, value)


def test_yaml_that_hides_something_is_refused() -> None:
    with pytest.raises(Refused, match="the key 'name' is given twice"):
        parse_contract(CONTRACT + "name: Other\n")
    with pytest.raises(Refused, match="not valid YAML"):
        parse_contract("key: [")
    with pytest.raises(Refused, match="must be a mapping"):
        parse_contract("- a")
    with pytest.raises(Refused, match="not valid YAML"):
        parse_contract("name: !!python/object/apply:os.system ['touch mark']")
    assert not Path("mark").exists()
