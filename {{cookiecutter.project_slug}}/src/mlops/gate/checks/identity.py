"""Is it what it says it is, and are there rows to judge it on?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mlops.artefacts.contract import Strict
from mlops.gate.checks.check import Check, Finding, Status
from mlops.measure.holdout import Holdout as HoldoutRows

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
