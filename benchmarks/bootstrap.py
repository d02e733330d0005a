"""The paired bootstrap beside what one would write first.

Runs in the environment of a generated project and prints JSON. Scores are of two models that
agree mostly, as a candidate and its champion do.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from gatewright.contract.schema import read_contract
from gatewright.evaluation.bootstrap import delong, measure
from gatewright.evaluation.intervals import normal
from gatewright.evaluation.metrics import metrics_of
from gatewright.evaluation.predictions import Answers
from gatewright.gate.inputs import Sampling

RESAMPLES = Sampling().resamples
CONTRACT = read_contract(Path("."))


def models(n: int, names: int) -> tuple[Any, dict[str, Answers]]:
    draw = np.random.default_rng(n)
    common = draw.normal(size=n)
    y = draw.random(n) < 1 / (1 + np.exp(1.2 - common))
    logits = {f"model {i}": common + draw.normal(scale=0.5, size=n) for i in range(names)}
    scores = {name: 1 / (1 + np.exp(-x)) for name, x in logits.items()}
    return y, {name: Answers(s, (s >= 0.3).astype(int)) for name, s in scores.items()}


def beside(n: int = 10_000) -> dict[str, Any]:
    """Seconds for RESAMPLES paired resamples of the difference in AUC, and the intervals."""
    y, answers = models(n, 2)
    scores = {name: found.scores for name, found in answers.items()}
    a, b = scores.values()
    auc = metrics_of(CONTRACT)["roc_auc"]
    found: dict[str, Any] = {"rows": n, "resamples": RESAMPLES}

    def ours() -> tuple[float, float]:
        gain = measure(y, answers, (auc,), resamples=RESAMPLES)
        estimate = gain.gain("roc_auc", "model 0", "model 1")
        return estimate.low, estimate.high

    def loop() -> tuple[float, float]:
        draw = np.random.default_rng(0)
        gains = []
        for _ in range(RESAMPLES):
            i = draw.integers(0, n, n)
            gains.append(roc_auc_score(y[i], a[i]) - roc_auc_score(y[i], b[i]))
        low, high = np.quantile(gains, [0.025, 0.975])
        return float(low), float(high)

    def scipy() -> tuple[float, float]:
        result = bootstrap(
            (y, a, b),
            lambda y, a, b: roc_auc_score(y, a) - roc_auc_score(y, b),
            paired=True,
            vectorized=False,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        interval = result.confidence_interval
        return float(interval.low), float(interval.high)

    def closed() -> tuple[float, float]:
        values, covariance = delong(y, scores)
        contrast = np.array([1.0, -1.0])
        estimate = normal(values @ contrast, float(contrast @ covariance @ contrast) ** 0.5)
        return estimate.low, estimate.high

    ways = {"ours": (ours, 5), "loop": (loop, 1), "scipy": (scipy, 1), "delong": (closed, 5)}
    for name, (way, repeats) in ways.items():
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            interval = way()
            taken.append(time.perf_counter() - start)
        found[name] = {"seconds": min(taken), "interval": interval}
    return found


if __name__ == "__main__":
    print(json.dumps(beside()))
