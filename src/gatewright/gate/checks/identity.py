"""Is it what it says it is, and are there rows to judge it on?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from gatewright.adapters.model_file import Model
from gatewright.contract.compatibility import compare
from gatewright.contract.schema import Contract as Schema
from gatewright.contract.schema import Strict
from gatewright.contract.validation import violations
from gatewright.evaluation.holdout import Holdout as HoldoutRows
from gatewright.evaluation.predictions import Answers, answer, request_rows
from gatewright.gate.checks.base import Check, Finding, Status
from gatewright.gate.inputs import CANDIDATE
from gatewright.registry.champion import Champion


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
        min_groups: int = Field(default=50, ge=2)

    @staticmethod
    def check(
        settings: Settings,
        truth: NDArray[Any],
        contract: Schema,
        groups: NDArray[np.int64] | None,
    ) -> Iterator[Finding]:
        counts = [("test rows", len(truth), settings.min)]
        if contract.classes:
            fewest = int(np.bincount(truth, minlength=len(contract.classes)).min())
            counts.append(("rows of the rarest class", fewest, settings.min_each_class))
        if groups is not None:
            counts.append(("groups", len(np.unique(groups)), settings.min_groups))
        for subject, count, bound in counts:
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
    def check(settings: Settings, holdout: HoldoutRows, champion_saw: int) -> Iterator[Finding]:
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


class Contract(Check):
    """Do rows and answers keep the contract, and do its consumers still get theirs?

    Consumers' requests are the golden rows that were recorded when the champion was registered.
    """

    id = "contract"
    runs_model = True

    class Settings(Strict):
        may_break: bool = True

    @staticmethod
    def check(
        settings: Settings,
        contract: Schema,
        rows: pd.DataFrame,
        answers: Mapping[str, Answers],
        candidate: Model,
        champion: Champion | None,
        version: str | None,
    ) -> Iterator[Finding]:
        public = {n: c for n, c in contract.columns.items() if not c.personal}
        shape = contract.model_copy(update={"columns": public})
        wrong = violations(shape, rows[[n for n in (*public, contract.target.name) if n in rows]])
        for fault in wrong.to_dict("records"):
            words = f"{fault['fault']} in {fault['rows']:,} test rows"
            yield Finding("refuse", words, str(fault["column"]))
        low, high = contract.prediction.min, contract.prediction.max
        if wrong.empty:
            said = (
                f"{len(answers[CANDIDATE].labels):,} rows keep it; answers lie in {low:g}..{high:g}"
            )
            yield Finding("pass", said)
        if champion is None:
            return
        change, why = compare(champion.contract, contract)
        if change == "breaking":
            yield _breaking(settings, champion, version, why)
            return
        if not champion.golden:
            yield Finding("refuse", f"{champion.version} has no golden rows to try", "consumers")
            return
        requests = request_rows([pair["request"] for pair in champion.golden], contract)
        answer(candidate, requests, contract, CANDIDATE)  # raises if one is not answered
        words = f"{len(requests)} requests recorded with {champion.version} are answered"
        yield Finding("pass", words, "consumers")


def _breaking(
    settings: Contract.Settings, champion: Champion, version: str | None, why: list[str]
) -> Finding:
    said = f"it breaks what consumers of {champion.version} rely on: {'; '.join(why)}"
    if not settings.may_break:
        return Finding("refuse", f"{said}; contract.may_break forbids it", "version")
    if version is None:
        return Finding("pass", f"{said}; the next version is a major one", "version")
    major, before = (int(number.partition(".")[0]) for number in (version, champion.version))
    if major > before:
        return Finding("pass", f"{said}; {version} says so", "version")
    return Finding("refuse", f"{said}, and {version} does not say so", "version")
