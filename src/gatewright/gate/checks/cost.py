"""Check `cost`: do its recommendations cost less than one action for all?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gatewright.contract.schema import Contract, Strict
from gatewright.evaluation.intervals import mean_error, normal
from gatewright.evaluation.predictions import Answers
from gatewright.gate.checks.base import Check, Finding, shown
from gatewright.gate.checks.limits import (
    Bound,
)
from gatewright.gate.inputs import CANDIDATE


class CostCheck(Check):
    """Does what the model recommends cost less than doing the same for everybody?"""

    id = "cost"

    class Settings(Strict):
        margin: float = Field(default=0.0, ge=0)

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        truth: NDArray[Any],
        train: Any,
        answers: dict[str, Answers],
        groups: NDArray[np.int64] | None,
    ) -> Iterator[Finding]:
        decision = contract.decision
        if decision is None:
            yield Finding("pass", "contract.yaml names no decision, so nothing is recommended")
            return
        costs, codes = np.array(contract.costs), truth.astype(int)
        shares = train[contract.target.name].value_counts(normalize=True)
        by_class = np.array([shares.get(value, 0.0) for value in contract.classes])
        always = int((by_class @ costs).argmin())  # the cheapest, as training data has it
        said = answers[CANDIDATE].labels
        saved = costs[codes, always] - costs[codes, said]
        got = normal(float(saved.mean()), mean_error(saved, groups))
        action = decision.actions[contract.classes[always]]
        share = float((said != always).mean())
        message = (
            f"saves {shown(got)} {decision.unit} a row against '{action}' for all, all of it to be "
            f"at least {settings.margin:g}; recommends otherwise for {share:.1%}"
        )
        state = Bound(min=settings.margin).state(got)
        yield Finding(state, message, "expected cost", got, settings.margin)
