"""What gets in, and what does not."""

from pathlib import Path
from typing import Any

import pandas as pd

from {{ cookiecutter.package_name }} import load


def with_passenger(contract: dict[str, Any]) -> dict[str, Any]:
    person = {"type": "string", "description": "Who flew", "personal": True}
    return contract | {"columns": contract["columns"] | {"passenger": person}}


def test_personal_columns_never_get_in(
    contract: dict[str, Any], rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.assign(passenger="canary").to_parquet(tmp_path / "a.parquet")
    loaded = load.read_raw(tmp_path, with_passenger(contract))
    assert "passenger" not in loaded
    assert not (loaded == "canary").any(axis=None)
    assert "passenger" not in load.model_columns(with_passenger(contract))


def test_the_model_sees_neither_the_target_nor_what_the_contract_withholds(
    contract: dict[str, Any],
) -> None:
    columns = load.model_columns(contract)
    assert contract["target"]["name"] not in columns
    assert not {"scheduled_departure", "flight", "month"} & set(columns)
    assert "hour" in columns


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
