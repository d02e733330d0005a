"""Stage `check`: does the raw data keep the contract?"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from gatewright.adapters.files import refuse_special, write_whole
from gatewright.adapters.tables import read_parquet
from gatewright.contract.schema import Contract, read_contract
from gatewright.contract.validation import Reason, describe, violations
from gatewright.errors import Refused

RAW = "data/raw"
REPORT = "reports/data.json"


def check(root: Path) -> None:
    """Refuse raw data that breaks the contract, with a table; else write reports/data.json."""
    contract = read_contract(root)
    refuse_special(root / RAW)
    tables = {path.name: read_parquet(path) for path in sorted((root / RAW).glob("*.parquet"))}
    if others := sorted(p.name for p in (root / RAW).glob("*") if not _is_known(p)):
        raise Refused(
            f"{RAW} holds {', '.join(others[:5])}, and only Parquet files are read there, so its "
            f"rows would be missing without a word. Move it elsewhere, and bring it in: `uv run "
            "mlops ingest FILE`."
        )
    if not tables:
        raise Refused(f"There is no Parquet file in {RAW}. Run `uv run mlops setup` to get it.")
    wrong = faults(contract, tables)
    if not wrong.empty:
        raise Refused(
            f"The data in {RAW} does not keep contract.yaml, so nothing is trained on it:\n"
            f"{as_text(wrong)}\n"
            "Mend the files, or change contract.yaml if the world has changed, and run again."
        )
    summary = {
        name: {
            "rows": len(rows),
            **_target(rows[contract.target.name], contract),
            "missing": {n: round(float(v), 4) for n, v in rows.isna().mean().items() if v},
        }
        for name, rows in tables.items()
    }
    write_whole(root / REPORT, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    print(f"{len(tables)} files, {sum(map(len, tables.values())):,} rows: contract kept")


def public_rows(root: Path, contract: Contract) -> pd.DataFrame:
    """All rows of data/raw, in the order of the files, without the personal columns."""
    names = [name for name, column in contract.columns.items() if not column.personal]
    files = sorted((root / RAW).glob("*.parquet"))
    if not files:
        raise Refused(f"There is no Parquet file in {RAW}. Run `uv run mlops setup` to get it.")
    wanted = [*names, contract.target.name]
    return pd.concat([read_parquet(path, columns=wanted) for path in files], ignore_index=True)


def _is_known(path: Path) -> bool:
    return path.suffix == ".parquet" or path.name in (".gitignore", ".DS_Store")


def faults(
    contract: Contract,
    tables: Mapping[str, pd.DataFrame],
    arriving: bool = False,
    known: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> pd.DataFrame:
    """What is wrong with the tables of some files, a line a fault, with the name of its file.

    `known` are the keys of other files, which must not come again; `arriving` as in `violations`.
    """
    found = [violations(contract, rows, arriving).assign(file=n) for n, rows in tables.items()]
    wrong = pd.concat(found, ignore_index=True)
    return wrong if len(wrong) else _twice(list(contract.key), {**known, **tables})


def as_text(wrong: pd.DataFrame) -> str:
    """The faults as words, the file first."""
    shown = [name for name in wrong.columns if name not in ("file", "reason")]
    return str(wrong.to_string(index=False, columns=["file", *shown]))


def _target(values: pd.Series, contract: Contract) -> dict[str, Any]:
    """What is told of the target: the share of the event or of each class, or the mean."""
    name = contract.target.name
    if contract.target.type == "multiclass":
        shares = values.value_counts(normalize=True)
        return {f"share {name}": {c: round(float(shares.get(c, 0)), 4) for c in contract.classes}}
    word = "share" if contract.classes else "mean"
    return {f"{word} {name}": round(float(values.mean()), 4)}


def _twice(key: list[str], tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Keys that stand in more than one file, as a fault for each file that has them again."""
    keys = pd.concat([rows[key].assign(file=name) for name, rows in tables.items()])
    again = keys[keys.duplicated(key)]
    return (
        again.assign(reason=Reason.KEY_IN_ANOTHER_FILE)
        .groupby("file", as_index=False)
        .agg(
            reason=("reason", "first"),
            column=("file", lambda _: ", ".join(key)),
            fault=("file", lambda _: describe(Reason.KEY_IN_ANOTHER_FILE)),
            rows=("file", "size"),
        )
    )
