"""How many models walk in by luck, if somebody asks often enough; writes benchmarks/shopping.md.

    uv run --no-project --python .venv/bin/python benchmarks/shopping.py

A few minutes on 2 cores; the same figures each time. No model here is better than what is live:
whatever is let in as better, or is worse by more than the margin, walked.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a process a core, before NumPy is there

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gatewright.evaluation.bootstrap import Estimate, delong
from gatewright.evaluation.intervals import below, normal, reach
from gatewright.gate.checks.champion import compare

PAGE = Path(__file__).with_suffix(".md")
WORLDS, TIMES = 20, 200  # worlds a scenario, and pull requests in each
ROWS, LARGE = 4_000, 40_000  # test rows, and rows that say what is true
NOISE = 30  # columns that say nothing
MARGIN, CONFIDENCE = 0.01, 0.95
Floats = NDArray[np.float64]


@dataclass
class World:
    """Rows of which two columns say something, and the scores of what is live."""

    seed: int
    y: NDArray[np.bool_] = field(init=False)
    signal: Floats = field(init=False)
    other: Floats = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng([2026, self.seed])
        x = draw.normal(size=(ROWS + LARGE, 2))
        self.signal = x @ np.array([1.6, 1.2])
        self.y = draw.random(len(x)) < 1 / (1 + np.exp(-self.signal))
        self.other = draw.normal(size=(len(x), NOISE)).astype(np.float32)

    def scores(self, weights: Floats) -> Floats:
        return self.signal + self.other @ weights.astype(np.float32)

    def gain(self, candidate: Floats, live: Floats, wider: float) -> tuple[Estimate, float]:
        """On the test rows, as the gate has it, and its error."""
        test = slice(0, ROWS)
        of = {"a": candidate[test], "b": live[test]}
        values, covariance = delong(self.y[test], of)
        error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0)))
        return normal(values[0] - values[1], error * wider, CONFIDENCE), error

    def truth(self, candidate: Floats, live: Floats) -> float:
        rest = slice(ROWS, None)
        values, _ = delong(self.y[rest], {"a": candidate[rest], "b": live[rest]})
        return float(values[0] - values[1])


def let_in(gain: Estimate, error: float, sure: float = 1) -> str:
    """What the check `champion` says: "", or how the model is let in."""
    worse = below(gain.value, 0, error) <= (1 - CONFIDENCE) / 2
    status, words = compare(gain, MARGIN, worse, sure)
    return words if status == "pass" else ""


Propose = Callable[[np.random.Generator, Floats, float], Floats]


def seeds(size: float) -> Propose:
    """Another seed each time: so much noise, in a direction of its own."""

    def propose(draw: np.random.Generator, best: Floats, at: float) -> Floats:
        weights = draw.normal(size=NOISE)
        return size * weights / np.linalg.norm(weights)

    return propose


def climbs(draw: np.random.Generator, best: Floats, at: float) -> Floats:
    """A step from what looked best so far on the test rows: adaptive, by the report's figures."""
    return best + 0.05 * draw.normal(size=NOISE)


@dataclass(frozen=True)
class Walked:
    """Of TIMES pull requests: let in as better, let in though worse than the first by more than
    the margin, and let in at all; and what was lost in the end."""

    better: int
    worse: int
    passed: int
    lost: float


def shop(seed: int, propose: Propose, guarded: bool) -> Walked:
    """One world. Whoever is let in is live from then on; `guarded` is the gate as it is now."""
    world, draw = World(seed), np.random.default_rng([7, seed])
    first = live = world.scores(np.zeros(NOISE))
    best, looked, failed, passed, better, worse = np.zeros(NOISE), -1.0, 0, 0, 0, 0
    for _ in range(TIMES):
        weights = propose(draw, best, looked)
        candidate = world.scores(weights)
        wider = reach(CONFIDENCE, 1 + max(0, failed - passed)) if guarded else 1.0
        sure = reach(CONFIDENCE, 1 + failed + passed) / wider if guarded else 1.0
        said = let_in(*world.gain(candidate, live, wider), sure)
        if guarded and said and live is not first:
            said = said if let_in(*world.gain(candidate, first, wider)) else ""
        value = world.gain(candidate, first, 1.0)[0].value
        if value > looked:
            best, looked = weights, value
        if not said:
            failed += 1
            continue
        passed += 1
        better += said == "better than" and world.truth(candidate, live) <= 0
        worse += world.truth(candidate, first) < -MARGIN
        live = candidate
    return Walked(better, worse, passed, world.truth(live, first))


def honest(seed: int) -> list[bool]:
    """Whether an equal model passes with a margin of 2.8 errors, by how many were asked before."""
    world, draw = World(seed), np.random.default_rng([8, seed])
    weights = 0.4 * draw.normal(size=(2, NOISE)) / np.sqrt(NOISE)
    candidate, live = map(world.scores, weights)
    _, error = world.gain(candidate, live, 1.0)
    found = []
    for questions in QUESTIONS:
        gain, _ = world.gain(candidate, live, reach(CONFIDENCE, questions))
        found.append(bool(gain.low >= -2.8 * error))
    return found


QUESTIONS = (1, 5, 10, 30, 100, 200)
SCENARIOS: dict[str, Propose] = {
    "another seed, a little worse each (-0.002)": seeds(0.2),
    "another seed, worse by more than the margin (-0.011)": seeds(0.475),
    "a step from what looked best so far": climbs,
}


def _row(name: str, guarded: bool, found: Sequence[Walked]) -> str:
    def share(count: Callable[[Walked], int]) -> str:
        return f"{np.mean([count(w) > 0 for w in found]):.0%}"

    cells = [
        name,
        "now" if guarded else "before",
        f"{np.mean([w.passed for w in found]):.1f}",
        f"{np.mean([w.better for w in found]):.2f} ({share(lambda w: w.better)})",
        f"{np.mean([w.worse for w in found]):.2f} ({share(lambda w: w.worse)})",
        f"{np.mean([w.lost for w in found]):+.4f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    lines = []
    with ProcessPoolExecutor(2) as pool:
        for name in SCENARIOS:
            for guarded in (False, True):
                worlds = [pool.submit(run, number, name, guarded) for number in range(WORLDS)]
                lines.append(_row(name, guarded, [world.result() for world in worlds]))
                print(lines[-1], flush=True)
        equal = np.array(list(pool.map(honest, range(4 * WORLDS))))
    made = {"table": "\n".join(lines), "honest": _honest(equal), "worlds": len(equal)}
    PAGE.write_text(TEXT.format(**globals() | made))


def run(number: int, name: str, guarded: bool) -> Walked:
    return shop(number, SCENARIOS[name], guarded)


def _honest(passed: NDArray[np.bool_]) -> str:
    rows = zip(QUESTIONS, passed.mean(axis=0), strict=True)
    return "\n".join(f"| {n} | {reach(CONFIDENCE, n):.2f} | {share:.0%} |" for n, share in rows)


TEXT = """\
# Asking until the answer is yes

By `benchmarks/shopping.py`, a few minutes on 2 cores, the same figures each time:

    uv run --no-project --python .venv/bin/python benchmarks/shopping.py

{WORLDS} simulated worlds of {ROWS:,} test rows; in each, {TIMES} pull requests, none with a model
that is better than the first. The check `champion` asks ROC AUC with a margin of {MARGIN:g};
intervals are DeLong's. Whoever is let in is live from then on. *Before*: each is compared with what
is live, by an interval of {CONFIDENCE:.0%}. *Now*: the interval grows with the models that were asked
of the test set and became nothing, and the best that was live is asked too. {LARGE:,} rows more say
what is true. In brackets: in how many worlds there was one.

| pull requests | gate | let in, of {TIMES} | as better, and are not | worse by more than the margin | gain at the end |
| --- | --- | --- | --- | --- | --- |
{table}

Worse than the first model, that is. What is let in otherwise is not worse than the margin allows.

What it costs who is honest: an equal model, in {worlds} worlds, with a margin of 2.8 standard errors
(what `mlops policy propose` gives), by how many models were asked of the rows, less those that
became versions.

| asked | interval is so many times as wide | passes |
| --- | --- | --- |
{honest}

New rows, brought by a change of data alone, start anew.
"""  # noqa: E501

if __name__ == "__main__":
    main()
