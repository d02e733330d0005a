"""Check `operations`: is it as small, fast and frugal as what it would replace?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from gatewright.contract.schema import Contract, Strict
from gatewright.errors import Refused
from gatewright.evaluation.operations import costs, ratio
from gatewright.gate.checks.base import Check, Finding, Status
from gatewright.gate.checks.limits import (
    Bound,
)
from gatewright.gate.inputs import Sampling
from gatewright.registry.champion import Champion


class OperationsCheck(Check):
    """Does it stay about as small, fast and frugal as what it would replace?"""

    id = "operations"
    runs_model = True
    measures = True
    compares = True

    class Settings(Strict):
        max_mb: float = Field(default=500.0, gt=0)
        max_ratio: float = Field(default=3.0, ge=1)
        ignore_ms: float = Field(default=5.0, ge=0)

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        rows: pd.DataFrame,
        candidate_file: Path,
        champion: Champion | None,
        sampling: Sampling,
    ) -> Iterator[Finding]:
        if rows.empty:
            raise Refused("There are no test rows to ask the model for.")
        models = [(candidate_file, contract)]
        if champion is not None:
            models.append((champion.model, champion.contract))
        candidate, *other = costs(models, rows, settings.max_ratio, sampling.confidence)
        megabytes = candidate.size / 1e6
        small: Status = "pass" if megabytes <= settings.max_mb else "refuse"
        yield Finding(small, f"{megabytes:.2f} MB, at most {settings.max_mb:g}", "size")
        before = other[0] if other else None
        timed = [("loading", candidate.loading, before.loading if before else None)]
        timed += [
            (f"batch of {size:,}", seconds, before.seconds[size] if before else None)
            for size, seconds in candidate.seconds.items()
        ]
        for subject, seconds, others in timed:
            typical, slow = 1000 * np.quantile(seconds, [0.5, 0.95])
            figures = f"{typical:.1f} ms, 95% within {slow:.1f} ms"
            if others is None:
                yield Finding("pass", f"{figures}; nothing to compare with", subject)
                continue
            got = ratio(seconds, others, sampling.confidence)
            yield _compared(subject, figures, got, settings, typical < settings.ignore_ms)
        memory = f"peak memory {candidate.peak / 1e6:.1f} MB"
        if before is not None:
            value = candidate.peak / max(before.peak, 1)
            got = ratio([value], [1.0], sampling.confidence)
            yield _compared("memory", memory, got, settings, candidate.peak < 10e6)
        else:
            yield Finding("pass", f"{memory}; nothing to compare with", "memory")


def _compared(
    subject: str, figures: str, got: Any, settings: OperationsCheck.Settings, unfelt: bool
) -> Finding:
    message = (
        f"{figures}; {got.value:.2f} [{got.low:.2f}, {got.high:.2f}] times the champion's, at most "
        f"{settings.max_ratio:g}"
    )
    if unfelt:
        return Finding("pass", f"{message}, or too little to feel", subject, got)
    return Finding(Bound(max=settings.max_ratio).state(got), message, subject, got)
