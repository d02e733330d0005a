"""What a check is.

A check is a question (its docstring), an `id` (its key in gates.yaml), `Settings`, and a static
`check` whose parameter names say what it needs: `settings`, or any attribute of Evidence. It
yields findings, asks "is it proven good?", and so lets nothing pass that cannot be measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from mlops.artefacts.contract import Strict
from mlops.measure.resample import Estimate

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


def shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
