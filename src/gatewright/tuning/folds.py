"""On which rows parameters are tried: by time where there is one, groups whole."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from gatewright.contract.schema import Contract
from gatewright.evaluation.groups import groups_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Fold = tuple["NDArray[np.int64]", "NDArray[np.int64]"]


def folds_of(rows: pd.DataFrame, contract: Contract, number: int) -> list[Fold]:
    """Positions that learn and that ask, for each of `number` folds.

    With a time column each fold asks rows that came after all that it learns from, as it will be;
    else rows of one group, or of one key, are in one fold (by CRC-32, which no release changes).
    """
    if contract.time:
        order = np.argsort(rows[contract.time].to_numpy(), kind="stable")
        parts = np.array_split(order, number + 1)
        return [
            (np.sort(np.concatenate(parts[: n + 1])), np.sort(parts[n + 1])) for n in range(number)
        ]
    groups = groups_of(rows, contract)
    if groups is None:
        text = rows[list(contract.key)].astype(str).agg("|".join, axis=1)
        side = text.map(lambda key: zlib.crc32(key.encode()) % number).to_numpy()
    else:
        side = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % number
    return [(np.flatnonzero(side != n), np.flatnonzero(side == n)) for n in range(number)]
