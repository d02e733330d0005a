"""The statistics keep their word: simulated gates refuse as often as they say, and no more.

Each world is drawn anew, with two models of one making in it: their errors are shared in part,
as those of the same model trained with another seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from parcels import CONTRACT

from gatewright.contract.schema import parse_contract
from gatewright.evaluation.bootstrap import Measured, measure
from gatewright.evaluation.intervals import below, holm
from gatewright.evaluation.metrics import metrics_of
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.slices import part
from gatewright.gate.checks.champion import ChampionCheck
from gatewright.gate.checks.limits import Margins
from gatewright.pipeline.holdout_history import Asked
from gatewright.registry.champion import Champion

GATES = 600
ROWS = 800
NOMINAL = 0.05
BINARY = parse_contract(CONTRACT)
METRICS = [metrics_of(BINARY)[name] for name in ("roc_auc", "brier_score")]


def answers(logits: Any) -> Answers:
    scores = 1 / (1 + np.exp(-np.asarray(logits)))
    return Answers(scores, (scores >= 0.5).astype(int))


def worlds(count: int, rows: int, loss: float = 0.0) -> Iterator[tuple[Any, dict[str, Answers]]]:
    """Truth, and the answers of candidate and champion; `loss` is noise of the candidate alone."""
    for seed in range(count):
        draw = np.random.default_rng([seed, rows])
        signal = draw.normal(size=rows)
        y = draw.random(rows) < 1 / (1 + np.exp(-2 * signal))
        shared = 2 * signal + draw.normal(scale=0.7, size=rows)
        yield (
            y,
            {
                "candidate": answers(shared + draw.normal(scale=np.hypot(0.5, loss), size=rows)),
                "champion": answers(shared + draw.normal(scale=0.5, size=rows)),
            },
        )


def asked(measured: Measured, margin: float) -> list[str]:
    settings = Margins(metrics={"roc_auc": margin, "brier_score": margin})
    champion: Any = Champion("1.0.0", None, BINARY)  # type: ignore[arg-type]
    return [
        finding.status for finding in ChampionCheck.check(settings, measured, champion, Asked())
    ]


def highest(rate: float, count: int) -> float:
    """What a rate may be seen as in `count` trials: three standard errors above it."""
    return rate + 3 * float(np.sqrt(rate * (1 - rate) / count))


@dataclass(frozen=True)
class Equal:
    """Shares of GATES in which a model is refused, or called better, though it is neither."""

    refused: float
    better: float


@lru_cache
def of_equal_models() -> Equal:
    gates = [measure(y, said, METRICS, resamples=200) for y, said in worlds(GATES, ROWS)]
    refused = np.mean(["refuse" in asked(measured, 0.0) for measured in gates])
    gains = [measured.gain("roc_auc", "candidate", "champion") for measured in gates]
    return Equal(float(refused), float(np.mean([gain.low > 0 for gain in gains])))


@dataclass(frozen=True)
class Seen:
    """Shares of gates that see a loss, paired and not; the loss, and the smallest one stated."""

    paired: float
    unpaired: float
    lost: float
    smallest: float


@lru_cache
def of_worse_models(loss: float, count: int) -> Seen:
    found = []
    for y, said in worlds(count, ROWS, loss):
        measured = measure(y, said, METRICS[:1], resamples=200)
        gain = measured.gain("roc_auc", "candidate", "champion")
        spread = np.hypot(*measured.draws[:, 0].std(axis=0))
        smallest = measured.smallest("roc_auc", *measured.models)
        found.append((gain.high < 0, gain.value + 1.96 * spread < 0, -gain.value, smallest))
    return Seen(*map(float, np.mean(found, axis=0)))


@dataclass(frozen=True)
class Slices:
    """Shares of GATES in which one of 20 slices of equal models is called worse."""

    together: float
    uncorrected: float


@lru_cache
def of_twenty_slices() -> Slices:
    found, codes = [], np.arange(4000) % 20
    for y, said in worlds(GATES, 4000):
        chances = []
        for code in range(20):
            one = part(np.flatnonzero(codes == code), y, said, METRICS[:1], None)
            gain, error = one.gain("roc_auc", "candidate", "champion")
            chances.append(below(gain, 0.0, error))
        found.append((any(holm(chances, NOMINAL)), min(chances) < NOMINAL))
    return Slices(*map(float, np.mean(found, axis=0)))


def test_an_equal_model_is_refused_at_most_at_the_nominal_rate() -> None:
    assert of_equal_models().refused <= highest(NOMINAL, GATES)
    assert of_equal_models().refused > 0, "a check that never refuses would pass this too"


def test_an_equal_model_is_called_better_at_most_at_half_that_rate() -> None:
    assert of_equal_models().better <= highest(NOMINAL / 2, GATES)


def test_a_paired_comparison_sees_at_least_what_an_unpaired_one_does() -> None:
    seen = of_worse_models(1.0, 120)
    assert seen.paired >= seen.unpaired
    assert seen.paired > 0.8, "the degradation is one that should be seen"


def test_a_stated_difference_is_seen_four_times_of_five() -> None:
    """The smallest difference that a gate says it would see, it sees."""
    seen = of_worse_models(0.9, 150)
    assert seen.lost == pytest.approx(seen.smallest, rel=0.15), "the noise is chosen to lose it"
    assert seen.paired == pytest.approx(0.8, abs=0.1)


def test_twenty_slices_together_refuse_at_most_at_the_nominal_rate() -> None:
    assert of_twenty_slices().together <= highest(NOMINAL, GATES)
    assert of_twenty_slices().uncorrected > 0.5, "without the correction most gates would alarm"
