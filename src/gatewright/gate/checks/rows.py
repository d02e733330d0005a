"""Check `rows`: are there enough test rows?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gatewright.contract.schema import Contract, Strict
from gatewright.gate.checks.base import Check, Finding


class RowsCheck(Check):
    """Are there enough test rows to measure anything?"""

    id = "rows"

    class Settings(Strict):
        min: int = Field(default=1000, ge=1)
        min_each_class: int = Field(default=100, ge=1)
        min_groups: int = Field(default=50, ge=2)

    @staticmethod
    def check(
        settings: Settings,
        truth: NDArray[Any],
        contract: Contract,
        groups: NDArray[np.int64] | None,
    ) -> Iterator[Finding]:
        counts = [("test rows", len(truth), settings.min)]
        if contract.classes:
            fewest = int(np.bincount(truth, minlength=len(contract.classes)).min())
            counts.append(("rows of the rarest class", fewest, settings.min_each_class))
        if groups is not None:
            counts.append(("groups", len(np.unique(groups)), settings.min_groups))
        for subject, count, bound in counts:
            enough = count >= bound
            yield Finding(
                "pass" if enough else "refuse",
                f"{count:,} of at least {bound:,}",
                subject,
                bound=bound,
            )
