"""Read a table and write the page about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gatewright.adapters.databases import name_of
from gatewright.adapters.files import write_whole
from gatewright.adapters.source_files import read_source
from gatewright.contract.schema import read_contract
from gatewright.errors import Misuse, Refused
from gatewright.looking.facts import facts_of, periods_of
from gatewright.looking.page import page_of
from gatewright.looking.suspicions import Suspicion, suspicions
from gatewright.pipeline.data_check import RAW, public_rows
from gatewright.sources.guess_target import FEW_NUMBERS
from gatewright.sources.guess_types import guess_type
from gatewright.sources.recipe import Recipe, read_table

PAGE = "reports/look.html"


def look_at_raw(root: Path, out: Path) -> list[Suspicion]:
    """Write the page about data/raw. Personal columns are left out of it."""
    contract = read_contract(root)
    rows = public_rows(root, contract)
    lead = f"{len(rows):,} rows in {RAW}, {rows.shape[1]} columns."
    return _write(out, contract.name, lead, rows, contract.target.name, contract.time)


def look_at_file(
    place: str, out: Path, target: str | None, query: str | None = None
) -> list[Suspicion]:
    """Write the page about any table that `mlops adopt` could read."""
    table = read_source(place, query).table
    if target is not None and target not in table.column_names:
        shown = ", ".join(table.column_names[:40])
        raise Misuse(f"There is no column '{target}' in the table. There are: {shown}.")
    guesses = {name: guess_type(table.column(name), name).how for name in table.column_names}
    columns = {name: how for name, how in guesses.items() if how is not None}
    left_out = {name: "" for name in guesses if name not in columns}
    rows, _ = read_table(table, Recipe(columns=columns, left_out=left_out, target=target or "-"))
    dates = [name for name in rows if rows[name].dtype.kind == "M" and rows[name].notna().all()]
    lead = f"{len(rows):,} rows of {name_of(place)}, {table.num_columns} columns."
    if left_out:
        lead += f" Without a value, or with one: {', '.join(left_out)}."
    if target in left_out:
        raise Refused(f"The target '{target}' has one value in all rows, so nothing is to be seen.")
    return _write(out, name_of(place), lead, rows, target, dates[0] if dates else None)


def _write(
    out: Path, title: str, lead: str, rows: pd.DataFrame, target: str | None, time: str | None
) -> list[Suspicion]:
    numbers, told = _as_number(rows[target]) if target else (None, "")
    period = periods_of(rows[time]) if time else None
    facts = [facts_of(name, rows[name], numbers, period) for name in rows]
    is_number = target is not None and _is_amount(rows[target])
    found = suspicions(rows, facts, target, is_number)
    if time:
        low, high = rows[time].min(), rows[time].max()
        lead += f" From {low:%Y-%m-%d} to {high:%Y-%m-%d}."
    write_whole(out, page_of(title, lead, facts, found, target, told))
    return found


def _is_amount(target: pd.Series) -> bool:
    """Whether a target is a number, and no code of a class."""
    return target.dtype.kind in "iuf" and target.nunique() > FEW_NUMBERS


def _as_number(target: pd.Series) -> tuple[np.ndarray | None, str]:
    """The target as a number, and what its mean is called; None for several classes."""
    if target.dtype.kind == "b":
        return np.asarray(target.to_numpy(dtype=float)), f"share of {target.name}"
    if target.dtype.kind in "iuf":
        return np.asarray(target.to_numpy(dtype=float, na_value=np.nan)), f"mean of {target.name}"
    values = target.dropna().unique()
    if len(values) == 2:
        event = sorted(map(str, values))[-1]
        found = np.where(target.isna(), np.nan, (target.astype("str") == event).astype(float))
        return found, f"share of {target.name}: {event}"
    return None, ""
