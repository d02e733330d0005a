"""Asking a plan, with the standard library alone.

Small trees are asked all at once, as QuickScorer does (Lucchese et al. 2015, "QuickScorer: a fast
algorithm to rank documents with additive ensembles of regression trees"): each comparison that
fails takes the leaves to its left away, as bits of one long integer; what is left of a tree begins
with the leaf that the row comes to. Larger trees are walked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import exp
from operator import mul
from struct import Struct
from typing import Any

from gatewright.forms.plan import Linear, Plan, Tree, Trees

MOST_LEAVES = 64  # of a tree whose leaves are bits
MOST_BYTES = 16_000_000  # that all bits may take
Raw = Callable[[Sequence[float]], list[float]]  # columns in, outputs before the link


class Asker:
    """Answers of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._columns = [(column.input, column.of) for column in plan.columns]
        self.raw = raw_of(plan)

    def columns(self, request: Mapping[str, Any]) -> list[float]:
        """What the model takes in, from a request by input; None where a value is missing."""
        return [of(request[name]) for name, of in self._columns]

    def scores(self, request: Mapping[str, Any]) -> list[float]:
        """The probability of the event, of each class, or the predicted number."""
        return linked(self.raw(self.columns(request)), self.plan.link)

    def recommended(self, scores: Sequence[float]) -> int:
        """The number of the recommended class, in the order of the plan's classes."""
        if len(self.plan.classes) > 2:
            return max(range(len(scores)), key=scores.__getitem__)
        if self.plan.threshold is None:
            return int(scores[0] > 1 - scores[0])
        return int(scores[0] >= self.plan.threshold)


def linked(raw: list[float], link: str) -> list[float]:
    if link == "identity":
        return raw
    if link == "logistic":
        return [logistic(raw[0])]
    if link == "exp":
        return [exp(raw[0])]
    most = max(raw)
    powers = [exp(value - most) for value in raw]
    total = sum(powers)
    return [power / total for power in powers]


def logistic(raw: float) -> float:
    if raw >= 0:
        return 1 / (1 + exp(-raw))
    power = exp(raw)
    return power / (1 + power)


def raw_of(plan: Plan) -> Raw:
    if isinstance(plan.head, Linear):
        return _linear(plan.head)
    return quick(plan.head, len(plan.columns)) or walked(plan.head)


def _linear(head: Linear) -> Raw:
    def raw(columns: Sequence[float]) -> list[float]:
        pairs = zip(head.weights, head.start, strict=True)
        return [sum(map(mul, weights, columns)) + start for weights, start in pairs]

    return raw


def walked(head: Trees) -> Raw:
    """Each tree from its root to the leaf that the row comes to."""
    roots = [_nested(tree) for tree in head.trees]
    pairs = list(zip(roots, head.outputs, strict=True))

    def raw(columns: Sequence[float]) -> list[float]:
        totals = list(head.start)
        for node, output in pairs:
            while len(node) == 5:
                column, threshold, missing_left, left, right = node
                value = columns[column]
                node = left if value <= threshold or (missing_left and value != value) else right
            _add(totals, node[0], output)
        return _divided(totals, head.divisor)

    return raw


def _nested(tree: Tree) -> Any:
    """A node as (column, threshold, missing_left, left, right), a leaf as (values,)."""
    nodes: list[Any] = [None] * len(tree.left)
    for number in reversed(range(len(nodes))):  # children come after their parents
        if tree.left[number] < 0:
            nodes[number] = (tree.values[number],)
        else:
            below = (nodes[tree.left[number]], nodes[tree.right[number]])
            test = (tree.column[number], tree.threshold[number], tree.missing_left[number])
            nodes[number] = (*test, *below)
    return nodes[0]


def quick(head: Trees, columns: int) -> Raw | None:
    """All trees at once; None where their bits would take too much memory."""
    most = max(tree.leaves for tree in head.trees)
    tests = sum(len(tree.left) - tree.leaves for tree in head.trees)
    width = 4 if most <= 32 else 8
    if most > MOST_LEAVES or tests * width * len(head.trees) > MOST_BYTES:
        return None
    bits = 8 * width
    whole = (1 << bits * len(head.trees)) - 1
    found: list[list[tuple[float, int]]] = [[] for _ in range(columns)]
    missing = [whole] * columns
    leaves: list[dict[int, tuple[float, ...]]] = []
    for number, tree in enumerate(head.trees):
        first, at = _in_order(tree)
        leaves.append({1 << place: tree.values[leaf] for leaf, place in at.items()})
        for node, left in enumerate(tree.left):
            if left < 0:
                continue
            # Where the test fails, no leaf below its left child can be the row's.
            span = (1 << first[tree.right[node]]) - (1 << first[node])
            kept = whole & ~(span << bits * number)
            column = tree.column[node]
            found[column].append((tree.threshold[node], kept))
            if not tree.missing_left[node]:
                missing[column] &= kept
    tables = [_table(pairs, whole) for pairs in found]
    used = [
        (number, tables[number][0], tables[number][1], missing[number])
        for number in range(columns)
        if found[number]
    ]
    size = width * len(head.trees)
    words = Struct(f"<{len(head.trees)}{'I' if width == 4 else 'Q'}").unpack
    if len(head.start) == 1:
        singles = [{bit: values[0] for bit, values in tree.items()} for tree in leaves]

        def one(columns: Sequence[float]) -> list[float]:
            left = whole
            for number, thresholds, masks, without in used:
                value = columns[number]
                left &= masks[bisect_left(thresholds, value)] if value == value else without
            total = head.start[0]
            for word, values in zip(words(left.to_bytes(size, "little")), singles, strict=True):
                total += values[word & -word]
            return [total / head.divisor]

        return one

    def several(columns: Sequence[float]) -> list[float]:
        left = whole
        for number, thresholds, masks, without in used:
            value = columns[number]
            left &= masks[bisect_left(thresholds, value)] if value == value else without
        totals = list(head.start)
        found = words(left.to_bytes(size, "little"))
        for word, values, output in zip(found, leaves, head.outputs, strict=True):
            _add(totals, values[word & -word], output)
        return _divided(totals, head.divisor)

    return several


def _in_order(tree: Tree) -> tuple[dict[int, int], dict[int, int]]:
    """The place of each node's leftmost leaf, and of each leaf, from left to right."""
    first: dict[int, int] = {}
    at: dict[int, int] = {}
    stack = [0]
    while stack:
        node = stack.pop()
        first[node] = len(at)
        if tree.left[node] < 0:
            at[node] = len(at)
        else:
            stack += (tree.right[node], tree.left[node])
    return first, at


def _table(pairs: list[tuple[float, int]], whole: int) -> tuple[list[float], list[int]]:
    """Thresholds in order, and what is left where the first 0, 1, 2, ... of them fail."""
    pairs = sorted(pairs, key=lambda pair: pair[0])
    masks = [whole]
    for _, kept in pairs:
        masks.append(masks[-1] & kept)
    return [threshold for threshold, _ in pairs], masks


def _add(totals: list[float], values: tuple[float, ...], output: int) -> None:
    if output >= 0:
        totals[output] += values[0]
        return
    for number, value in enumerate(values):
        totals[number] += value


def _divided(totals: list[float], divisor: float) -> list[float]:
    return totals if divisor == 1 else [total / divisor for total in totals]
