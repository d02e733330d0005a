"""Rows as ranks and hashes, so that rows that are nearly alike fall into the same cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.evaluation.predictions import Floats

Hashes = NDArray[np.uint64]
Ranks = NDArray[np.float32]

REFERENCE = 4096  # values by which others are ranked
LABELS = 8  # equal shares of a numeric target that are its classes
_MISSING = np.uint64(2**40)
_MIX = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing


@dataclass(frozen=True)
class GridRows:
    """Rows as ranks in [0, 1] (numbers) and hashes (text), by column, and their labels hashed."""

    columns: tuple[Ranks | Hashes, ...]
    label: Hashes

    def __len__(self) -> int:
        return len(self.label)

    def first(self, most: int) -> GridRows:
        """An even choice of at most so many."""
        step = max(1, -(-len(self) // most))
        return GridRows(tuple(column[::step] for column in self.columns), self.label[::step])


class Grid:
    """Reads rows of some columns and the target; ranks are those among the test rows."""

    def __init__(self, names: list[str], contract: Contract, test: pd.DataFrame) -> None:
        self.names, self.contract = names, contract
        self.ranks: dict[str, tuple[Floats, Floats]] = {}
        for name in (*names, contract.target.name):
            if self._is_number(name):
                values = _floats(test[name])
                known = np.sort(values[np.isfinite(values)])
                values = np.unique(known[:: max(1, len(known) // REFERENCE)])
                ranks = np.searchsorted(known, values) + np.searchsorted(known, values, "right")
                self.ranks[name] = values, ranks / max(2 * len(known), 1)

    def _is_number(self, name: str) -> bool:
        if name == self.contract.target.name:
            return self.contract.target.type == "regression"
        return self.contract.columns[name].type in ("number", "integer")

    def read(self, rows: pd.DataFrame) -> GridRows:
        label = cell_codes(self._column(rows, self.contract.target.name), LABELS, 0.0)
        return GridRows(tuple(self._column(rows, name) for name in self.names), label)

    def exact(self, rows: pd.DataFrame) -> Hashes:
        """A hash of each row, of its values as the contract means them."""
        mixed = np.zeros(len(rows), np.uint64)
        for name in (*self.names, self.contract.target.name):
            if name in self.ranks:
                hashed = pd.util.hash_array(_floats(rows[name]))
            else:
                hashed = _text(rows[name])
            mixed = mixed_with(mixed, hashed)
        return mixed

    def _column(self, rows: pd.DataFrame, name: str) -> Ranks | Hashes:
        if name not in self.ranks:
            return _text(rows[name])
        values, (known, ranks) = _floats(rows[name]), self.ranks[name]
        if not len(known):
            return np.where(np.isnan(values), np.nan, 0.0).astype(np.float32)
        return np.interp(values, known, ranks).astype(np.float32)  # what is missing stays so


def _text(values: pd.Series) -> Hashes:
    codes, meant = pd.factorize(values)
    hashed = pd.util.hash_array(np.array([*map(str, meant), ""], dtype=object), categorize=False)
    return np.asarray(hashed[codes], dtype=np.uint64)


def mixed_with(hashes: Hashes, more: Hashes) -> Hashes:
    mixed = (hashes ^ more) * _MIX
    return np.asarray(mixed ^ (mixed >> np.uint64(29)))


def _floats(values: pd.Series) -> Floats:
    return np.asarray(pd.to_numeric(values, errors="coerce").to_numpy(float, na_value=np.nan))


def cell_codes(column: Ranks | Hashes, cells: int, offset: float) -> Hashes:
    """Hashes as they are, ranks as the cells in which they lie."""
    if column.dtype == np.uint64:
        return np.asarray(column, dtype=np.uint64)
    ranks = np.asarray(column, dtype=np.float32)
    missing = np.isnan(ranks)
    found = np.where(missing, 0, np.floor(ranks * cells + offset)).astype(np.uint64)
    return np.where(missing, _MISSING, found)
