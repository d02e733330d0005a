"""Check `leakage`: does it know what it cannot know?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from gatewright.contract.schema import Contract, Strict, Wrong
from gatewright.evaluation.bootstrap import Measured
from gatewright.evaluation.leakage import NEAR, Leakage
from gatewright.evaluation.metrics import OF_ONE_UNIT, SHOWN
from gatewright.evaluation.new_columns import NewColumns
from gatewright.evaluation.unexplained import Unexplained
from gatewright.gate.checks.base import Check, Finding, Status, shown
from gatewright.gate.checks.limits import (
    higher_is_better,
    known_metrics,
)
from gatewright.gate.inputs import CANDIDATE, CHAMPION
from gatewright.paths import MODEL, TEST
from gatewright.pipeline.dvc_lock import Lock
from gatewright.registry.champion import Champion

FIRST = 3.0  # times as much may be unexplained of a first model, as no champion shows what is usual


class LeakageCheck(Check):
    """Does a column give the answer away, or do test rows stand in the training rows?

    Kaufman, Rosset and Perlich (2012), Leakage in Data Mining.
    """

    id = "leakage"
    compares = True

    class Settings(Strict):
        max_alone: float = Field(default=0.95, gt=0, le=1)
        max_same: float = Field(default=0.01, ge=0, le=1)
        max_near: float = Field(default=0.05, ge=0, le=1)
        time_order: Literal["refuse", "allow"] = "refuse"
        too_good: dict[str, float] = Field(default_factory=dict)
        max_gain: dict[str, float] = Field(default_factory=dict)
        max_error_cut: float = Field(default=0.5, gt=0, le=1)
        max_unexplained: float = Field(default=0.05, ge=0.02, le=1)
        max_not_vouched: float = Field(default=0.5, gt=0, le=1)

        @field_validator("too_good")
        @classmethod
        def _metrics(cls, limits: dict[str, float], info: ValidationInfo) -> dict[str, float]:
            known_metrics(limits, info)
            if lower := [name for name in limits if not higher_is_better(name, info)]:
                raise Wrong(f"too_good is for metrics that rise: {', '.join(lower)}", lower[0])
            return limits

        @field_validator("max_gain")
        @classmethod
        def _gains(cls, limits: dict[str, float], info: ValidationInfo) -> dict[str, float]:
            known_metrics(limits, info)
            for name, most in limits.items():
                if not most > 0 or (most >= 1 and name in OF_ONE_UNIT):
                    raise Wrong(f"a gain of {most:g} bounds nothing; write another", name)
            return limits

    @staticmethod
    def check(
        settings: Settings,
        leakage: Leakage,
        contract: Contract,
        lock: Lock,
        measured: Measured,
        champion: Champion | None,
        unexplained: Unexplained | None,
        new_columns: NewColumns,
    ) -> Iterator[Finding]:
        if TEST in lock.reads.get(MODEL, ()):
            yield Finding("refuse", f"the stage that makes the model reads {TEST}", "dvc.lock")
        yield from _columns(settings, leakage)
        yield from _copies(settings, leakage)
        for name, limit in settings.too_good.items():
            got = measured.estimate(name, CANDIDATE)
            if not got.value < limit:
                words = f"{shown(got)}: better than anybody believes, to be below {limit:g}"
                yield Finding("refuse", words, name, got, limit)
        if champion is not None:
            yield from _gains(settings, contract, measured, champion)
        yield from _memory(settings, unexplained)
        yield from _not_vouched(settings, new_columns)
        if leakage.late is None and contract.time and settings.time_order == "refuse":
            words = "training or test rows lack it, so nobody can tell which of them came later"
            yield Finding("refuse", words, contract.time)
        if leakage.late:
            status: Status = "refuse" if settings.time_order == "refuse" else "pass"
            allowed = "" if status == "refuse" else " (leakage.time_order allows it)"
            words = f"{leakage.late:.1%} of the training rows are later than the first test row"
            yield Finding(status, words + allowed, contract.time or "")
        best = max(leakage.alone, key=lambda name: leakage.alone[name], default=None)
        if best is not None:
            words = f"no column tells the target; the strongest, {best}: {leakage.alone[best]:.4f}"
            if leakage.alone[best] < settings.max_alone:
                copies = "" if leakage.copies.beyond else ", and copies in disguise cannot be told"
                said = f"{words}; {leakage.same.share:.2%} of the test rows repeat{copies}"
                yield Finding("pass", said)
        elif not leakage.identifiers:
            yield Finding("refuse", "columns cannot be tried: training or test rows lack a class")


def _columns(settings: LeakageCheck.Settings, leakage: Leakage) -> Iterator[Finding]:
    for name in leakage.identifiers:
        yield Finding("refuse", "names rows, so a model learns rows by heart from it", name)
    for name, score in leakage.alone.items():
        if score >= settings.max_alone:
            words = f"tells the target by itself: {score:.4f}, to be below {settings.max_alone:g}"
            yield Finding("refuse", words, name, bound=settings.max_alone)


def _copies(settings: LeakageCheck.Settings, leakage: Leakage) -> Iterator[Finding]:
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
    copies = leakage.copies
    if copies.beyond is not None and not copies.beyond.low <= settings.max_near:
        said = (
            f"{copies.share:.2%} of the test rows have a copy, in all but a few columns, among the "
            f"{copies.new:,} new training rows; {copies.usual:.2%} is usual here, and at most "
            f"{settings.max_near:.2%} more is allowed"
        )
        yield Finding("refuse", said, "duplicates", copies.beyond, settings.max_near)


def _gains(
    settings: LeakageCheck.Settings, contract: Contract, measured: Measured, champion: Champion
) -> Iterator[Finding]:
    """A gain beyond what anybody gains stops until somebody says why."""
    limits = dict(settings.max_gain)
    for name in SHOWN[contract.target.type]:
        if name not in limits:
            value = measured.estimate(name, CHAMPION).value
            rises = next(m.higher_is_better for m in measured.metrics if m.name == name)
            limits[name] = settings.max_error_cut * ((1 - value) if rises else value)
    gains = {name: measured.gain(name, CANDIDATE, CHAMPION) for name in limits}
    if beyond := [name for name, gain in gains.items() if not gain.value <= limits[name]]:
        told = "; ".join(f"{n} {shown(gains[n])}, at most {limits[n]:.4g}" for n in beyond)
        words = (
            f"more is gained on {champion.version} than is believed without a word: {told}. Find "
            "the leak, or let the owner of the policy say why in an exception of gates.yaml"
        )
        yield Finding("refuse", words, "gain", gains[beyond[0]], limits[beyond[0]])


def _memory(settings: LeakageCheck.Settings, found: Unexplained | None) -> Iterator[Finding]:
    if found is None:
        return
    first = found.against != "the champion"
    most = settings.max_unexplained * (FIRST if first else 1.0)
    if not found.share.low <= most:
        words = (
            f"loses less on test rows than its training rows can teach: it saves "
            f"{shown(found.share)} of the loss of {found.against} beyond that, to be at most "
            f"{most:g}. It looks trained on test rows: see what the stages read"
        )
        yield Finding("refuse", words, "memory of test rows", found.share, most)


def _not_vouched(settings: LeakageCheck.Settings, new: NewColumns) -> Iterator[Finding]:
    if new.metric is None or not new.others:
        return
    names, most = ", ".join(new.others), settings.max_not_vouched
    if not new.other_share < most:
        words = (
            f"new, and {new.other_share:.0%} of the gain in {new.metric} on the champion goes with "
            f"it: if it is known before the prediction is made, say `known: before` in "
            f"contract.yaml; if not, `feature: false`. Without a word to be below {most:.0%}"
        )
        yield Finding("refuse", words, names, bound=most)
