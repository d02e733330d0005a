"""What gets in, and what does not."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import load


def with_person(contract: dict[str, Any]) -> dict[str, Any]:
    who = {"type": "string", "description": "Who it is", "personal": True}
    return contract | {"columns": contract["columns"] | {"person": who}}


def test_personal_columns_never_get_in(
    contract: dict[str, Any], rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.assign(person="canary").to_parquet(tmp_path / "a.parquet")
    loaded = load.read_raw(tmp_path, with_person(contract))
    assert "person" not in loaded
    assert not (loaded == "canary").any(axis=None)
    assert "person" not in load.model_columns(with_person(contract))


def test_the_model_sees_neither_the_target_nor_what_the_contract_withholds(
    contract: dict[str, Any],
) -> None:
    first = next(iter(load.model_columns(contract)))
    withheld = contract["columns"][first] | {"feature": False}
    columns = load.model_columns(contract | {"columns": contract["columns"] | {first: withheld}})
    assert contract["target"]["name"] not in columns
    assert first not in columns
    assert all(contract["columns"][name].get("feature", True) for name in columns)


def test_a_date_is_no_input_of_a_model(contract: dict[str, Any]) -> None:
    date = {"type": "datetime", "description": "When"}
    with pytest.raises(SystemExit, match="when is a date"):
        load.kinds_of(contract | {"columns": contract["columns"] | {"when": date}})


def test_the_order_of_files_and_rows_does_not_matter(
    contract: dict[str, Any], rows: pd.DataFrame, tmp_path: Path
) -> None:
    for name, first, second in (("x", "a", "b"), ("y", "b", "a")):
        (tmp_path / name).mkdir()
        rows[:1000].to_parquet(tmp_path / name / f"{first}.parquet")
        rows[1000:].sample(frac=1, random_state=1).to_parquet(tmp_path / name / f"{second}.parquet")
    pd.testing.assert_frame_equal(
        load.read_raw(tmp_path / "x", contract), load.read_raw(tmp_path / "y", contract)
    )
