"""Check `cost`: do its recommendations cost less than one action for all?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from gatewright.contract.schema import Contract, Strict
from gatewright.evaluation.intervals import below, holm, mean_error, normal, reach
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.slices import parts
from gatewright.gate.checks.base import Check, Finding, shown
from gatewright.gate.checks.limits import (
    Bound,
    Margin,
    margin_of,
    margins_fit,
)
from gatewright.gate.inputs import CANDIDATE, CHAMPION, Sampling


class CostCheck(Check):
    """Does what the model recommends cost less than doing the same for everybody?"""

    id = "cost"
    compares = True

    class Settings(Strict):
        margin: float = Field(default=0.0, ge=0)
        slice_margin: Margin = "5%"
        min_rows: int = Field(default=500, ge=2)

        @field_validator("slice_margin")
        @classmethod
        def _margin(cls, margin: Margin, info: ValidationInfo) -> Margin:
            margins_fit({"expected_cost": margin}, info)
            return margin

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        rows: pd.DataFrame,
        truth: NDArray[Any],
        train: Any,
        answers: dict[str, Answers],
        groups: NDArray[np.int64] | None,
        sampling: Sampling,
        questions: int = 1,
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
        error = mean_error(saved, groups) * reach(sampling.confidence, questions)
        got = normal(float(saved.mean()), error, sampling.confidence)
        action = decision.actions[contract.classes[always]]
        share = float((said != always).mean())
        message = (
            f"saves {shown(got)} {decision.unit} a row against '{action}' for all, all of it to be "
            f"at least {settings.margin:g}; recommends otherwise for {share:.1%}"
        )
        state = Bound(min=settings.margin).state(got)
        yield Finding(state, message, "expected cost", got, settings.margin)
        if CHAMPION in answers:
            now, before = (costs[codes, answers[name].labels] for name in (CANDIDATE, CHAMPION))
            columns = [rows[name] for name in contract.slices if name in rows]
            yield from _by_slice(settings, columns, now, before, groups, sampling, decision.unit)


def _by_slice(
    settings: CostCheck.Settings,
    columns: list[pd.Series],
    now: NDArray[np.float64],
    before: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
    sampling: Sampling,
    unit: str,
) -> Iterator[Finding]:
    """Slices that are proven to cost more than under the champion, with Holm's correction.

    now, before: what each row costs by candidate and champion, shape (n,).
    """
    claims, chances = [], []
    for column in columns:
        for value, at in parts(column):
            if len(at) < settings.min_rows:
                continue
            more = now[at] - before[at]
            error = mean_error(more, groups if groups is None else groups[at])
            margin = margin_of(settings.slice_margin, float(np.abs(before[at]).mean()))
            got = normal(float(more.mean()), error, sampling.confidence)
            words = f"costs {shown(got)} {unit} a row more than under the champion, margin"
            said = f"{words} {margin:.4g}"
            claims.append(Finding("refuse", said, f"{column.name} {value}", got, margin))
            chances.append(below(-float(more.mean()), -margin, error))
    worse = holm(chances, 1 - sampling.confidence)
    yield from (claim for claim, proven in zip(claims, worse, strict=True) if proven)
    if claims and not any(worse):
        yield Finding("pass", f"no slice of {len(claims)} is proven to cost more", "slices")
