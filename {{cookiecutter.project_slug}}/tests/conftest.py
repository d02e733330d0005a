"""Rows that keep this project's own contract, made up, so that no data need be there."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "contract.yaml").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def params() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return content


def draw_rows(contract: dict[str, Any], n: int, seed: int = 0) -> pd.DataFrame:
    """`n` labelled rows within the contract's ranges; a later hour is more often late."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(index=range(n))
    for name, column in contract["columns"].items():
        if column["type"] == "datetime":
            rows[name] = pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(n), unit="h")
        elif column["type"] == "string":
            rows[name] = random.choice(column.get("values", ["one", "two", "three"]), n)
        else:
            rows[name] = random.uniform(column.get("min", 0), column.get("max", 1), n)
            if column["type"] == "integer":
                rows[name] = rows[name].round().astype(int)
        if column.get("nullable"):
            rows.loc[random.random(n) < 0.1, name] = None
    rows[contract["target"]["name"]] = random.random(n) < rows["hour"] / 30
    return rows


@pytest.fixture(scope="session")
def rows(contract: dict[str, Any]) -> pd.DataFrame:
    return draw_rows(contract, 3000)
