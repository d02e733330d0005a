"""A model as plain numbers: columns computed from a request, then trees or a sum, then a link.

Nothing but the standard library is needed to read one and to ask it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from typing import Any, Literal

from gatewright.errors import Refused

FORMAT = 1
Link = Literal["identity", "logistic", "softmax", "exp"]
Value = str | bool | int | float | None


@dataclass(frozen=True)
class Lookup:
    """A number for each value of a category; one for a value that is not named, one for none."""

    input: str
    values: dict[str | bool, float]
    unknown: float
    missing: float

    def of(self, value: Any) -> float:
        return self.missing if value is None else self.values.get(value, self.unknown)


@dataclass(frozen=True)
class Number:
    """A number, or `missing` (nan stays nan); then shifts and scales, in this order."""

    input: str
    missing: float = nan
    steps: tuple[tuple[float, float], ...] = ()  # (x - shift) / scale

    def of(self, value: Any) -> float:
        number = self.missing if value is None else float(value)
        for shift, scale in self.steps:
            number = (number - shift) / scale
        return number


@dataclass(frozen=True)
class IsMissing:
    """1 where no value is given, else 0; then shifts and scales."""

    input: str
    steps: tuple[tuple[float, float], ...] = ()

    def of(self, value: Any) -> float:
        number = 1.0 if value is None else 0.0
        for shift, scale in self.steps:
            number = (number - shift) / scale
        return number


Computed = Lookup | Number | IsMissing


@dataclass(frozen=True)
class Tree:
    """Nodes by number, the root first; a leaf has no children (-1).

    A row goes left where its column is at most `threshold` (inf lets every number go left) and,
    without a value, where `missing_left` says so. `values` has what a leaf adds, one number an
    output; `cover` how many training rows came to the node.
    """

    column: tuple[int, ...]
    threshold: tuple[float, ...]
    missing_left: tuple[bool, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    cover: tuple[float, ...]

    @property
    def leaves(self) -> int:
        return sum(child < 0 for child in self.left)


@dataclass(frozen=True)
class Trees:
    """The sum of `start` and of one leaf of each tree, tree by tree, divided by `divisor`.

    `outputs` has, for each tree, the number of the output that it adds to; -1 is all of them.
    """

    start: tuple[float, ...]
    trees: tuple[Tree, ...]
    outputs: tuple[int, ...]
    divisor: float = 1.0


@dataclass(frozen=True)
class Linear:
    """weights: shape (outputs, columns); start: shape (outputs,). `means` are of the columns."""

    start: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    means: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """A model that answers requests for one contract.

    classes: in the contract's order, empty for a number; with two, the answer is the probability
    of the second. threshold: from which probability on the second of two classes is recommended;
    None takes the more probable one.
    """

    model: str  # sha256 of the model file that it was made from
    inputs: tuple[str, ...]
    columns: tuple[Computed, ...]
    head: Trees | Linear
    link: Link
    classes: tuple[str | bool, ...] = ()
    threshold: float | None = None


def plan_text(plan: Plan) -> str:
    """Canonical JSON: equal plans are equal texts."""
    head: dict[str, Any]
    if isinstance(plan.head, Trees):
        trees = [_tree_values(tree) for tree in plan.head.trees]
        head = {"divisor": plan.head.divisor, "outputs": plan.head.outputs}
        head = {"start": plan.head.start, "trees": trees} | head
    else:
        head = {
            "start": plan.head.start,
            "weights": plan.head.weights,
            "means": plan.head.means,
        }
    values = {
        "format": FORMAT,
        "model": plan.model,
        "inputs": plan.inputs,
        "columns": [_column_values(column) for column in plan.columns],
        "head": head,
        "link": plan.link,
        "classes": plan.classes,
        "threshold": plan.threshold,
    }
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def parse_plan(text: str) -> Plan:
    """Raises Refused for what is no plan, or of a format that this version does not know."""
    try:
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise Refused(f"The plan is of format {values['format']}, and this reads {FORMAT}.")
        head = values["head"]
        return Plan(
            model=values["model"],
            inputs=tuple(values["inputs"]),
            columns=tuple(map(_column, values["columns"])),
            head=_trees(head) if "trees" in head else _linear(head),
            link=values["link"],
            classes=tuple(values["classes"]),
            threshold=values["threshold"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"The plan of the model cannot be read ({error}). Fetch it again.") from None


def _column_values(column: Computed) -> dict[str, Any]:
    if isinstance(column, Lookup):
        pairs = list(column.values.items())
        more = {"unknown": column.unknown, "missing": column.missing}
        return {"input": column.input, "lookup": pairs} | more
    steps = {"steps": column.steps} if column.steps else {}
    if isinstance(column, IsMissing):
        return {"input": column.input, "is_missing": True} | steps
    return {"input": column.input, "missing": _written(column.missing)} | steps


def _column(values: Mapping[str, Any]) -> Computed:
    if "lookup" in values:
        pairs = dict(values["lookup"])
        return Lookup(values["input"], pairs, values["unknown"], values["missing"])
    steps = tuple((shift, scale) for shift, scale in values.get("steps", ()))
    if "is_missing" in values:
        return IsMissing(values["input"], steps)
    missing = values["missing"]
    return Number(values["input"], nan if missing is None else missing, steps)


def _tree_values(tree: Tree) -> dict[str, Any]:
    return {
        "column": tree.column,
        "threshold": [None if value == inf else value for value in tree.threshold],
        "missing_left": [int(value) for value in tree.missing_left],
        "left": tree.left,
        "right": tree.right,
        "values": tree.values,
        "cover": tree.cover,
    }


def _trees(head: Mapping[str, Any]) -> Trees:
    trees = tuple(
        Tree(
            column=tuple(tree["column"]),
            threshold=tuple(inf if value is None else value for value in tree["threshold"]),
            missing_left=tuple(map(bool, tree["missing_left"])),
            left=tuple(tree["left"]),
            right=tuple(tree["right"]),
            values=tuple(map(tuple, tree["values"])),
            cover=tuple(tree["cover"]),
        )
        for tree in head["trees"]
    )
    return Trees(tuple(head["start"]), trees, tuple(head["outputs"]), head["divisor"])


def _linear(head: Mapping[str, Any]) -> Linear:
    return Linear(tuple(head["start"]), tuple(map(tuple, head["weights"])), tuple(head["means"]))


def _written(number: float) -> float | None:
    return None if number != number else number
