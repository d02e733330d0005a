"""Check `holdout`: is the test set the known one, and unseen in training?"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gatewright.contract.schema import Strict
from gatewright.evaluation.holdout import Holdout
from gatewright.evaluation.intervals import reach
from gatewright.gate.checks.base import Check, Finding, Status
from gatewright.gate.inputs import Sampling
from gatewright.pipeline.holdout_history import Asked
from gatewright.registry.records import VERSION


class HoldoutCheck(Check):
    """Does every known test row still test, unchanged, and was none trained on?"""

    id = "holdout"
    compares = True

    class Settings(Strict):
        may_change: bool = False
        max_repeated: float = Field(default=0.05, ge=0, le=1)
        settled: str | None = Field(default=None, pattern=rf"^{VERSION.pattern}$")

    @staticmethod
    def check(
        settings: Settings,
        holdout: Holdout,
        repeated: tuple[int, float],
        champion_saw: int,
        asked: Asked,
        questions: int,
        sampling: Sampling,
    ) -> Iterator[Finding]:
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
        copies, beyond = repeated
        if not beyond <= settings.max_repeated:
            words = (
                f"{copies:,} of those that come repeat another test row under their own key: "
                f"{beyond:.2%} beyond what is usual and chance, to be at most "
                f"{settings.max_repeated:.2%}. What they show would count several times"
            )
            yield Finding("refuse", words, "new test rows")
        if champion_saw:
            words = f"it was trained on {champion_saw:,} test rows, so it looks better than it is"
            yield Finding("unsure", words, "champion")
        if not (holdout.gone or holdout.changed or holdout.seen):
            more = f"; {holdout.added:,} are new" if holdout.added else ""
            yield Finding("pass", f"every known test row is there, none was trained on{more}")
        if (wider := reach(sampling.confidence, questions)) > 1:
            yield Finding("pass", _used_up(asked, wider), "questions")


def _used_up(asked: Asked, wider: float) -> str:
    """How much of what the rows can show was spent on earlier questions."""
    left = 1 / wider**2
    return (
        f"these rows judged {len(asked.passed):,} models that became versions and "
        f"{len(asked.failed):,} that did not; so that nobody asks until the answer is yes, "
        f"intervals are {wider:.2f} times as wide, as of {left:.0%} of the rows: {1 - left:.0%} "
        "is used up. New rows mend it"
    )
