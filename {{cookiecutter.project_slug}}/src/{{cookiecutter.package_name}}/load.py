"""Reading raw data, as far as the contract lets the model see it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import yaml

RAW = Path("data/raw")


def read_yaml(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        content: dict[str, Any] = yaml.safe_load(file)
    return content


def read_params(section: str, keys: set[str]) -> dict[str, Any]:
    """A section of params.yaml with exactly these keys; anything else ends in a sentence."""
    found: Any = read_yaml("params.yaml")
    settings = found.get(section) if isinstance(found, dict) else None
    if not isinstance(settings, dict) or set(settings) != keys:
        raise SystemExit(f"params.yaml: `{section}` must hold {', '.join(sorted(keys))}, no more.")
    return settings


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


def kinds_of(contract: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The columns that the model may use: categories, with what is true or false, and numbers."""
    columns = model_columns(contract)
    types = {name: contract["columns"][name]["type"] for name in columns}
    if dates := [name for name in columns if types[name] == "datetime"]:
        raise SystemExit(
            f"contract.yaml: {', '.join(dates)} is a date, and no model computes with one: write "
            "`feature: false`, and let numbers of it arrive, like weekday, hour or days since."
        )
    categories = [name for name in columns if types[name] in ("string", "boolean")]
    return categories, [name for name in columns if name not in categories]


def read_raw(folder: Path, contract: dict[str, Any]) -> pd.DataFrame:
    """All raw rows, ordered by key, so that the order of the files does not matter."""
    columns = visible_columns(contract)
    files = sorted(folder.glob("*.parquet"))
    # Not by what pandas noted of types of its own: `mlops check` judged what is in the file.
    tables = [pq.read_table(path, columns=columns) for path in files]
    rows = pd.concat([table.to_pandas(ignore_metadata=True) for table in tables])
    return rows.sort_values(contract["key"], ignore_index=True)
