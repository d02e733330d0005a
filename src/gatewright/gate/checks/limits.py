"""Limits on metrics, as gates.yaml writes them: bounds and margins.

A bound holds the whole interval of a metric; a margin is in the metric's units, or a share.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AllowInfNan, Field, ValidationInfo, field_validator, model_validator

from gatewright.contract.schema import Strict, Wrong
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.metrics import (
    OF_ONE_UNIT,
    OwnMetric,
    did_you_mean,
    is_metric,
    near,
    rises,
)
from gatewright.gate.checks.base import Status


class Bound(Strict):
    """A bound on one metric: the whole interval must lie on the good side."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _one(self) -> Bound:
        if (self.min is None) == (self.max is None):
            raise ValueError("give either min or max")
        return self

    def state(self, estimate: Estimate) -> Status:
        """Proven good, proven bad, or neither; what is no number is never good."""
        if self.min is not None:
            low, high = estimate.low - self.min, estimate.high - self.min
        else:
            most = self.max if self.max is not None else float("nan")
            low, high = most - estimate.high, most - estimate.low
        if low >= 0:
            return "pass"
        return "unsure" if high >= 0 > low else "refuse"

    def __str__(self) -> str:
        return f"at least {self.min:g}" if self.min is not None else f"at most {self.max:g}"


def known_metrics(names: Iterable[str], info: ValidationInfo) -> None:
    """Refuse names of no metric. Whether this target has it is known when it is measured."""
    own = (info.context or {}).get("own", {})
    if unknown := sorted(name for name in names if name not in own and not is_metric(name)):
        hint = did_you_mean(near(unknown[0], own))
        raise Wrong(f"unknown metrics: {', '.join(unknown)}. {hint}", unknown[0])


def higher_is_better(name: str, info: ValidationInfo) -> bool:
    own: dict[str, OwnMetric] = (info.context or {}).get("own", {})
    return own[name].higher_is_better if name in own else rises(name)


def bounds_fit(bounds: dict[str, Bound], info: ValidationInfo) -> None:
    """Refuse a bound on an unknown metric, or on the side on which a metric is good."""
    known_metrics(bounds, info)
    for name, bound in bounds.items():
        if higher_is_better(name, info) != (bound.max is None):
            better = "higher" if higher_is_better(name, info) else "lower"
            raise Wrong(f"{name}: {better} is better, so the bound is the other one", name)


# In the metric's units, or as a share of the other's value: "2%". What is no number is told below.
Margin = Annotated[float, AllowInfNan()] | str


def margins_fit(margins: dict[str, Margin], info: ValidationInfo) -> None:
    """Refuse a margin of an unknown metric, or one that is no number or share from zero on."""
    known_metrics(margins, info)
    for name, margin in margins.items():
        if isinstance(margin, str) and not re.fullmatch(r"\d+(\.\d+)?%", margin):
            raise Wrong(f"'{margin}' is no margin; write a number, or a share like 2%", name)
        if not 0 <= margin_of(margin, 1.0) < math.inf:
            raise Wrong("margins must be zero or more, and finite", name)
        if isinstance(margin, str) and not margin_of(margin, 1.0) < 1:
            raise Wrong("a margin of 100% or more lets any model pass; write a smaller one", name)
        if isinstance(margin, float) and margin >= 1 and name in OF_ONE_UNIT:
            raise Wrong(f"a margin of {margin:g} lets any model pass; write a smaller one", name)


def margin_of(margin: Margin, value: float) -> float:
    """The margin in the metric's units, `value` being what is compared with."""
    if isinstance(margin, str):
        return float(margin.removesuffix("%")) / 100 * abs(value)
    return margin


class Margins(Strict):
    """A margin for each metric."""

    metrics: dict[str, Margin] = Field(min_length=1)

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, margins: dict[str, Margin], info: ValidationInfo) -> dict[str, Margin]:
        margins_fit(margins, info)
        return margins
