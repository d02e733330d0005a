"""What a change of the contract means for those who ask the model for answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
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
    if gone := sorted(set(old.serve) - set(new.serve)):
        why.append(f"it can no longer be asked by {', '.join(gone)}")
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


def judging(
    judge: Contract, candidate: Contract, veiled: Mapping[str, Column] = MappingProxyType({})
) -> Contract:
    """The candidate's contract, with what judges a model taken from the one that judges.

    A change of these counts once it is live: the costs, the key and the time; slices are those of
    both. A column that they need, or that is personal, stays described where the candidate leaves
    it out; so does one of `veiled`, the columns that were personal in an earlier contract. What
    the candidate's classes have no room for stays the candidate's own.
    """
    terms: dict[str, object] = {}
    terms["slices"] = tuple(dict.fromkeys((*judge.slices, *candidate.slices)))
    terms["key"] = judge.key
    terms["time"] = judge.time or candidate.time
    needed = {*judge.key, *judge.slices, judge.time}
    kept = {**veiled, **{n: c for n, c in judge.columns.items() if c.personal or n in needed}}
    terms["columns"] = {
        **{name: column.model_copy(update={"feature": False}) for name, column in kept.items()},
        **candidate.columns,
    }
    if judge.decision and set(judge.classes) == set(candidate.classes):
        terms["decision"] = judge.decision
    return candidate.model_copy(update=terms)


def asks_else(old: Contract, new: Contract) -> bool:
    """Whether another column is predicted, or one of another type."""
    return (old.target.name, old.target.type) != (new.target.name, new.target.type)


def unveiled(
    old: Contract, new: Contract, veiled: Mapping[str, Column] = MappingProxyType({})
) -> list[str]:
    """Columns that are personal in the old contract, or in `veiled`, and in the new one are not."""
    personal = [*veiled, *(name for name, column in old.columns.items() if column.personal)]
    return [name for name in personal if name in new.columns and not new.columns[name].personal]


def told(old: Contract, new: Contract) -> Iterator[str]:
    """What changes in how a model is judged, or in whose data is used: for people to read."""
    if gone := [name for name in old.slices if name not in new.slices]:
        yield (
            f"slices {', '.join(gone)} are gone, and judged all the same; once this is live, "
            "nobody judges them"
        )
    if more := [name for name in new.slices if name not in old.slices]:
        yield f"slices {', '.join(more)} come"
    if old.decision != new.decision:
        same = set(old.classes) == set(new.classes)
        kept = "; judged by the old ones" if old.decision and same else ""
        yield f"the decision or its costs are others{kept}"
    if old.key != new.key:
        yield f"the key {', '.join(old.key)} becomes {', '.join(new.key)}; judged by the old one"
    if old.time != new.time:
        ours = "; judged by the old one" if old.time else ""
        yield f"the time of a row is {new.time}, not {old.time}{ours}"
    if old.group != new.group:
        yield f"rows are grouped by {new.group}, not {old.group}; the coarser one judges"
    if (old.target, old.prediction) != (new.target, new.prediction):
        yield "the target or the prediction is another"
    if shown := unveiled(old, new):
        yield f"{', '.join(shown)} would be personal no longer"
    private = [name for name, column in old.columns.items() if column.personal]
    if left := [name for name in private if name not in new.columns]:
        yield f"{', '.join(left)} would not be described, and stays personal"
    for name, before in old.columns.items():
        after = new.columns.get(name)
        if after and before.afterwards and not after.afterwards:
            yield f"{name} would be known before the answer is"
        if after and before.on_arrival != after.on_arrival:
            yield f"{name} on arrival: {before.on_arrival} -> {after.on_arrival}"


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
