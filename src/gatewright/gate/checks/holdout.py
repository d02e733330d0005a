"""Check `holdout`: is the test set the known one, and unseen in training?"""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.contract.schema import Strict
from gatewright.evaluation.holdout import Holdout
from gatewright.gate.checks.base import Check, Finding, Status


class HoldoutCheck(Check):
    """Does every known test row still test, unchanged, and was none trained on?"""

    id = "holdout"

    class Settings(Strict):
        may_change: bool = False

    @staticmethod
    def check(settings: Settings, holdout: Holdout, champion_saw: int) -> Iterator[Finding]:
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
        if champion_saw:
            words = f"it was trained on {champion_saw:,} test rows, so it looks better than it is"
            yield Finding("unsure", words, "champion")
        if not (holdout.gone or holdout.changed or holdout.seen):
            more = f"; {holdout.added:,} are new" if holdout.added else ""
            yield Finding("pass", f"every known test row is there, none was trained on{more}")
