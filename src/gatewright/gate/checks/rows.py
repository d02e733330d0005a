"""Check `rows`: are there enough test rows?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gatewright.contract.schema import Contract, Strict
from gatewright.gate.checks.base import Check, Finding, Status


class RowsCheck(Check):
    """Are there enough test rows to measure anything?"""

    id = "rows"

    class Settings(Strict):
        min: int = Field(default=1000, ge=1)
        min_each_class: int = Field(default=100, ge=1)
        min_groups: int = Field(default=50, ge=2)
        enough: int | None = Field(default=None, ge=1)
        enough_each_class: int | None = Field(default=None, ge=1)
        enough_groups: int | None = Field(default=None, ge=2)

    @staticmethod
    def check(
        settings: Settings,
        truth: NDArray[Any],
        contract: Contract,
        groups: NDArray[np.int64] | None,
    ) -> Iterator[Finding]:
        counts = [("test rows", len(truth), settings.min, settings.enough)]
        if contract.classes:
            fewest = int(np.bincount(truth, minlength=len(contract.classes)).min())
            least = (settings.min_each_class, settings.enough_each_class)
            counts.append(("rows of the rarest class", fewest, *least))
        if groups is not None:
            there = len(np.unique(groups))
            counts.append(("groups", there, settings.min_groups, settings.enough_groups))
        for subject, count, bound, enough in counts:
            words = f"{count:,} of at least {bound:,}"
            status: Status = "pass" if count >= bound else "refuse"
            if status == "pass" and enough is not None and count < enough:
                status, words = "unsure", f"{count:,}, where {enough:,} could tell good from bad"
            yield Finding(status, words, subject, bound=bound)
