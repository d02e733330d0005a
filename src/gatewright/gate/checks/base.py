"""What a check is.

A check is a question (its docstring), an `id` (its key in gates.yaml), `Settings`, and a static
`check` whose parameter names say what it needs: `settings`, or any attribute of GateInputs, of
which it gets what was loaded. It yields findings, asks "is it proven good?", and so lets nothing
pass that cannot be measured.
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
Cause = Literal["judged", "unavailable", "internal error"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Finding:
    """One answer of a check.

    `excused` is a refusal that the policy excepts for a time; `warn` stops nothing, and is told.
    `cause` says whether it was judged, or could not be: because an input is unavailable, or by an
    error of the machinery. `excused_by` is the id of the exception.
    """

    status: Status
    message: str
    subject: str = ""
    estimate: Estimate | None = None
    bound: float | None = None
    cause: Cause = "judged"
    excused_by: str | None = None


class Check:
    """A question that the gate asks.

    runs_model: it needs the candidate's model itself. measures: it takes its own measurements, so
    that asking it again with other settings costs as much again. compares: what it finds depends
    on the champion.
    """

    id: ClassVar[str]
    Settings: ClassVar[type[Strict]] = Strict
    check: ClassVar[Any]
    runs_model: ClassVar[bool] = False
    measures: ClassVar[bool] = False
    compares: ClassVar[bool] = False


def shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


def require_columns(names: tuple[str, ...], rows: pd.DataFrame) -> None:
    """Raises Refused for a column that a policy or contract names and the judged rows lack."""
    if absent := [name for name in names if name not in rows]:
        raise Refused(
            f"gates.yaml or the contract that judges asks for the columns {', '.join(absent)}, "
            "which the test set lacks, so its parts cannot be judged. Correct the name, or keep "
            "the column in the test set."
        )
