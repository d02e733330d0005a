"""Check `leakage`: does it know what it cannot know?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from gatewright.contract.schema import Contract, Strict, Wrong
from gatewright.evaluation.bootstrap import Measured
from gatewright.evaluation.leakage import NEAR, Leakage
from gatewright.gate.checks.base import Check, Finding, Status, shown
from gatewright.gate.checks.limits import (
    higher_is_better,
    known_metrics,
)
from gatewright.gate.inputs import CANDIDATE
from gatewright.paths import MODEL, TEST
from gatewright.pipeline.dvc_lock import Lock


class LeakageCheck(Check):
    """Does a column give the answer away, or do test rows stand in the training rows?

    Kaufman, Rosset and Perlich (2012), Leakage in Data Mining.
    """

    id = "leakage"

    class Settings(Strict):
        max_alone: float = Field(default=0.95, gt=0, le=1)
        max_same: float = Field(default=0.01, ge=0, le=1)
        max_near: float = Field(default=0.05, ge=0, le=1)
        time_order: Literal["refuse", "allow"] = "refuse"
        too_good: dict[str, float] = Field(default_factory=dict)

        @field_validator("too_good")
        @classmethod
        def _metrics(cls, limits: dict[str, float], info: ValidationInfo) -> dict[str, float]:
            known_metrics(limits, info)
            if lower := [name for name in limits if not higher_is_better(name, info)]:
                raise Wrong(f"too_good is for metrics that rise: {', '.join(lower)}", lower[0])
            return limits

    @staticmethod
    def check(
        settings: Settings, leakage: Leakage, contract: Contract, lock: Lock, measured: Measured
    ) -> Iterator[Finding]:
        if TEST in lock.reads.get(MODEL, ()):
            yield Finding("refuse", f"the stage that makes the model reads {TEST}", "dvc.lock")
        for name in leakage.identifiers:
            yield Finding("refuse", "names rows, so a model learns rows by heart from it", name)
        for name, score in leakage.alone.items():
            if score >= settings.max_alone:
                words = (
                    f"tells the target by itself: {score:.4f}, to be below {settings.max_alone:g}"
                )
                yield Finding("refuse", words, name, bound=settings.max_alone)
        for found, most, words in (
            (leakage.same, settings.max_same, "the same features and label as a training row"),
            (leakage.near, settings.max_near, f"them within {NEAR:g} standard deviations"),
        ):
            if not found.beyond <= most:
                said = (
                    f"{found.share:.2%} of the test rows have {words}; {found.usual:.2%} is usual "
                    f"here, and at most {most:.2%} more is allowed"
                )
                yield Finding("refuse", said, "duplicates", bound=most)
        for name, limit in settings.too_good.items():
            got = measured.estimate(name, CANDIDATE)
            if not got.value < limit:
                words = f"{shown(got)}: better than anybody believes, to be below {limit:g}"
                yield Finding("refuse", words, name, got, limit)
        if leakage.late:
            status: Status = "refuse" if settings.time_order == "refuse" else "pass"
            allowed = "" if status == "refuse" else " (leakage.time_order allows it)"
            words = f"{leakage.late:.1%} of the training rows are later than the first test row"
            yield Finding(status, words + allowed, contract.time or "")
        best = max(leakage.alone, key=lambda name: leakage.alone[name], default=None)
        if best is not None:
            words = f"no column tells the target; the strongest, {best}: {leakage.alone[best]:.4f}"
            if leakage.alone[best] < settings.max_alone:
                yield Finding("pass", f"{words}; {leakage.same.share:.2%} of the test rows repeat")
        elif not leakage.identifiers:
            yield Finding("refuse", "columns cannot be tried: training or test rows lack a class")
