"""Why a plan answers as it does: what each input adds, and the sum is the answer.

For trees these are Shapley values of the path-dependent game (Lundberg, Erion and Lee 2018,
"Consistent individualized feature attribution for tree ensembles"): a column that is not known
goes both ways, as often as training rows did. They are computed a leaf at a time: there the game is
a product over the columns on its path. For sums they are the weight times what a column differs
from its mean. Both are on the scale before the link: log odds for probabilities of boosting and
logistic regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import factorial, isclose
from typing import Any

from gatewright.errors import Refused
from gatewright.forms.ask import Asker
from gatewright.forms.plan import Linear, Plan, Tree, Trees

SCALES = {
    "logistic": "log odds",
    "softmax": "log odds",
    "exp": "logarithm",
    "identity": "answer",
}
Test = tuple[float, bool, bool]  # threshold, whether the leaf is to its left, and missing ones too
_Leaf = tuple[tuple[float, ...], tuple[tuple[int, float, tuple[Test, ...]], ...]]


@dataclass(frozen=True)
class Explanation:
    """What each input adds to `start`, on `scale`; together they make `total`."""

    scale: str
    start: float
    contributions: dict[str, float]
    total: float


class Explainer:
    """Explanations of one plan. For trees each takes some 1,000 times as long as an answer."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.asker = Asker(plan)
        self._trees = (
            [] if isinstance(plan.head, Linear) else [_leaves(tree) for tree in plan.head.trees]
        )

    def explain(self, request: Mapping[str, Any], output: int = 0) -> Explanation:
        """Of the given output: 0, or the number of a class where there are several.

        Raises Refused if the parts do not add up to what the plan computes.
        """
        columns = self.asker.columns(request)
        head = self.plan.head
        if isinstance(head, Linear):
            start, parts = _of_sum(head, columns, output)
        else:
            start, parts = self._of_trees(head, columns, output)
        added = dict.fromkeys(self.plan.inputs, 0.0)
        for column, part in zip(self.plan.columns, parts, strict=True):
            added[column.input] += part
        total = start + sum(parts)
        raw = self.asker.raw(columns)[output]
        if not isclose(total, raw, rel_tol=1e-9, abs_tol=1e-9):
            raise Refused(f"The explanation adds up to {total}, where the model says {raw}.")
        return Explanation(SCALES[self.plan.link], start, added, total)

    def _of_trees(
        self, head: Trees, columns: Sequence[float], output: int
    ) -> tuple[float, list[float]]:
        start, parts = head.start[output], [0.0] * len(columns)
        for leaves, of in zip(self._trees, head.outputs, strict=True):
            if of not in (-1, output):
                continue
            for values, path in leaves:
                start += _add_leaf(values[0 if of >= 0 else output], path, columns, parts)
        return start / head.divisor, [part / head.divisor for part in parts]


def _of_sum(head: Linear, columns: Sequence[float], output: int) -> tuple[float, list[float]]:
    weights = head.weights[output]
    pairs = list(zip(weights, columns, head.means, strict=True))
    start = head.start[output] + sum(weight * mean for weight, _, mean in pairs)
    return start, [weight * (value - mean) for weight, value, mean in pairs]


def _leaves(tree: Tree) -> list[_Leaf]:
    """Each leaf's values, and of each column on its path: the share of rows, and the tests."""
    found: list[_Leaf] = []
    stack: list[tuple[int, dict[int, tuple[float, tuple[Test, ...]]]]] = [(0, {})]
    while stack:
        node, path = stack.pop()
        if tree.left[node] < 0:
            steps = tuple((column, share, tests) for column, (share, tests) in path.items())
            found.append((tree.values[node], steps))
            continue
        column = tree.column[node]
        share, tests = path.get(column, (1.0, ()))
        for child, left in ((tree.left[node], True), (tree.right[node], False)):
            part = tree.cover[child] / tree.cover[node] if tree.cover[node] else 0.5
            test = (tree.threshold[node], left, tree.missing_left[node] is left)
            stack.append((child, {**path, column: (share * part, (*tests, test))}))
    return found


def _add_leaf(
    value: float,
    path: tuple[tuple[int, float, tuple[Test, ...]], ...],
    columns: Sequence[float],
    parts: list[float],
) -> float:
    """Add a leaf's Shapley values to `parts`; its mean over what is not known."""
    shares, there = [], []
    for column, share, tests in path:
        shares.append(share)
        there.append(_passes(columns[column], tests))
    expected = value
    product = [1.0]  # of (share + there * t) over the columns, by powers of t
    for share, passes in zip(shares, there, strict=True):
        expected *= share
        product = [share * low + passes * high for low, high in _neighbours(product)]
    size = len(shares)
    weights = _weights(size)
    for at, (column, _, _) in enumerate(path):
        share, passes = shares[at], there[at]
        total = 0.0
        if passes:  # the product without this column: from the highest power on, where it is exact
            without = 0.0
            for power in range(size - 1, -1, -1):
                without = product[power + 1] - share * without
                total += weights[power] * without
        else:
            total = sum(weights[power] * product[power] for power in range(size)) / share
        parts[column] += value * (passes - share) * total
    return expected


def _neighbours(values: list[float]) -> list[tuple[float, float]]:
    return list(zip([*values, 0.0], [0.0, *values], strict=True))


@cache
def _weights(size: int) -> tuple[float, ...]:
    """Of a coalition of 0, 1, 2, ... of the other columns, as Shapley weighs them."""
    whole = factorial(size)
    return tuple(factorial(k) * factorial(size - 1 - k) / whole for k in range(size))


def _passes(value: float, tests: tuple[Test, ...]) -> float:
    for threshold, left, missing in tests:
        if value != value:
            if not missing:
                return 0.0
        elif (value <= threshold) is not left:
            return 0.0
    return 1.0
