"""What a check is.

A check is a question (its docstring), an `id` (its key in gates.yaml), `Settings`, and a static
`check` whose parameter names say what it needs: `settings`, or any attribute of Evidence. It
yields findings, asks "is it proven good?", and so lets nothing pass that cannot be measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from gatewright.contract.schema import Strict
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Estimate

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["pass", "refuse", "unsure", "excused", "warn"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Finding:
    """One answer of a check.

    `excused` is a refusal that the policy excepts for a time; `warn` stops nothing, and is told.
    """

    status: Status
    message: str
    subject: str = ""
    estimate: Estimate | None = None
    bound: float | None = None


class Check:
    """A question that the gate asks. `runs_model`: it needs the candidate's model itself."""

    id: ClassVar[str]
    Settings: ClassVar[type[Strict]] = Strict
    check: ClassVar[Any]
    runs_model: ClassVar[bool] = False


def shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


def require_columns(names: tuple[str, ...], rows: pd.DataFrame) -> None:
    """Raises Refused for a column that gates.yaml names and the judged rows lack."""
    if absent := [name for name in names if name not in rows]:
        raise Refused(
            f"gates.yaml asks for the columns {', '.join(absent)}, which the test set lacks, so "
            "its parts cannot be judged. Correct the name, or keep the column in contract.yaml."
        )
