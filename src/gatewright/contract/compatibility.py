"""What a change of the contract means for those who ask the model for answers."""

from __future__ import annotations

from typing import Literal

from gatewright.contract.schema import Column, Contract

Change = Literal["none", "compatible", "breaking"]


def compare(old: Contract, new: Contract) -> tuple[Change, list[str]]:
    """What a consumer of `old` meets under `new`, and why.

    Breaking: a request that was good is refused, or an answer means something else. The rules
    are those of semantic versioning 2.0.0 for a public interface.
    """
    if old == new:
        return "none", []
    why = []
    if (old.target.name, old.prediction.name) != (new.target.name, new.prediction.name):
        why.append("the target or the prediction has another name")
    if (old.target.type, old.classes) != (new.target.type, new.classes):
        why.append("the target is of another type, or has other classes")
    if old.decision and old.decision.actions != (new.decision and new.decision.actions):
        why.append("the recommended actions are others")
    if new.prediction.min < old.prediction.min or new.prediction.max > old.prediction.max:
        why.append("the prediction's range is wider")
    for name, before in old.columns.items():
        after = new.columns.get(name)
        if after is None:
            why.append(f"column {name} is gone")
        elif after.type != before.type or after.unit != before.unit:
            why.append(f"column {name} has another type or unit")
        elif _narrower(before, after):
            why.append(f"column {name} accepts less")
    why += [
        f"column {name} is new and needed"
        for name, column in new.columns.items()
        if name not in old.columns and not column.nullable
    ]
    return ("breaking", why) if why else ("compatible", ["the contract accepts more"])


def _narrower(before: Column, after: Column) -> bool:
    return (
        (before.nullable and not after.nullable)
        or after.min > before.min
        or after.max < before.max
        or (
            after.values is not None
            and (before.values is None or not set(before.values) <= set(after.values))
        )
    )
