"""What the gate sees of training data that cheats, and how often honest data is refused.

    uv run --no-project --python PROJECT/.venv/bin/python benchmarks/cheating.py PROJECT

PROJECT is a project generated with the default answers, whose pipeline has run. Writes
benchmarks/cheating.md and the table on the page of the check `leakage`; takes about ten minutes on
one core. Every figure follows from fixed seeds. Rows that are gone: benchmarks/slices.py.
"""

from __future__ import annotations

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"  # before scikit-learn is there

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pages import made_with, put
from sklearn.ensemble import HistGradientBoostingClassifier

from gatewright.contract.schema import parse_contract, read_contract
from gatewright.evaluation.bootstrap import measure
from gatewright.evaluation.metrics import chosen
from gatewright.evaluation.near_copies import find_near_copies
from gatewright.evaluation.new_columns import new_columns, share_of_gain
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.unexplained import find_unexplained
from gatewright.gate.checks.leakage import LeakageCheck
from gatewright.paths import TEST, TRAIN

HERE = Path(__file__).parent
HONEST, ATTACKS = 200, 30  # repetitions
TESTED, OLD, NEW = 5_000, 10_000, 4_000  # rows
LEAKAGE = LeakageCheck.Settings()


def counted(said: str, times: int, one: Callable[[int], bool]) -> str:
    refused = sum(one(number) for number in range(times))
    print(f"{said}: {refused} of {times}", flush=True)
    return f"| {said} | {refused} of {times} |"


class Flights:
    """The template's rows, drawn anew for each repetition."""

    def __init__(self, project: Path) -> None:
        self.contract = read_contract(project)
        self.train, self.test = (pd.read_parquet(project / path) for path in (TRAIN, TEST))
        self.all = pd.concat([self.train, self.test], ignore_index=True)

    def copies(
        self, known: pd.DataFrame | None, new: pd.DataFrame, test: pd.DataFrame, seed: int
    ) -> bool:
        train = new if known is None else pd.concat([known, new], ignore_index=True)
        features = self.contract.features
        found = find_near_copies(train, known, test, self.contract, features, seed).beyond
        return found is not None and not found.low <= LEAKAGE.max_near

    def honest_copies(self, kind: str, number: int) -> bool:
        draw = np.random.default_rng([1, number])
        if kind == "rows of the same days":
            at = draw.permutation(len(self.all))[: TESTED + OLD + NEW]
            parts = np.split(at, [TESTED, TESTED + OLD])
            test, known, new = (self.all.iloc[part] for part in parts)
            return self.copies(known, new, test, number)
        test = self.test.sample(TESTED, random_state=number)
        if kind == "a first model":
            return self.copies(None, self.train.sample(OLD, random_state=number), test, number)
        weeks = self.train[self.contract.time or ""].dt.isocalendar().week.to_numpy()
        last = draw.integers(8, weeks.max() + 1)
        return self.copies(self.train[weeks < last], self.train[weeks == last], test, number)

    def disguised(self, share: float, changed: int, number: int) -> bool:
        """Test rows under another key and time, `changed` of their columns drawn anew."""
        draw = np.random.default_rng([2, number])
        test = self.test.sample(TESTED, random_state=number)
        known = self.train.sample(OLD, random_state=number)
        copies = test.sample(frac=share, random_state=number)
        copies = copies.assign(scheduled_departure=copies["scheduled_departure"] - pd.Timedelta(90))
        for name in draw.choice(self.contract.features, changed, replace=False):
            copies[name] = draw.permutation(copies[name].to_numpy())
        return self.copies(known, copies, test, number)


WORLD = parse_contract(
    """\
name: World
description: A made-up one
key: [number]
target: {name: hit, description: Whether it is}
prediction: {name: probability, description: How probable}
decision:
  description: Act
  unit: EUR
  actions: {false: wait, true: act}
  costs: {false: {false: 0, true: 3}, true: {false: 10, true: 3}}
slices: [place]
columns:
  number: {type: integer, description: Its number, feature: false}
  place: {type: string, description: One of ten, feature: false}
"""
    + "".join(f"  x{i}: {{type: number, description: Number {i}}}\n" for i in range(8))
)


def world(n: int, first: int, seed: int, weather: float = 0.0, day: Any = None) -> pd.DataFrame:
    """Rows by number, a tenth of them at each place.

    weather: the spread of what rows of one day share and no column says; day: shape (n,).
    """
    draw = np.random.default_rng([seed, first])
    numbers = draw.normal(size=(8, n))
    score = np.array([1.2, 0.9, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1]) @ numbers
    columns = {f"x{i}": column for i, column in enumerate(numbers)}
    if day is not None:
        score += draw.normal(0, weather, day.max() + 1)[day]
    hit = draw.random(n) < 1 / (1 + np.exp(-score))
    number = np.arange(first, first + n)
    place = (number % 10).astype(str).astype(object)
    return pd.DataFrame({"number": number, "place": place, **columns, "hit": hit})


def fitted(rows: pd.DataFrame, seed: int, names: list[str] | None = None) -> Callable[..., Answers]:
    names = names or WORLD.features
    model = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.1, random_state=seed)
    model.fit(rows[names], rows["hit"])

    def said(asked: pd.DataFrame) -> Answers:
        scores = model.predict_proba(asked[names])[:, 1]
        return Answers(scores, (scores >= 0.3).astype(int))

    return said


def memory(seen: float, number: int) -> bool:
    """The candidate was trained on 500 rows more, and on a share of the test rows."""
    old, test = world(3000, 0, number), world(3000, 10_000, number)
    now = pd.concat([old, world(500, 5000, number)], ignore_index=True)
    champion = fitted(old, number)(test)
    learnt = pd.concat([now, test.sample(frac=seen, random_state=number)], ignore_index=True)
    candidate = fitted(learnt, number + 1)(test)
    found = find_unexplained(now, old, test, candidate, champion, WORLD, seed=number)
    return found is not None and not found.share.low <= LEAKAGE.max_unexplained


def column(spread: float, number: int) -> bool:
    """A new column that nobody vouches for: the answer and noise of this spread."""
    text = WORLD.model_copy(update={"columns": WORLD.columns | {"extra": WORLD.columns["x0"]}})
    old, test = world(3000, 0, number), world(3000, 10_000, number)
    draw = np.random.default_rng([6, number])
    old, test = (
        rows.assign(
            extra=rows["hit"] * np.isfinite(spread) + draw.normal(0, min(spread, 9), len(rows))
        )
        for rows in (old, test)
    )
    y, ask = test["hit"].to_numpy(), fitted(old, number, text.features)
    answers = {"candidate": ask(test), "champion": fitted(old, number)(test)}
    measured = measure(y, answers, chosen(text, (), {}), resamples=200, seed=number)
    new = share_of_gain(
        new_columns(text, WORLD),
        *(test, y, answers, ("candidate", "champion"), measured, ask, text, number),
    )
    return new.metric is not None and not new.other_share < LEAKAGE.max_not_vouched


def honest(flights: Flights) -> Iterator[str]:
    for kind in ("a first model", "rows of the same days", "the next week"):
        said = f"near copies: {kind}"
        yield counted(said, HONEST, lambda n, kind=kind: flights.honest_copies(kind, n))
    yield counted("memory: 500 rows more, another seed", HONEST, lambda n: memory(0.0, n))
    yield counted("new column: nothing but noise", HONEST, lambda n: column(np.inf, n))


def attacks(flights: Flights) -> Iterator[str]:
    width = len(flights.contract.features)
    for share, changed in ((1.0, 2), (1.0, 4), (1.0, 6), (0.2, 2), (0.1, 0), (0.1, 2), (0.05, 0)):
        said = f"near copies: {share:.0%} of the test rows, {changed} of {width} columns changed"
        yield counted(said, ATTACKS, lambda n, s=share, c=changed: flights.disguised(s, c, n))
    for seen in (1.0, 0.5, 0.2):
        said = f"memory: trained on {seen:.0%} of the test rows"
        yield counted(said, ATTACKS, lambda n, seen=seen: memory(seen, n))
    for spread in (0.5, 1.0, 2.0):
        said = f"new column: the answer and noise of {spread:g}"
        yield counted(said, ATTACKS, lambda n, spread=spread: column(spread, n))


def main(project: Path) -> None:
    flights = Flights(project)
    table = [
        "| honest | refused |",
        "| --- | --- |",
        *honest(flights),
        "",
        "| attack | refused |",
        "| --- | --- |",
        *attacks(flights),
    ]
    text = TEXT.format(**globals() | {"made_with": made_with(), "table": "\n".join(table)})
    (HERE / "cheating.md").write_text(f"# Training data that cheats\n\n{text}", encoding="utf-8")
    put("checks/leakage.md", "cheating", text)


TEXT = """\
By `benchmarks/cheating.py` of the template, with {made_with} and the
default settings. Near copies are sought in the template's example data, drawn anew each time:
{TESTED:,} test rows, {OLD:,} training rows of the champion (or of a first model), {NEW:,} new
rows of the candidate, or those of a week. Copies stand under another key and time, and the values
of each column that is changed are dealt anew. Memory and new columns are asked of made-up rows with
eight numbers: 3,000 test rows, 3,000 training rows of the champion, and 500 more for memory; a new
column is noise of so large a standard deviation, and the answer (0 or 1) is added to it.

{table}
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
