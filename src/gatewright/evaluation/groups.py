"""Rows that belong together, so that they are not taken for independent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gatewright.contract.schema import PERIODS, Contract

if TYPE_CHECKING:
    from numpy.typing import NDArray


def groups_of(rows: pd.DataFrame, contract: Contract) -> NDArray[np.int64] | None:
    """Codes from 0 of the groups that are resampled whole, shape (n,).

    A missing value is a group too. None if the contract names no group.
    """
    if contract.group is None:
        return None
    if contract.group in contract.columns:
        values = rows[contract.group]
    else:
        times = pd.to_datetime(rows[contract.time].reset_index(drop=True))
        if times.dt.tz is not None:
            times = times.dt.tz_localize(None)  # its own clock's days
        values = times.dt.to_period(PERIODS[contract.group])
    return np.asarray(pd.factorize(values, use_na_sentinel=False)[0])
