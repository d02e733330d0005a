"""Reading raw data, as far as the contract lets the model see it."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

RAW = Path("data/raw")


def read_yaml(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        content: dict[str, Any] = yaml.safe_load(file)
    return content


def visible_columns(contract: dict[str, Any]) -> list[str]:
    """All columns but the personal ones, which stop here, and the target."""
    columns = [name for name, c in contract["columns"].items() if not c.get("personal", False)]
    return [*columns, contract["target"]["name"]]


def model_columns(contract: dict[str, Any]) -> list[str]:
    """The columns that the model may use, in the order of the contract."""
    return [
        name
        for name, column in contract["columns"].items()
        if column.get("feature", True) and not column.get("personal", False)
    ]


def read_raw(folder: Path, contract: dict[str, Any]) -> pd.DataFrame:
    """All raw rows, ordered by key, so that the order of the files does not matter."""
    columns = visible_columns(contract)
    files = sorted(folder.glob("*.parquet"))
    rows = pd.concat([pd.read_parquet(path, columns=columns) for path in files])
    return rows.sort_values(contract["key"], ignore_index=True)
