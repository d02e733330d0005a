"""Two sets of training rows, read so that values, keys and labels can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.errors import Refused
from gatewright.evaluation.predictions import Floats

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


RARE = 50  # a category with fewer rows than this shares one code with the other rare ones


@dataclass(frozen=True)
class TrainingRows:
    """The champion's rows, the first `old`, and after them the candidate's; all of shape (n,).

    codes: of the columns that both have; equal where the values are, -1 where missing.
    numbers: the same columns, unless they are text; texts: what the codes of a text mean.
    label: the target as codes. told: the target as a number, that is the code of its class in
    `classes` or the number itself; NaN if missing.
    """

    old: int
    codes: dict[str, Integers]
    numbers: dict[str, Floats]
    texts: dict[str, list[str]]
    label: Integers
    told: Floats
    classes: tuple[str, ...]

    @staticmethod
    def read(before: pd.DataFrame, now: pd.DataFrame, contract: Contract) -> TrainingRows:
        def both(name: str, kind: str) -> pd.Series:
            return pd.concat([_typed(t[name], kind) for t in (before, now)], ignore_index=True)

        codes, numbers, texts = {}, {}, {}
        for name, column in contract.columns.items():
            if column.personal or name not in before or name not in now:
                continue
            values = both(name, column.type)
            found, meant = pd.factorize(values)
            codes[name] = found.astype(np.int64)
            if column.type == "string":
                texts[name] = list(map(str, meant))
            else:
                numbers[name] = values.to_numpy(dtype=float)
        task = contract.target.type
        values = both(contract.target.name, "string" if task == "multiclass" else "number")
        label, found = pd.factorize(values, sort=True)
        if task == "multiclass":
            told, classes = np.where(label < 0, np.nan, label), tuple(map(str, found))
        else:
            told = values.to_numpy(dtype=float)
            classes = ("False", "True") if task == "binary" else ()
        return TrainingRows(
            len(before), codes, numbers, texts, label.astype(np.int64), told, classes
        )

    def matrix(self, at: Integers, contract: Contract) -> NDArray[np.float32]:
        """Inputs for trees: numbers as they are, categories as codes, of what varies at all."""
        columns = []
        for name in contract.features:
            if name not in self.codes:
                continue
            codes = self.codes[name]
            if name in self.numbers:
                column = self.numbers[name][at]
            else:
                often = np.bincount(codes + 1) >= RARE
                ranks = np.where(often, np.cumsum(often), 0.0)
                ranks[0] = np.nan  # missing
                column = ranks[codes[at] + 1]
            if len(np.unique(codes[at])) > 1:
                columns.append(np.where(np.isfinite(column), column, np.nan))
        return np.array(columns, dtype=np.float32).reshape(-1, len(at)).T


def _typed(values: pd.Series, kind: str) -> pd.Series:
    """The values as the contract means them, however a file stores them."""
    if kind == "string":
        if isinstance(values.dtype, pd.StringDtype):
            return values
        return values.astype(object).map(str, na_action="ignore")
    if kind == "datetime":
        times = pd.to_datetime(values, errors="coerce", utc=True).astype("datetime64[ns, UTC]")
        return times.astype("int64").astype(float).where(times.notna())
    plain = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
    return pd.to_numeric(plain, errors="coerce").astype("Float64").astype(float)


def combined_codes(columns: list[Integers], rows: int) -> Integers:
    """One code for what several columns say together."""
    total = np.zeros(rows, dtype=np.int64)
    for codes in columns:
        total = pd.factorize(total * (codes.max(initial=0) + 2) + codes + 1)[0].astype(np.int64)
    return total


def champion_twins(rows: TrainingRows, contract: Contract) -> Integers:
    """For each row of the candidate the champion's row of the same key, or -1."""
    keys = combined_codes([rows.codes[name] for name in contract.key], len(rows.label))
    for whose, part in (("champion", keys[: rows.old]), ("candidate", keys[rows.old :])):
        if len(np.unique(part)) < len(part):
            raise Refused(
                f"The key {', '.join(contract.key)} stands more than once in the {whose}'s "
                "training rows, so it cannot be told what became of which row. Mend the split."
            )
    where = np.full(len(keys) + 1, -1)
    where[keys[: rows.old]] = np.arange(rows.old)
    return where[keys[rows.old :]]
