"""Check `fairness`: do groups of people get other answers, or more errors?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator

from gatewright.contract.schema import Contract, Strict
from gatewright.errors import Refused
from gatewright.evaluation.intervals import mean_error, normal, reach
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.slices import parts
from gatewright.gate.checks.base import Check, Finding, require_columns, shown
from gatewright.gate.checks.limits import (
    Bound,
)
from gatewright.gate.inputs import CANDIDATE, Sampling

Rate = Literal["selection_rate", "true_positive_rate", "false_positive_rate", "error_rate"]
GAPS: dict[Rate, float] = {
    "selection_rate": 0.2,
    "true_positive_rate": 0.2,
    "false_positive_rate": 0.2,
}


class FairnessCheck(Check):
    """Do groups of people get other answers, or more errors, than the rest?

    Differences of rates between each group and all others (Hardt, Price and Srebro 2016 for the
    error rates), with intervals that hold together for all comparisons (Bonferroni).
    """

    id = "fairness"

    class Settings(Strict):
        columns: tuple[str, ...] = ()
        min_rows: int = Field(default=200, ge=1)
        max_gap: dict[Rate, float] = Field(default_factory=lambda: dict(GAPS))

        @field_validator("max_gap")
        @classmethod
        def _shares(cls, gaps: dict[Rate, float]) -> dict[Rate, float]:
            if wrong := [name for name, gap in gaps.items() if not 0 <= gap <= 1]:
                raise ValueError(f"a gap between rates lies from 0 to 1: {', '.join(wrong)}")
            return gaps

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        rows: pd.DataFrame,
        truth: NDArray[Any],
        answers: Mapping[str, Answers],
        groups: NDArray[np.int64] | None,
        sampling: Sampling,
        questions: int = 1,
    ) -> Iterator[Finding]:
        if not settings.columns:
            yield Finding("pass", "no groups are named (fairness.columns), so none are compared")
            return
        require_columns(settings.columns, rows)
        chosen = {name: _rate(name, contract, truth, answers) for name in settings.max_gap}
        compared = [
            (f"{column} {value}", name, index)
            for column in settings.columns
            for value, index in parts(rows[column])
            for name in settings.max_gap
        ]
        confidence = 1 - (1 - sampling.confidence) / max(len(compared), 1)
        for subject, name, index in compared:
            values, counts = chosen[name]
            member = np.zeros(len(rows), dtype=bool)
            member[index] = True
            inside, outside = counts & member, counts & ~member
            if min(inside.sum(), outside.sum()) < settings.min_rows:
                few = f"{name}: {int(inside.sum()):,} rows are too few to compare"
                yield Finding("pass", few, subject)
                continue
            variance = sum(
                mean_error(values[side], groups[side] if groups is not None else None) ** 2
                for side in (inside, outside)
            )
            gap = float(values[inside].mean() - values[outside].mean())
            got = normal(gap, variance**0.5 * reach(confidence, questions), confidence)
            most = settings.max_gap[name]
            status = Bound(min=-most).state(got)
            if status == "pass":
                status = Bound(max=most).state(got)
            message = f"{name} differs by {shown(got)} from all others, at most {most:g} allowed"
            yield Finding(status, message, subject, got, most)


def _rate(
    name: Rate, contract: Contract, truth: NDArray[Any], answers: Mapping[str, Answers]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What a rate averages, a value a row, and over which rows."""
    if not contract.classes or (name != "error_rate" and len(contract.classes) > 2):
        raise Refused(f"{name} is no rate of a {contract.target.type} target.")
    said, everyone = answers[CANDIDATE].labels, np.ones(len(truth), dtype=bool)
    if name == "error_rate":
        return (said != truth).astype(float), everyone
    over = {"true_positive_rate": truth == 1, "false_positive_rate": truth == 0}
    return said.astype(float), over.get(name, everyone)
