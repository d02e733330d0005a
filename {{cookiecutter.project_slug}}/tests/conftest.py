"""Rows that keep this project's own contract, made up, so that no data need be there."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    return read("contract.yaml")


@pytest.fixture(scope="session")
def params() -> dict[str, Any]:
    return read("params.yaml")


def draw_column(column: dict[str, Any], n: int, random: np.random.Generator) -> Any:
    """`n` values within the column's ranges; none is missing."""
    match column["type"]:
        case "datetime":
            return pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(n), unit="h")
        case "string":
            return random.choice(column.get("values", ["one", "two", "three"]), n)
        case "boolean":
            return random.random(n) < 0.5
    low = column.get("min", min(0, column.get("max", 0)))
    drawn = random.uniform(low, column.get("max", low + 100), n)
    return drawn.round().astype(int) if column["type"] == "integer" else drawn


def draw_rows(contract: dict[str, Any], n: int, seed: int = 0) -> pd.DataFrame:
    """`n` labelled rows within the contract's ranges; the target follows from the features."""
    random = np.random.default_rng(seed)
    columns = contract["columns"]
    rows = pd.DataFrame({name: draw_column(column, n, random) for name, column in columns.items()})
    seen = [name for name, column in columns.items() if column.get("feature", True)]
    ranks = [pd.Series(pd.factorize(rows[name], sort=True)[0]).rank(pct=True) for name in seen]
    signal = sum(ranks) / len(ranks) if ranks else pd.Series(0.5, index=rows.index)
    signal = (signal + random.normal(0, signal.std() / 2 + 0.01, n)).rank(pct=True)
    for name, column in columns.items():
        if column.get("nullable"):
            rows[name] = rows[name].astype(
                object if column["type"] == "boolean" else rows[name].dtype
            )
            rows.loc[random.random(n) < 0.1, name] = None
    for name in contract["key"]:  # no two rows are one
        if columns[name]["type"] == "integer" and "max" not in columns[name]:
            rows[name] = np.arange(n) + columns[name].get("min", 0)
        elif columns[name]["type"] == "string" and "values" not in columns[name]:
            rows[name] = [f"k{i}" for i in range(n)]
    target = contract["target"]
    match target.get("type", "binary"):
        case "binary":
            rows[target["name"]] = signal > 0.7
        case "multiclass":
            classes = target["classes"]
            at = np.minimum((signal * len(classes)).astype(int), len(classes) - 1)
            rows[target["name"]] = np.array(classes, dtype=object)[at]
            rows[target["name"]] = rows[target["name"]].astype("str")
        case _:
            answer = contract["prediction"]
            rows[target["name"]] = answer["min"] + signal * (answer["max"] - answer["min"])
    return rows


@pytest.fixture(scope="session")
def rows(contract: dict[str, Any]) -> pd.DataFrame:
    return draw_rows(contract, 3000)
