"""Stage `check`: does the raw data keep the contract?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from mlops.artefacts.contract import read_contract, violations
from mlops.artefacts.files import write_whole
from mlops.errors import Refused

RAW = "data/raw"
REPORT = "reports/data.json"


def check(root: Path) -> None:
    """Refuse raw data that breaks the contract, with a table; else write reports/data.json."""
    contract = read_contract(root)
    target = contract.target.name
    paths = sorted((root / RAW).glob("*.parquet"))
    if not paths:
        raise Refused(f"There is no Parquet file in {RAW}. Run `uv run mlops setup` to get it.")
    faults: list[pd.DataFrame] = []
    keys: list[pd.DataFrame] = []
    summary: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            rows = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise Refused(f"{path} is no readable Parquet file ({error}); nothing runs.") from None
        found = violations(contract, rows)
        found.insert(0, "file", path.name)
        if personal := [n for n, c in contract.columns.items() if c.personal]:
            found.loc[found["column"].isin(personal), "example"] = "(personal)"
        faults.append(found)
        if found.empty:
            keys.append(rows[list(contract.key)].assign(file=path.name))
            summary[path.name] = {
                "rows": len(rows),
                f"share {target}": round(float(rows[target].mean()), 4),
                "missing": {n: round(float(v), 4) for n, v in rows.isna().mean().items() if v},
            }
    wrong = pd.concat(faults, ignore_index=True)
    if wrong.empty:
        every = pd.concat(keys, ignore_index=True)
        twice = every[every.duplicated(list(contract.key))]
        if not twice.empty:
            wrong.loc[0] = [
                twice["file"].iloc[0],
                ", ".join(contract.key),
                "the key stands in another file too",
                len(twice),
                int(twice.index[0]),
                str(tuple(twice.iloc[0][list(contract.key)])),
            ]
    if not wrong.empty:
        raise Refused(
            f"The data in {RAW} does not keep contract.yaml, so nothing is trained on it:\n"
            f"{wrong.to_string(index=False)}\n"
            "Mend the files, or change contract.yaml if the world has changed, and run again."
        )
    write_whole(root / REPORT, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    print(f"{len(paths)} files, {sum(s['rows'] for s in summary.values()):,} rows: contract kept")
