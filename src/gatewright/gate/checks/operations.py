"""Check `operations`: is it as small, fast and frugal as what it would replace?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pydantic import Field

from gatewright.contract.schema import Contract, Strict
from gatewright.errors import Refused
from gatewright.evaluation.operations import Ratio, footprints, ratio
from gatewright.gate.checks.base import Check, Finding, Status
from gatewright.registry.champion import Champion


class OperationsCheck(Check):
    """Does it stay about as small, fast and frugal as what it would replace?

    Bytes of the file and peak memory are judged; CPU time alone never says more than a warning.
    """

    id = "operations"
    runs_model = True
    measures = True
    compares = True

    class Settings(Strict):
        max_mb: float = Field(default=500.0, gt=0)
        max_ratio: float = Field(default=3.0, ge=1)
        ignore_mb: float = Field(default=10.0, ge=0)
        ignore_ms: float = Field(default=5.0, ge=0)

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        rows: pd.DataFrame,
        candidate_file: Path,
        model_types: frozenset[str],
        champion: Champion | None,
    ) -> Iterator[Finding]:
        if rows.empty:
            raise Refused("There are no test rows to ask the model for.")
        models = [(candidate_file, contract)]
        if champion is not None:
            models += [(champion.model, champion.contract)] * 2  # the second for the null pair
        candidate, *live = footprints(models, rows, model_types)
        megabytes = candidate.size / 1e6
        small: Status = "pass" if megabytes <= settings.max_mb else "refuse"
        yield Finding(small, f"{megabytes:.2f} MB, at most {settings.max_mb:g}", "size")
        peak = candidate.peak / 1e6
        yield _compared(
            "memory",
            f"peak memory {peak:.1f} MB",
            ratio(candidate.peak, live[0].peak, live[1].peak) if live else None,
            settings,
            beyond="refuse",
            unfelt=peak <= settings.ignore_mb,
        )
        times = [("loading", candidate.loading, [model.loading for model in live])]
        times += [
            (f"batch of {size:,}", seconds, [model.seconds[size] for model in live])
            for size, seconds in candidate.seconds.items()
        ]
        for subject, seconds, others in times:
            yield _compared(
                subject,
                f"{1000 * seconds:.1f} ms of CPU time",
                ratio(seconds, *others) if others else None,
                settings,
                beyond="warn",
                unfelt=1000 * seconds <= settings.ignore_ms,
            )


def _compared(
    subject: str,
    figure: str,
    got: Ratio | None,
    settings: OperationsCheck.Settings,
    *,
    beyond: Status,
    unfelt: bool,
) -> Finding:
    """Beyond the bound, and by more than the champion differs from itself, it is `beyond`."""
    if got is None:
        return Finding("pass", f"{figure}; nothing to compare with", subject)
    message = (
        f"{figure}; {got.value:.2f} times the champion's, at most {settings.max_ratio:g} "
        f"(the champion against itself: {got.null:.2f})"
    )
    if not got.beyond(settings.max_ratio):
        return Finding("pass", message, subject, bound=settings.max_ratio)
    if unfelt:
        message, beyond = f"{message}, or too little to feel", "pass"
    return Finding(beyond, message, subject, bound=settings.max_ratio)
