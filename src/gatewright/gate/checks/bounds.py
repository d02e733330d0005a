"""Check `bounds`: does each metric keep its absolute bound?"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, ValidationInfo, field_validator

from gatewright.contract.schema import Strict
from gatewright.evaluation.bootstrap import Measured
from gatewright.gate.checks.base import Check, Finding, shown
from gatewright.gate.checks.limits import (
    Bound,
    bounds_fit,
)
from gatewright.gate.inputs import CANDIDATE


class BoundsCheck(Check):
    """Does each metric keep its bound, with its whole interval?"""

    id = "bounds"

    class Settings(Strict):
        metrics: dict[str, Bound] = Field(min_length=1)

        @field_validator("metrics")
        @classmethod
        def _metrics(cls, bounds: dict[str, Bound], info: ValidationInfo) -> dict[str, Bound]:
            bounds_fit(bounds, info)
            return bounds

    @staticmethod
    def check(settings: Settings, measured: Measured) -> Iterator[Finding]:
        for name, bound in settings.metrics.items():
            got = measured.estimate(name, CANDIDATE)
            limit = bound.min if bound.min is not None else bound.max
            message = f"{shown(got)}, all of it to be {bound}"
            yield Finding(bound.state(got), message, name, got, limit)
