"""Is it good, and at least as good as what it would replace?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from gatewright.contract.schema import Contract, Strict
from gatewright.evaluation.bootstrap import Estimate, Measured
from gatewright.evaluation.intervals import below, holm, mean_error, normal
from gatewright.evaluation.predictions import Answers
from gatewright.gate.checks.base import (
    Bound,
    Check,
    Finding,
    Margin,
    Status,
    bounds_fit,
    margin_of,
    margins_fit,
    shown,
)
from gatewright.gate.inputs import CANDIDATE, CHAMPION, RULE
from gatewright.registry.champion import Champion


class Bounds(Check):
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


class Margins(Strict):
    """A margin for each metric."""

    metrics: dict[str, Margin] = Field(min_length=1)

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, margins: dict[str, Margin], info: ValidationInfo) -> dict[str, Margin]:
        margins_fit(margins, info)
        return margins


class Baseline(Check):
    """Is the model better than the rule that a person would use, by at least the margin?"""

    id = "baseline"
    Settings = Margins

    @staticmethod
    def check(settings: Margins, measured: Measured) -> Iterator[Finding]:
        for name, wanted in settings.metrics.items():
            gain = measured.gain(name, CANDIDATE, RULE)
            margin = margin_of(wanted, measured.estimate(name, RULE).value)
            message = f"gain {shown(gain)}, all of it to be at least {margin:g}"
            yield Finding(Bound(min=margin).state(gain), message, name, gain, margin)


class AgainstChampion(Check):
    """Is the model better than the one it would replace, or at least not worse than the margin?

    On the same rows and resamples: *better* if the interval of the gain lies above zero, *not
    worse* if it lies above -margin, *worse* if it is proven to lie below zero, else it *cannot be
    told*. Of several metrics, `worse` is said with Holm's correction.
    """

    id = "champion"
    Settings = Margins

    @staticmethod
    def check(
        settings: Margins, measured: Measured, champion: Champion | None
    ) -> Iterator[Finding]:
        if champion is None:
            yield Finding("pass", "nothing is live here yet; bounds and baseline still apply")
            return
        gains = {name: measured.gain(name, CANDIDATE, CHAMPION) for name in settings.metrics}
        errors = [measured.error(name, CANDIDATE, CHAMPION) for name in gains]
        # One metric alone is judged by its own interval; several share the two tails.
        alpha = (1 - measured.confidence) / 2 * min(len(gains), 2)
        chances = [below(g.value, 0, e) for g, e in zip(gains.values(), errors, strict=True)]
        worse = dict(zip(gains, holm(chances, alpha), strict=True))
        for name, wanted in settings.metrics.items():
            gain = gains[name]
            margin = margin_of(wanted, measured.estimate(name, CHAMPION).value)
            status, words = compare(gain, margin, worse[name])
            message = f"{words} {champion.version}: gain {shown(gain)}, margin {margin:g}"
            if status == "unsure":
                least = measured.smallest(name, CANDIDATE, CHAMPION)
                message += f"; these rows would show a difference of {least:.4f}"
            yield Finding(status, message, name, gain, -margin)


def compare(gain: Estimate, margin: float, worse: bool) -> tuple[Status, str]:
    """The four answers of a non-inferiority comparison; NaN is never an improvement."""
    if gain.low > 0:
        return "pass", "better than"
    if gain.low >= -margin:
        return "pass", "not worse than"
    if worse and gain.high < 0:
        return "refuse", "worse than"
    if gain.high >= gain.low:
        return "unsure", "cannot be told from"
    return "refuse", "not comparable with"


class Cost(Check):
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
