"""A plan as SQL: one query that any row of a table is answered by, in the database itself."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from gatewright.contract.schema import Contract
from gatewright.forms.plan import Computed, IsMissing, Linear, Lookup, Plan, Tree, Trees

Dialect = Literal["sqlite", "duckdb", "postgres"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
AT_ONCE = 200  # terms in one sum: SQLite lets expressions be 1,000 deep
DEEPEST = 12  # trees that are nested as they are: SQLite's parser remembers 100 symbols
LARGEST = 700.0  # exponents beyond it are zero or one, and an error in PostgreSQL


@dataclass(frozen=True)
class _Words:
    """How a dialect writes what others write otherwise."""

    dialect: Dialect

    def number(self, value: float) -> str:
        if value != value:
            return "NULL"
        text = repr(float(value))
        if self.dialect == "postgres":
            return f"'{text}'::float8"
        if self.dialect == "duckdb" and "e" not in text:
            return f"{text}e0"  # without an exponent it is a decimal, which is added up otherwise
        return f"({text})" if text.startswith("-") else text

    def double(self, name: str) -> str:
        """A column as a double; what is no number counts as missing."""
        cast = f"CAST({name} AS DOUBLE PRECISION)"
        return cast if self.dialect == "sqlite" else f"NULLIF({cast}, 'NaN'::float8)"

    def least(self, *parts: str) -> str:
        return f"{'min' if self.dialect == 'sqlite' else 'least'}({', '.join(parts)})"

    def greatest(self, *parts: str) -> str:
        return f"{'max' if self.dialect == 'sqlite' else 'greatest'}({', '.join(parts)})"


def sql_of(plan: Plan, contract: Contract, dialect: Dialect, table: str) -> str:
    """A query: the key of each row of `table`, the answer, and what is recommended and done.

    The table has the contract's columns. Values that no contract would let in are answered as the
    model answers them.
    """
    words = _Words(dialect)
    taken = ", ".join(f"{quoted(name)} AS k{at}" for at, name in enumerate(contract.key))
    key = ", ".join(f"k{at}" for at, _ in enumerate(contract.key))
    given = ", ".join(f"k{at} AS {quoted(name)}" for at, name in enumerate(contract.key))
    parts, raw = _parts(plan.head, words)
    columns = [_column(column, words) for column in plan.columns]
    steps = [
        _step("columns", taken, "c", columns, quoted(table)),
        _step("parts", key, "p", parts, "columns"),
        _step("raw", key, "r", raw, "parts"),
        _step("answers", key, "a", _answers(plan, words, len(raw)), "raw"),
    ]
    last = ",\n  ".join([given, *_named(plan, contract, words)])
    return "\n".join((f"WITH {', '.join(steps)}", "SELECT", f"  {last}", "FROM answers", ""))


def _step(name: str, key: str, letter: str, values: list[str], source: str) -> str:
    """A table that is computed once, however often its columns are used afterwards."""
    listed = ",\n  ".join([key, *(f"{value} AS {letter}{at}" for at, value in enumerate(values))])
    lines = (f"{name} AS MATERIALIZED (", f"  SELECT {listed}", f"  FROM {source}", ")")
    return "\n".join(lines)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _column(column: Computed, words: _Words) -> str:
    name = quoted(column.input)
    if isinstance(column, Lookup):
        return _lookup(column, name, words)
    if isinstance(column, IsMissing):
        one, zero = words.number(1), words.number(0)
        sql = f"CASE WHEN {words.double(name)} IS NULL THEN {one} ELSE {zero} END"
    else:
        sql = words.double(name)
        if column.missing == column.missing:
            sql = f"COALESCE({sql}, {words.number(column.missing)})"
    for shift, scale in column.steps:
        sql = f"(({sql} - {words.number(shift)}) / {words.number(scale)})"
    return sql


def _lookup(column: Lookup, name: str, words: _Words) -> str:
    by_code: dict[float, list[str]] = {}
    for value, code in column.values.items():
        written = text(value) if isinstance(value, str) else str(value).upper()
        by_code.setdefault(code, []).append(written)
    cases = [f"WHEN {name} IS NULL THEN {words.number(column.missing)}"]
    cases += [
        f"WHEN {name} IN ({', '.join(values)}) THEN {words.number(code)}"
        for code, values in by_code.items()
        if code != column.unknown
    ]
    return f"CASE {' '.join(cases)} ELSE {words.number(column.unknown)} END"


def _parts(head: Trees | Linear, words: _Words) -> tuple[list[str], list[str]]:
    """Sums of at most `AT_ONCE` terms, and the outputs before the link, made of these."""
    terms: list[list[str]] = [[] for _ in head.start]
    if isinstance(head, Linear):
        for output, weights in enumerate(head.weights):
            terms[output] = [f"{words.number(w)} * c{at}" for at, w in enumerate(weights) if w]
    else:
        for tree, output in zip(head.trees, head.outputs, strict=True):
            for place in range(len(head.start)) if output < 0 else (output,):
                terms[place].append(_tree(tree, 0 if output >= 0 else place, words))
    divisor = 1.0 if isinstance(head, Linear) else head.divisor
    parts: list[str] = []
    raw: list[str] = []
    for start, of_output in zip(head.start, terms, strict=True):
        begin = len(parts)
        for at in range(0, max(1, len(of_output)), AT_ONCE):
            some = of_output[at : at + AT_ONCE]
            first = [words.number(start)] if at == 0 else []
            parts.append("\n      + ".join(first + some))
        total = " + ".join(f"p{at}" for at in range(begin, len(parts)))
        raw.append(total if divisor == 1 else f"({total}) / {words.number(divisor)}")
    return parts, raw


def _tree(tree: Tree, place: int, words: _Words) -> str:
    if words.dialect == "sqlite" and _depth(tree) > DEEPEST:
        return _flat(tree, place, words)
    return _nested(tree, place, words, 0)


def _depth(tree: Tree) -> int:
    depths = {0: 0}
    for node, left in enumerate(tree.left):  # children come after their parents
        if left >= 0:
            depths[left] = depths[tree.right[node]] = depths[node] + 1
    return max(depths.values())


def _nested(tree: Tree, place: int, words: _Words, node: int) -> str:
    """A missing value compares as unknown, which is `ELSE`: the side where it goes comes there."""
    left, right = tree.left[node], tree.right[node]
    if left < 0:
        return words.number(tree.values[node][place])
    column, threshold = f"c{tree.column[node]}", tree.threshold[node]
    go_left = _nested(tree, place, words, left)
    if threshold == inf and tree.missing_left[node]:
        return go_left
    go_right = _nested(tree, place, words, right)
    if threshold == inf:
        return f"CASE WHEN {column} IS NOT NULL THEN {go_left} ELSE {go_right} END"
    limit = words.number(threshold)
    if tree.missing_left[node]:
        return f"CASE WHEN {column} > {limit} THEN {go_right} ELSE {go_left} END"
    return f"CASE WHEN {column} <= {limit} THEN {go_left} ELSE {go_right} END"


def _flat(tree: Tree, place: int, words: _Words) -> str:
    """One case a leaf, from left to right: the first whose turns to the left all hold.

    That is the row's leaf: each leaf before it lies left of a test that fails (Lucchese et al.).
    """
    cases: list[str] = []
    stack: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    while stack:
        node, turns = stack.pop()
        left = tree.left[node]
        if left < 0:
            value = words.number(tree.values[node][place])
            cases.append(f"WHEN {' AND '.join(turns)} THEN {value}" if turns else f"ELSE {value}")
            continue
        stack.append((tree.right[node], turns))
        stack.append((left, (*turns, _goes_left(tree, node, words))))
    return f"CASE {' '.join(cases)} END"


def _goes_left(tree: Tree, node: int, words: _Words) -> str:
    column, threshold = f"c{tree.column[node]}", tree.threshold[node]
    missing = tree.missing_left[node]
    if threshold == inf:
        return "TRUE" if missing else f"{column} IS NOT NULL"
    test = f"{column} <= {words.number(threshold)}"
    return f"({test} OR {column} IS NULL)" if missing else test


def _answers(plan: Plan, words: _Words, outputs: int) -> list[str]:
    one = words.number(1)
    match plan.link:
        case "identity":
            return [f"r{at}" for at in range(outputs)]
        case "exp":
            return ["exp(r0)"]
        case "logistic":
            power = f"exp(-{words.least('abs(r0)', words.number(LARGEST))})"
            return [
                f"CASE WHEN r0 >= {words.number(0)} THEN {one} / ({one} + {power}) "
                f"ELSE {power} / ({one} + {power}) END"
            ]
    most = words.greatest(*(f"r{at}" for at in range(outputs)))
    limit = words.number(LARGEST)
    powers = [f"exp(-{words.least(f'{most} - r{at}', limit)})" for at in range(outputs)]
    total = " + ".join(powers)
    return [f"{power} / ({total})" for power in powers]


def _named(plan: Plan, contract: Contract, words: _Words) -> list[str]:
    name = contract.prediction.name
    if not plan.classes:
        return [f"a0 AS {quoted(name)}"]
    if len(plan.classes) == 2:
        half = words.number(0.5 if plan.threshold is None else plan.threshold)
        than = ">" if plan.threshold is None else ">="
        event = f"CASE WHEN a0 {than} {half} THEN %s ELSE %s END"
        recommended = event % ("TRUE", "FALSE")
        found = [f"a0 AS {quoted(name)}", f"{recommended} AS recommends"]
        if contract.decision:
            of = contract.decision.actions
            found.append(f"{event % (text(of[True]), text(of[False]))} AS decision")
        return found
    found = [f"a{at} AS {quoted(f'{name} {value}')}" for at, value in enumerate(plan.classes)]
    best = words.greatest(*(f"a{at}" for at in range(len(plan.classes))))
    found.append(f"{_first(best, [text(str(v)) for v in plan.classes])} AS recommends")
    if contract.decision:
        done = [text(contract.decision.actions[value]) for value in plan.classes]
        found.append(f"{_first(best, done)} AS decision")
    return found


def _first(best: str, words: list[str]) -> str:
    cases = " ".join(f"WHEN a{at} = {best} THEN {word}" for at, word in enumerate(words))
    return f"CASE {cases} END"
