"""What a model costs to keep and to ask: bytes, seconds, memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from gatewright.adapters.model_file import Model, load_model
from gatewright.contract.schema import Contract
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.predictions import answer

# How often a batch of so many rows is timed, and how often loading is; and how many times as
# often while the ratio of two models is not settled.
REPEATS = {1: 15, 100: 8, 10_000: 3}
LOADS = 3
ROUNDS = 8
LARGEST = max(REPEATS)


@dataclass(frozen=True)
class Cost:
    """Bytes of the file, seconds of each loading and of each batch, bytes of memory.

    `peak` is the most memory that Python and NumPy held at once while LARGEST rows were answered,
    as tracemalloc sees it: not what other libraries take for themselves.
    """

    size: int
    loading: list[float]
    seconds: dict[int, list[float]]
    peak: int


def costs(
    models: Sequence[tuple[Path, Contract]], rows: pd.DataFrame, limit: float, confidence: float
) -> list[Cost]:
    """Load and ask one or two models by turns, so that what else the machine does strikes both.

    Each batch is answered once before it is timed. Rows are repeated where there are too few.
    Two models are timed on while it is not settled on which side of `limit` their ratio lies.
    """

    def timed(jobs: Sequence[Callable[[], object]], times: int) -> list[list[float]]:
        taken: list[list[float]] = [[] for _ in jobs]
        for _ in range(ROUNDS):
            for all_turns, turns in zip(taken, _by_turns(jobs, times), strict=True):
                all_turns += turns
            if len(taken) < 2:
                break
            got = ratio(taken[0], taken[1], confidence)
            if not got.low <= limit <= got.high:
                break
        return taken

    loaded: list[Model] = [None] * len(models)  # type: ignore[list-item]

    def load(at: int) -> None:
        loaded[at] = load_model(models[at][0])

    loading = timed([partial(load, at) for at in range(len(models))], LOADS)
    seconds: list[dict[int, list[float]]] = [{} for _ in models]
    jobs: list[Callable[[], object]] = []
    for size, times in REPEATS.items():
        batch = rows.iloc[np.arange(size) % len(rows)]
        jobs = [
            partial(answer, model, batch, contract, path.name)
            for (path, contract), model in zip(models, loaded, strict=True)
        ]
        for job in jobs:
            job()
        for found, taken in zip(seconds, timed(jobs, times), strict=True):
            found[size] = taken
    sizes = [path.stat().st_size for path, _ in models]
    return list(map(Cost, sizes, loading, seconds, map(_peak, jobs)))


def _by_turns(jobs: Sequence[Callable[[], object]], times: int) -> list[list[float]]:
    taken: list[list[float]] = [[] for _ in jobs]
    gc.collect()
    for turn in range(times):
        order = range(len(jobs)) if turn % 2 else reversed(range(len(jobs)))
        for at in order:
            start = time.perf_counter()
            jobs[at]()
            taken[at].append(time.perf_counter() - start)
    return taken


def _peak(job: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        job()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def ratio(a: Sequence[float], b: Sequence[float], confidence: float, seed: int = 0) -> Estimate:
    """The median ratio of what was measured in the same turn, with its bootstrap interval."""
    ratios = np.asarray(a) / np.asarray(b)
    draw = np.random.default_rng(seed)
    medians = np.median(draw.choice(ratios, (500, len(ratios))), axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Estimate(float(np.median(ratios)), float(low), float(high))
