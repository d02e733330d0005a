"""What became of the rows that only ever test."""

from dataclasses import dataclass

import pandas as pd

from gatewright.errors import Refused


@dataclass(frozen=True)
class Holdout:
    """Counts of rows, told apart by the contract's key.

    gone, changed, added: of the test set, against the one that was known before.
    seen: rows of the test set that were trained on.
    """

    gone: int
    changed: int
    added: int
    seen: int


def compare(
    known: pd.DataFrame | None, test: pd.DataFrame, train: pd.DataFrame, key: list[str]
) -> Holdout:
    """Compare a test set with the known one (if there is one) and with the training rows."""
    now = _by_key(test, key)
    trained = _by_key(train[key], key).index
    if known is None:
        return Holdout(0, 0, 0, int(now.index.isin(trained).sum()))
    before = _by_key(known, key)
    seen = now.index.union(before.index).isin(trained).sum()
    stays = before.index.isin(now.index)
    old = before[stays]
    new = now.loc[old.index]
    differs = pd.Series(False, index=old.index)
    for column in old.columns.intersection(new.columns):
        a, b = old[column], new[column]
        differs |= ~((a == b) | (a.isna() & b.isna())).fillna(False).astype(bool)
    added = ~now.index.isin(before.index)
    return Holdout(int((~stays).sum()), int(differs.sum()), int(added.sum()), int(seen))


def complete(known: pd.DataFrame, test: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The known rows, with the columns that only the new test set has."""
    more = [name for name in test.columns if name not in known.columns]
    if not more:
        return known
    new = _by_key(test, key)[more].reindex(_by_key(known, key).index)
    return known.assign(**{name: new[name].to_numpy() for name in more})


def _by_key(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    if absent := [name for name in key if name not in rows]:
        raise Refused(f"A table lacks the key columns {', '.join(absent)}: no row can be told.")
    indexed = rows.set_index(key)
    if not indexed.index.is_unique:
        raise Refused(f"The key {', '.join(key)} stands more than once in a table of rows.")
    return indexed
