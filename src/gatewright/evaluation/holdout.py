"""What became of the rows that only ever test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.errors import Refused


@dataclass(frozen=True)
class Holdout:
    """Counts of rows, told apart by the contract's key.

    gone, changed, added: of the test set, against the one that was known before.
    seen: rows of the test set that were trained on. moved: the places in the test set of those
    that have other values.
    """

    gone: int
    changed: int
    added: int
    seen: int
    moved: NDArray[np.int64] = field(
        default_factory=lambda: np.empty(0, dtype=np.int64), compare=False, repr=False
    )


def compare(
    known: pd.DataFrame | None, test: pd.DataFrame, train: pd.DataFrame, key: list[str]
) -> Holdout:
    """Compare a test set with the known one (if there is one) and with the training rows.

    Values are compared column by column, so that no second copy of a table is held. Raises Refused
    if a table lacks a column of the key, or if a key stands twice in one.
    """
    aligned = known is not None and _same_keys(known, test, key)
    tables = [test, train] if known is None or aligned else [test, train, known]
    now, trained, *before = _codes(tables, key)
    if aligned:
        before = [now]
    count = 1 + max(int(codes.max(initial=-1)) for codes in (now, trained, *before))
    tested, seen = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    seen[trained] = tested[now] = True
    if known is None:
        return Holdout(0, 0, 0, int((tested & seen).sum()))
    where = np.full(count, -1)
    where[now] = np.arange(len(now))
    twins = where[before[0]]
    stays = np.flatnonzero(twins >= 0)
    twins = twins[stays]
    differs = np.zeros(len(stays), dtype=bool)
    for column in known.columns.intersection(test.columns).difference(key):
        a, b = (_at(table[column], rows) for table, rows in ((known, stays), (test, twins)))
        same = ((a == b) | (a.isna() & b.isna())).fillna(False)
        differs |= ~same.to_numpy(dtype=bool)
    tested[before[0]] = True
    return Holdout(
        gone=len(known) - len(stays),
        changed=int(differs.sum()),
        added=len(test) - len(stays),
        seen=int((tested & seen).sum()),
        moved=twins[differs],
    )


def lacking(before: pd.DataFrame, after: pd.DataFrame, key: list[str]) -> NDArray[np.bool_]:
    """Which rows of `after` the other table lacks, by their key; shape (rows of after,)."""
    old, new = _codes([before, after], key)
    return ~np.isin(new, old)


def waiting(
    steps: Iterable[tuple[pd.DataFrame, pd.DataFrame, bool]], key: list[str]
) -> pd.DataFrame | None:
    """The keys of the rows that judge nothing, because no change of data alone brought them.

    A step is the test set before and after a change, and whether that was one of data alone.
    """
    keys: pd.DataFrame | None = None
    for before, after, data_alone in steps:
        new = after.loc[lacking(before, after, key), key]
        if not data_alone:
            keys = new if keys is None else pd.concat([keys, new]).drop_duplicates()
        elif keys is not None:
            keys = keys[lacking(new, keys, key)]
    return keys if keys is not None and len(keys) else None


def _same_keys(known: pd.DataFrame, test: pd.DataFrame, key: list[str]) -> bool:
    """Whether the rows of both tables have the same keys in the same order, as most often."""
    there = all(name in known and name in test for name in key)
    return there and all(
        known[name].reset_index(drop=True).equals(test[name].reset_index(drop=True)) for name in key
    )


def _at(values: pd.Series, rows: NDArray[np.int64]) -> pd.Series:
    if len(rows) == len(values) and np.array_equal(rows, np.arange(len(rows))):
        return values.reset_index(drop=True)
    return values.iloc[rows].reset_index(drop=True)


def _codes(tables: Sequence[pd.DataFrame], key: list[str]) -> list[NDArray[np.int64]]:
    """For each table the codes of its keys, shape (n,): equal where keys are, from 0 on."""
    for table in tables:
        _need_key(table, key)
    total, size = np.zeros(sum(map(len, tables)), dtype=np.int64), 1
    for name in key:
        column = pd.concat([table[name] for table in tables], ignore_index=True)
        codes = pd.factorize(column)[0]
        width = int(codes.max(initial=0)) + 2
        if size * width >= 2**62:  # the code of the columns so far would not fit with this one
            total, size = pd.factorize(total)[0].astype(np.int64), len(total)
        total *= width
        total += codes + 1
        size *= width
    total = pd.factorize(total)[0].astype(np.int64)
    found = np.split(total, np.cumsum([len(table) for table in tables])[:-1])
    for codes in found:
        if len(codes) and np.bincount(codes).max() > 1:
            raise _twice(key)
    return found


def complete(known: pd.DataFrame, test: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The known rows, with the columns that only the new test set has."""
    more = [name for name in test.columns if name not in known.columns]
    if not more:
        return known
    new = _by_key(test, key)[more].reindex(_by_key(known, key).index)
    return known.assign(**{name: new[name].to_numpy() for name in more})


def _by_key(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    _need_key(rows, key)
    indexed = rows.set_index(key)
    if not indexed.index.is_unique:
        raise _twice(key)
    return indexed


def _need_key(rows: pd.DataFrame, key: list[str]) -> None:
    if absent := [name for name in key if name not in rows]:
        raise Refused(f"A table lacks the key columns {', '.join(absent)}: no row can be told.")


def _twice(key: list[str]) -> Refused:
    return Refused(f"The key {', '.join(key)} stands more than once in a table of rows.")
