"""The gate's checks, a class each. To add one, write a class and put it into CHECKS.

A check is a question (its docstring), an `id` (its key in gates.yaml), `Settings`, and a static
`check` whose parameter names say what it needs: `settings`, or any attribute of Evidence. It
yields findings, asks "is it proven good?", and so lets nothing pass that cannot be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from mlops.artefacts.contract import Strict
from mlops.gate.evidence import CANDIDATE, CHAMPION, RULE, Champion
from mlops.measure.holdout import Holdout as HoldoutRows
from mlops.measure.metrics import METRICS
from mlops.measure.resample import Estimate, Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

Status = Literal["pass", "refuse", "unsure"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Finding:
    """One answer of a check."""

    status: Status
    message: str
    subject: str = ""
    estimate: Estimate | None = None
    bound: float | None = None


class Check:
    """A question that the gate asks."""

    id: ClassVar[str]
    Settings: ClassVar[type[Strict]] = Strict
    check: ClassVar[Any]


def _known(names: dict[str, Any]) -> None:
    if unknown := sorted(set(names) - set(METRICS)):
        raise ValueError(f"unknown metrics: {', '.join(unknown)}; known: {', '.join(METRICS)}")


class Files(Check):
    """Are the judged files the ones that dvc.lock names?"""

    id = "files"

    @staticmethod
    def check(lock_differences: list[str]) -> Iterator[Finding]:
        for difference in lock_differences:
            yield Finding("refuse", f"{difference}; run `uv run mlops run` and commit dvc.lock")
        if not lock_differences:
            yield Finding("pass", "model, baseline, training and test set are those of dvc.lock")


class Rows(Check):
    """Are there enough test rows to measure anything?"""

    id = "rows"

    class Settings(Strict):
        min: int = Field(default=1000, ge=1)
        min_each_class: int = Field(default=100, ge=1)

    @staticmethod
    def check(settings: Settings, labels: NDArray[Any]) -> Iterator[Finding]:
        fewest = int(min(labels.sum(), (~labels).sum()))
        for subject, count, bound in (
            ("test rows", len(labels), settings.min),
            ("rows of the rarer class", fewest, settings.min_each_class),
        ):
            enough = count >= bound
            yield Finding(
                "pass" if enough else "refuse",
                f"{count:,} of at least {bound:,}",
                subject,
                bound=bound,
            )


class Holdout(Check):
    """Does every known test row still test, unchanged, and was none trained on?"""

    id = "holdout"

    class Settings(Strict):
        may_change: bool = False

    @staticmethod
    def check(settings: Settings, holdout: HoldoutRows) -> Iterator[Finding]:
        excuse = " (holdout.may_change allows it)" if settings.may_change else ""
        for count, words in (
            (holdout.gone, "known test rows are gone"),
            (holdout.changed, "known test rows have other values"),
        ):
            if count:
                status: Status = "pass" if settings.may_change else "refuse"
                yield Finding(status, f"{count:,} {words}{excuse}", "test rows")
        if holdout.seen:
            yield Finding("refuse", f"{holdout.seen:,} test rows were trained on", "training rows")
        if not (holdout.gone or holdout.changed or holdout.seen):
            more = f"; {holdout.added:,} are new" if holdout.added else ""
            yield Finding("pass", f"every known test row is there, none was trained on{more}")


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
            message = f"{_shown(got)}, all of it to be {words} {limit:g}"
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
            message = f"gain {_shown(gain)}, all of it to be at least {margin:g}"
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
            message = f"{words} {champion.version}: gain {_shown(gain)}, margin {margin:g}"
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


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


CHECKS: tuple[type[Check], ...] = (Files, Rows, Holdout, Bounds, Baseline, AgainstChampion)
