"""Rows that belong together, so that they are not taken for independent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gatewright.contract.schema import Contract
from gatewright.errors import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray


def groups_of(rows: pd.DataFrame, contract: Contract) -> NDArray[np.int64] | None:
    """Codes from 0 of the groups that are resampled whole, shape (n,).

    A missing value is a group too. None if the contract names no group. Raises Refused if the rows
    lack its column.
    """
    if contract.group is None:
        return None
    column = contract.time if contract.period else contract.group
    if column not in rows:
        raise Refused(f"The rows lack {column}, by which they are grouped ({contract.group}).")
    values = rows[column]
    if contract.period:
        times = pd.to_datetime(values.reset_index(drop=True))
        if times.dt.tz is not None:
            times = times.dt.tz_localize(None)  # its own clock's days
        values = times.dt.to_period(contract.period)
    return np.asarray(pd.factorize(values, use_na_sentinel=False)[0])


def coarsest_groups(rows: pd.DataFrame, contracts: Iterable[Contract]) -> NDArray[np.int64] | None:
    """As `groups_of`, by the contract with the fewest groups: its intervals are the widest."""
    found = [groups for contract in contracts if (groups := groups_of(rows, contract)) is not None]
    return min(found, key=lambda groups: groups.max(initial=-1), default=None)
