"""Is it good, and at least as good as what it would replace?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field, model_validator

from mlops.artefacts.contract import Strict
from mlops.gate.checks.check import Check, Finding, Status, shown
from mlops.gate.evidence import CANDIDATE, CHAMPION, RULE, Champion
from mlops.measure.metrics import METRICS
from mlops.measure.resample import Estimate, Measured


def _known(names: dict[str, Any]) -> None:
    if unknown := sorted(set(names) - set(METRICS)):
        raise ValueError(f"unknown metrics: {', '.join(unknown)}; known: {', '.join(METRICS)}")


class Bound(Strict):
    """A bound on one metric: the whole interval must lie on the good side."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _one(self) -> Bound:
        if (self.min is None) == (self.max is None):
            raise ValueError("give either min or max")
        return self


class Bounds(Check):
    """Does each metric keep its bound, with its whole interval?"""

    id = "bounds"

    class Settings(Strict):
        metrics: dict[str, Bound] = Field(min_length=1)

        @model_validator(mode="after")
        def _metrics(self) -> Bounds.Settings:
            _known(self.metrics)
            for name, bound in self.metrics.items():
                if METRICS[name].higher_is_better != (bound.max is None):
                    better = "higher" if METRICS[name].higher_is_better else "lower"
                    raise ValueError(f"{name}: {better} is better, so the bound is the other one")
            return self

    @staticmethod
    def check(settings: Settings, measured: Measured) -> Iterator[Finding]:
        for name, bound in settings.metrics.items():
            got = measured.estimate(name, CANDIDATE)
            if bound.min is not None:
                good, limit, words = got.low >= bound.min, bound.min, "at least"
            else:
                limit = bound.max if bound.max is not None else float("nan")
                good, words = got.high <= limit, "at most"
            message = f"{shown(got)}, all of it to be {words} {limit:g}"
            yield Finding("pass" if good else "refuse", message, name, got, limit)


class Margins(Strict):
    """A margin for each metric, in the metric's own units."""

    metrics: dict[str, float] = Field(min_length=1)

    @model_validator(mode="after")
    def _valid(self) -> Margins:
        _known(self.metrics)
        if wrong := [name for name, margin in self.metrics.items() if not margin >= 0]:
            raise ValueError(f"margins must be zero or more: {', '.join(wrong)}")
        return self


class Baseline(Check):
    """Is the model better than the rule that a person would use, by at least the margin?"""

    id = "baseline"
    Settings = Margins

    @staticmethod
    def check(settings: Margins, measured: Measured) -> Iterator[Finding]:
        for name, margin in settings.metrics.items():
            gain = measured.gain(name, CANDIDATE, RULE)
            message = f"gain {shown(gain)}, all of it to be at least {margin:g}"
            yield Finding("pass" if gain.low >= margin else "refuse", message, name, gain, margin)


class AgainstChampion(Check):
    """Is the model better than the one it would replace, or at least not worse than the margin?

    On the same rows and resamples: *better* if the interval of the gain lies above zero, *not
    worse* if it lies above -margin, *worse* if it lies below zero, else it *cannot be told*.
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
        for name, margin in settings.metrics.items():
            gain = measured.gain(name, CANDIDATE, CHAMPION)
            status, words = compare(gain, margin)
            message = f"{words} {champion.version}: gain {shown(gain)}, margin {margin:g}"
            yield Finding(status, message, name, gain, -margin)


def compare(gain: Estimate, margin: float) -> tuple[Status, str]:
    """The four answers of a non-inferiority comparison; NaN is never an improvement."""
    if gain.low > 0:
        return "pass", "better than"
    if gain.low >= -margin:
        return "pass", "not worse than"
    if gain.high < 0:
        return "refuse", "worse than"
    if gain.high >= 0:
        return "unsure", "cannot be told from"
    return "refuse", "not comparable with"
