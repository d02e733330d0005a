"""What harm in one slice is found at which size, and how often honest changes are refused there.

    uv run --no-project --python PROJECT/.venv/bin/python benchmarks/slices.py PROJECT

PROJECT is a project generated with the default answers, whose pipeline has run. Writes
benchmarks/slices.md and the tables on the pages of the checks `data`, `cost` and `slices`; takes
about ten minutes on one core. Every figure follows from fixed seeds.
"""

from __future__ import annotations

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"  # before scikit-learn is there

import inspect
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cheating import HONEST, WORLD, Flights, fitted, world
from numpy.typing import NDArray
from pages import made_with, put
from sklearn.metrics import roc_auc_score

from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.training_rows import TrainingRows
from gatewright.evaluation.vanished import vanished_rows
from gatewright.gate.checks.base import Check
from gatewright.gate.checks.cost import CostCheck
from gatewright.gate.checks.data import DataCheck
from gatewright.gate.checks.slices import SlicesCheck
from gatewright.gate.inputs import GateInputs, Loaded, Sampling
from gatewright.pipeline.dvc_lock import Lock

PAGE = Path(__file__).with_suffix(".md")
SIZES = (200, 500, 1000, 2000, 5000, 20_000)
WORLDS, ATTACKS = 50, 30  # repetitions; of honest rows that go HONEST
OTHERS = 20_000  # training rows outside of the slice
GONE = (0.1, 0.2, 0.3, 0.5, 1.0)
MARGIN = 0.02  # of ROC AUC, which is the template's
DAYS = 62
PLACE = "3"  # one of ten
DAY_SIZES = (500, 1000, 2000, 5000)
Flags = NDArray[np.bool_]


# Rows that are gone


def picked(flights: Flights, size: int, share: float | None, number: int) -> bool:
    """Of `size` rows of one carrier, a share of the late ones goes; None: any, and others too."""
    draw = np.random.default_rng([4, size, number])
    inside = (flights.train["carrier"] == "EV").to_numpy()
    at = [draw.choice(np.flatnonzero(inside), size, replace=False)]
    at.append(draw.choice(np.flatnonzero(~inside), OTHERS, replace=False))
    known = flights.train.iloc[np.concatenate(at)].reset_index(drop=True)
    if share is None:
        lost = np.where(np.arange(len(known)) < size, draw.uniform(0.05, 0.5), 0.05)
        return gone(flights, known, draw.random(len(known)) < lost)
    late = np.flatnonzero(known["late"].to_numpy()[:size])
    lost = np.zeros(len(known), dtype=bool)
    lost[draw.permutation(late)[: round(share * len(late))]] = True
    return gone(flights, known, lost)


def gone(flights: Flights, known: pd.DataFrame, lost: Flags) -> bool:
    rows = TrainingRows.read(known, known[~lost], flights.contract)
    most = DataCheck.Settings().max_vanished
    found = vanished_rows(rows, lost, flights.contract)
    return any(part.proven and part.excess > most for part in found)


def honest_gone(flights: Flights, kind: str, number: int) -> bool:
    """Rows that go for a reason which has nothing to do with their label."""
    draw = np.random.default_rng([3, number])
    known = flights.train.sample(OTHERS, random_state=number)
    times = known[flights.contract.time or ""]
    if kind == "old rows age out":
        lost = times < times.quantile(draw.uniform(0.05, 0.5))
    elif kind == "one day is taken out":
        days = times.dt.date
        lost = days == draw.choice(days.unique())
    elif kind == "all rows of one value go":
        lost = known["carrier"] == draw.choice(known["carrier"].unique())
    else:
        lost = pd.Series(draw.random(len(known)) < draw.uniform(0.01, 0.5), known.index)
    return gone(flights, known, lost.to_numpy())


HONESTLY_GONE = (
    *("old rows age out", "one day is taken out", "all rows of one value go", "rows go at random"),
)


def vanishing(flights: Flights) -> Iterator[str]:
    head = ["rows of the slice", "honest, refused", *(f"{share:.0%}" for share in GONE)]
    yield row(head)
    yield row(["---"] * len(head))
    for size in SIZES:
        alarms = sum(picked(flights, size, None, number) for number in range(2 * WORLDS))
        cells = [f"{size:,}", f"{alarms} of {2 * WORLDS}"]
        for share in GONE:
            found = [picked(flights, size, share, number) for number in range(ATTACKS)]
            cells.append(f"{np.mean(found):.0%}")
        yield row(cells)


def honestly(flights: Flights) -> Iterator[str]:
    for kind in HONESTLY_GONE:
        alarms = sum(honest_gone(flights, kind, number) for number in range(HONEST))
        yield row([kind, f"{alarms} of {HONEST}"])


def row(cells: list[str]) -> str:
    print(*cells, sep="\t", flush=True)
    return f"| {' | '.join(cells)} |"


# What a slice costs, and how good the model is there


@dataclass(frozen=True)
class Pair:
    """Two models of one making, by other training rows and seed, and rows that neither has seen.

    groups: the day of each row, shape (n,), or None.
    """

    rows: pd.DataFrame
    train: pd.DataFrame
    champion: Answers
    candidate: Answers
    groups: NDArray[np.int64] | None

    @staticmethod
    def make(number: int, largest: int, days: bool) -> Pair:
        weather = 0.5 if days else 0.0
        draw = np.random.default_rng([5, number])
        day = draw.integers(DAYS, size=10 * largest) if days else None
        rows = world(10 * largest, 10_000, number, weather, day)
        old = world(3000, 0, number)
        champion = fitted(old, number)(rows)
        return Pair(rows, old, champion, fitted(world(3000, 5000, number), number + 1)(rows), day)

    def head(self, size: int) -> Pair:
        """With so many rows in each of the ten slices."""
        n = 10 * size
        days = self.groups if self.groups is None else self.groups[:n]
        most = np.arange(n)
        return Pair(self.rows[:n], self.train, self.champion[most], self.candidate[most], days)

    @property
    def inside(self) -> Flags:
        return (self.rows["place"] == PLACE).to_numpy()

    def blind(self, share: float, number: int) -> Answers:
        """The candidate, which in one slice does not act on a share of the rows."""
        draw = np.random.default_rng([7, number])
        blind = self.inside & (draw.random(len(self.rows)) < share)
        return Answers(self.candidate.scores, np.where(blind, 0, self.candidate.labels))

    def blurred(self, spread: float, number: int) -> Answers:
        """The candidate, whose scores (as logits) have noise of this spread in one slice."""
        draw = np.random.default_rng([8, number])
        noise = np.where(self.inside, draw.normal(0, spread, len(self.rows)), 0.0)
        scores = self.candidate.scores
        logits = np.log(scores / (1 - scores)) + noise
        return Answers(1 / (1 + np.exp(-logits)), self.candidate.labels)

    def refused(self, check: type[Check], settings: Any, candidate: Answers) -> set[str]:
        """The values of the slice that a check refuses."""
        given = GateInputs(Path(), WORLD, Lock({}, {}, {}, {}), None, Sampling())
        vars(given).update(
            rows=Loaded(self.rows),
            train=Loaded(self.train),
            truth=Loaded(self.rows["hit"].to_numpy()),
            answers=Loaded({"candidate": candidate, "champion": self.champion}),
            groups=Loaded(self.groups),
            measured=Loaded(None),  # the whole is not what is asked
        )
        names = [n for n in inspect.signature(check.check).parameters if n != "settings"]
        needed = {name: getattr(given, name) for name in names}
        some = {n: got.need() if hasattr(got, "need") else got for n, got in needed.items()}
        found = check.check(settings, **some)
        return {
            one.subject.removeprefix("place ")
            for one in found
            if one.status == "refuse" and one.subject.startswith("place ")
        }

    def costs_more(self, candidate: Answers) -> float:
        """In one slice, as a share of what the champion costs there."""
        costs, y = np.array(WORLD.costs), self.rows["hit"].to_numpy().astype(int)
        now, before = (
            costs[y, said.labels][self.inside].mean() for said in (candidate, self.champion)
        )
        return float(now / before - 1)

    def falls(self, candidate: Answers) -> float:
        """ROC AUC in one slice, less the champion's."""
        y, inside = self.rows["hit"].to_numpy(), self.inside
        now, before = (
            roc_auc_score(y[inside], said.scores[inside]) for said in (candidate, self.champion)
        )
        return float(before - now)


BLIND = (0.0, 0.1, 0.2, 0.4, 1.0)
BLURRED = (0.0, 0.9, 1.1, 1.5, 2.5)
COST = CostCheck.Settings()
SLICES = SlicesCheck.Settings(metrics={"roc_auc": MARGIN})


@dataclass
class Power:
    """By size and harm, how often a check refuses; and by harm how large it is."""

    found: dict[tuple[int, float], list[bool]]
    size: dict[float, list[float]]

    @staticmethod
    def empty() -> Power:
        return Power(defaultdict(list), defaultdict(list))

    def table(self, sizes: tuple[int, ...], unit: str) -> str:
        harms = [harm for harm in self.size if harm]
        head = [f"{np.mean(self.size[harm]):{unit}}" for harm in harms]
        lines = [row(["rows of the slice", "honest, refused", *head])]
        lines.append(row(["---"] * (len(harms) + 2)))
        for size in sizes:
            alarms = self.found[size, 0.0]
            cells = [f"{np.mean(self.found[size, harm]):.0%}" for harm in harms]
            lines.append(row([f"{size:,}", f"{sum(alarms)} of {len(alarms)}", *cells]))
        return "\n".join(lines)


def power(sizes: tuple[int, ...], days: bool) -> tuple[Power, Power]:
    """Of `cost` and of `slices`. Honest candidates are refused if any slice is."""
    cost, slices = Power.empty(), Power.empty()
    for number in range(WORLDS):
        pair = Pair.make(number, max(sizes), days)
        for harm, blur in zip(BLIND, BLURRED, strict=True):
            if harm and number >= ATTACKS:
                break
            spent, blurred = pair.blind(harm, number), pair.blurred(blur, number)
            cost.size[harm].append(pair.costs_more(spent))
            slices.size[blur].append(pair.falls(blurred))
            for size in sizes:
                part, most = pair.head(size), np.arange(10 * size)
                for kept, key, check, settings, said in (
                    (cost, harm, CostCheck, COST, spent),
                    (slices, blur, SlicesCheck, SLICES, blurred),
                ):
                    refused = part.refused(check, settings, said[most])
                    kept.found[size, key].append(PLACE in refused if harm else bool(refused))
        if number % 10 == 9:
            print(f"{number + 1} worlds, {'days' if days else 'rows'}", flush=True)
    return cost, slices


def main(project: Path) -> None:
    flights = Flights(project)
    honest, vanished = "\n".join(honestly(flights)), "\n".join(vanishing(flights))
    known = globals() | {"honest": honest, "vanished": vanished, "share": COST.slice_margin}
    texts = {"data": DATA.format(**known)}
    by_rows, by_days = power(SIZES, days=False), power(DAY_SIZES, days=True)
    for at, (name, text, unit) in enumerate((("cost", SPENT, "+.0%"), ("slices", RANKED, ".3f"))):
        rows, days = by_rows[at].table(SIZES, unit), by_days[at].table(DAY_SIZES, unit)
        texts[name] = text.format(**known) + MADE_UP.format(**known, by_rows=rows, by_days=days)
    how = HOW.format(**known | {"made_with": made_with()})
    for name, text in texts.items():
        put(f"checks/{name}.md", "power", how + text)
    page = "\n".join(f"## {name}\n\n{text}" for name, text in texts.items())
    PAGE.write_text(f"# What is found in one slice, at which size\n\n{how}{page}", encoding="utf-8")


HOW = """\
By `benchmarks/slices.py` of the template, with {made_with} and the
default settings; {ATTACKS} repetitions for each share, more of honest changes.

"""
DATA = """\
A slice of the example's training rows has so many rows, about a third of them with the label, and
{OTHERS:,} others stand beside it. So large a share of the slice's rows of that label goes, and no
other row. How often that is refused as rows that are gone by label:

{vanished}

The honest change of that table: 5% to 50% of the slice's rows go, of any label, and 5% of the
others. Of other honest changes to {OTHERS:,} rows so many are refused as that:

| honest | refused |
| --- | --- |
{honest}
"""
SPENT = """\
In one slice of ten the candidate acts on fewer rows than it should, which costs so much more there
than under the champion; {share} are allowed. """
RANKED = """\
In one slice of ten the candidate's ROC AUC is lower than the champion's by so much, because of
noise in its scores; a margin of {MARGIN} is set. """
MADE_UP = """\
How often that slice is refused, and how often any
of the ten is if the candidate is another model of the same making (3,000 other training rows,
another seed; made-up data):

{by_rows}

The same where {DAYS} days share what no column says, and the contract's `group` is the day:

{by_days}
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
