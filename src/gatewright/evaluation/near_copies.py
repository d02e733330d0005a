"""Test rows that stand in the training rows in disguise: alike in all but a few columns.

Rows are linked as records are that share no key (Fellegi and Sunter 1969, A Theory for Record
Linkage), by locality-sensitive hashing (Indyk and Motwani 1998): numbers are cut by their ranks on
a grid with a random offset, and rows meet that agree in the label and in a random set of columns.
Of each random order of the columns the shortest beginning is taken in which rows hardly ever meet
by chance, so that a copy is found in whichever few columns it differs. Chance is what test rows
meet among each other, where nobody can plant a copy, and among the champion's rows; without a
champion, what the later half of the training rows meets in the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.intervals import normal, share_error
from gatewright.evaluation.row_grid import Grid, GridRows, Hashes, cell_codes, mixed_with

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

ORDERS = 16  # random orders of the columns
GRIDS = (16, 64, 256, 1024)  # cells of a column; finer ones where few columns tell rows apart
CHANCE = 0.01  # of the rows may meet another by chance in one order
AGREE = 2  # orders in which a test row must meet a training row to be taken for its copy
BLOCK = 250_000  # rows that are hashed at once
TESTED, USUAL = 50_000, 100_000  # rows of the test set, and of those that say what is usual
TRIED = 15_000  # rows of either side by which orders are cut
TIMES = 2  # as many new rows as test rows are looked at, of more a random choice
FEWEST = 50  # rows; fewer new ones are no matter
CONFIDENCE = 0.99  # as this is asked at each update
_NONE = np.empty(0, np.uint64)


@dataclass(frozen=True)
class NearCopies:
    """The share of test rows with a copy among the `new` training rows, and what is usual.

    beyond: the share less the usual one, with its interval. None where rows of this table are
    alike by chance, so that a copy cannot be told.
    """

    new: int
    share: float
    usual: float
    beyond: Estimate | None


def find_near_copies(
    train: pd.DataFrame,
    known: pd.DataFrame | None,
    test: pd.DataFrame,
    contract: Contract,
    features: Sequence[str],
    seed: int = 0,
) -> NearCopies:
    """Look for test rows among the training rows that are not among the champion's, `known`.

    features: the columns that are compared. Time and memory are linear in the rows.
    """
    draw = np.random.default_rng([seed, 7])
    target = contract.target.name
    tables = [train, test] if known is None else [train, test, known]
    names = [name for name in features if all(name in table for table in tables)]
    if known is not None and target not in known:
        known = None
    test = _some(test, TESTED, draw)
    grid = Grid(names, contract, test)
    new = _new(train, known, grid)
    if len(new) < FEWEST or len(test) < FEWEST or not names:
        return NearCopies(len(new), 0.0, 0.0, Estimate(0.0, 0.0, 0.0))
    tested = grid.read(test)
    if known is None:
        sides = _halves(train, contract, draw)
        usual = [_Chance(tested, tested), _Chance(*map(grid.read, sides))]
    else:
        usual = [
            _Chance(tested, tested),
            _Chance(tested, grid.read(_some(known, USUAL, draw))),
        ]
    # Among very many rows every row is like another: some of them say as much of all.
    some = new[np.sort(draw.permutation(len(new))[: TIMES * len(test)])]
    orders = [order for _ in range(ORDERS) if (order := _order(usual, len(names), len(some), draw))]
    if len(orders) < AGREE:
        return NearCopies(len(new), 0.0, 0.0, None)
    blocks = (grid.read(train.iloc[some[at : at + BLOCK]]) for at in range(0, len(some), BLOCK))
    copies = _meetings(tested, blocks, orders) >= AGREE
    share, error = float(copies.mean()), share_error(copies)
    expected, error_of_it = max(chance.usual(orders, len(some)) for chance in usual)
    whole = len(new) / len(some)
    away = float(np.hypot(error, error_of_it)) * whole
    beyond = normal((share - expected) * whole, away, CONFIDENCE)
    return NearCopies(len(new), min(share * whole, 1.0), min(expected * whole, 1.0), beyond)


def _new(train: pd.DataFrame, known: pd.DataFrame | None, grid: Grid) -> Integers:
    """Positions of the training rows that are not among the known ones, to the last value."""
    if known is None:
        return np.arange(len(train))
    seen = np.sort(np.concatenate([grid.exact(rows) for rows in _blocks(known)] or [_NONE]))
    fresh = [~_among(grid.exact(rows), seen) for rows in _blocks(train)]
    return np.flatnonzero(np.concatenate(fresh)) if fresh else np.empty(0, np.int64)


def _blocks(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield from (rows[at : at + BLOCK] for at in range(0, len(rows), BLOCK))


def _some(rows: pd.DataFrame, most: int, draw: np.random.Generator) -> pd.DataFrame:
    if len(rows) <= most:
        return rows
    return rows.iloc[np.sort(draw.choice(len(rows), most, replace=False, shuffle=False))]


def _halves(
    train: pd.DataFrame, contract: Contract, draw: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Some of the later half of the rows, and of the earlier one; as they stand without a time."""
    at = np.arange(len(train))
    if contract.time and contract.time in train:
        at = np.argsort(train[contract.time].to_numpy(), kind="stable")
    later, earlier = at[len(at) // 2 :], at[: len(at) // 2]
    return _some(train.iloc[later], TESTED, draw), _some(train.iloc[earlier], USUAL, draw)


@dataclass(frozen=True)
class _Order:
    """The columns that must agree, and for numbers the grid and its offset in each."""

    columns: tuple[int, ...]
    cells: int
    offsets: tuple[float, ...]

    def hashes(self, rows: GridRows) -> Hashes:
        mixed = rows.label
        for at, offset in zip(self.columns, self.offsets, strict=True):
            codes = cell_codes(rows.columns[at], self.cells, offset)
            mixed = mixed_with(mixed, codes + np.uint64(at + 1))
        return mixed


def _meet(asked: Hashes, among: Hashes) -> Flags:
    """Which rows meet another; of the same rows, another than themselves."""
    if asked is among:
        _, where, counts = np.unique(asked, return_inverse=True, return_counts=True)
        return np.asarray(counts[where] > 1)
    return _among(asked, np.sort(among))


def _among(asked: Hashes, known: Hashes) -> Flags:
    """Which are among the known ones, which are sorted."""
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.asarray(known[at] == asked) if len(known) else np.zeros(len(asked), dtype=bool)


@dataclass(frozen=True)
class _Chance:
    """Rows that hold no copies of each other but by chance."""

    asked: GridRows
    among: GridRows

    def first(self, most: int) -> _Chance:
        asked = self.asked.first(most)
        return _Chance(asked, asked if self.among is self.asked else self.among.first(most))

    def rate(self, order: _Order, new: int) -> float:
        """The share of rows that would meet one of `new` rows by chance, in this order."""
        asked = order.hashes(self.asked)
        among = asked if self.among is self.asked else order.hashes(self.among)
        return float(_meet(asked, among).mean()) * new / max(len(self.among), 1)

    def usual(self, orders: list[_Order], new: int) -> tuple[float, float]:
        """The share that would be taken for copies by chance, and its standard error."""
        met = np.zeros(len(self.asked), np.int64)
        for order in orders:
            asked = order.hashes(self.asked)
            among = asked if self.among is self.asked else order.hashes(self.among)
            met += _meet(asked, among)
        copies, times = met >= AGREE, new / max(len(self.among), 1)
        return min(1.0, float(copies.mean()) * times), share_error(copies) * times


def _order(
    usual: list[_Chance], columns: int, new: int, draw: np.random.Generator
) -> _Order | None:
    """A random order of the columns, cut where rows hardly meet by chance; None if they do."""
    order, offsets = draw.permutation(columns), draw.random(columns)
    few = [chance.first(TRIED) for chance in usual]

    def cut(length: int, cells: int) -> _Order:
        return _Order(tuple(order[:length]), cells, tuple(offsets[:length]))

    def rare(made: _Order) -> bool:
        return all(chance.rate(made, new) <= CHANCE for chance in few)

    for cells in GRIDS:
        if not rare(cut(columns, cells)):
            continue
        low, high = 0, columns  # too short, long enough
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if rare(cut(middle, cells)) else (middle, high)
        return cut(high, cells)
    return None


def _meetings(tested: GridRows, blocks: Iterable[GridRows], orders: list[_Order]) -> Integers:
    """For each test row the number of orders in which it meets a row of the blocks."""
    uniques = [np.unique(order.hashes(tested), return_inverse=True) for order in orders]
    met = [np.zeros(len(values), dtype=bool) for values, _ in uniques]
    for block in blocks:
        for order, (values, _), flags in zip(orders, uniques, met, strict=True):
            hashes = order.hashes(block)
            at = np.minimum(np.searchsorted(values, hashes), len(values) - 1)
            flags[at[values[at] == hashes]] = True
    total = np.zeros(len(tested), np.int64)
    for (_, where), flags in zip(uniques, met, strict=True):
        total += flags[where]
    return total
