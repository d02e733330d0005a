"""What a model costs to keep and to ask: bytes of its file, CPU time, memory.

CPU time instead of the clock on the wall, the least of several turns, one thread, models by
turns: what else the machine does is hardly in it. What is left of it shows in a null pair, a
model that stands in the list twice.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from gatewright.adapters.model_file import Model, load_model
from gatewright.contract.schema import Contract
from gatewright.evaluation.predictions import answer

TURNS = {1: 3, 100: 3, 10_000: 2}  # by rows of a batch, how often each model answers it
LARGEST = max(TURNS)


@dataclass(frozen=True)
class Footprint:
    """What one model takes.

    size: bytes of its file. loading: CPU seconds to open it. seconds: by rows of a batch, the
    CPU seconds to answer it, the least of its turns. peak: the most bytes that Python and NumPy
    held at once while LARGEST rows were answered, as tracemalloc sees it: not what other
    libraries take for themselves.
    """

    size: int
    loading: float
    seconds: dict[int, float]
    peak: int


def footprints(
    models: Sequence[tuple[Path, Contract]],
    rows: pd.DataFrame,
    allowed: frozenset[str],
    clock: Callable[[], float] | None = None,
) -> list[Footprint]:
    """Load and ask the models by turns; rows are repeated where there are too few.

    allowed: names of the types that a model file may hold. clock: CPU seconds of this process,
    of all its threads.
    """
    clock = clock or time.process_time
    loaded: list[Model] = [None] * len(models)  # type: ignore[list-item]

    def load(at: int) -> None:
        loaded[at] = load_model(models[at][0], allowed)

    # Threads that wait for each other take CPU time too.
    with threadpool_limits(1), _without_collector():
        loading = _least([partial(load, at) for at in range(len(models))], 1, clock)
        seconds: list[dict[int, float]] = [{} for _ in models]
        jobs: list[Callable[[], object]] = []
        for size, turns in TURNS.items():
            batch = rows.iloc[np.arange(size) % len(rows)]
            jobs = [
                partial(answer, model, batch, contract, path.name)
                for (path, contract), model in zip(models, loaded, strict=True)
            ]
            for found, least in zip(seconds, _least(jobs, turns, clock), strict=True):
                found[size] = least
        peaks = [_peak(job) for job in jobs]
    sizes = [path.stat().st_size for path, _ in models]
    return list(map(Footprint, sizes, loading, seconds, peaks))


def _least(
    jobs: Sequence[Callable[[], object]], turns: int, clock: Callable[[], float]
) -> list[float]:
    """The least seconds of each job. The last begins, and each turn goes the other way."""
    taken: list[list[float]] = [[] for _ in jobs]
    for turn in range(turns):
        for at in range(len(jobs)) if turn % 2 else reversed(range(len(jobs))):
            start = clock()
            jobs[at]()
            taken[at].append(clock() - start)
    return [min(of_one) for of_one in taken]


def _peak(job: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        job()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextmanager
def _without_collector() -> Iterator[None]:
    """No turn pays for what another one left behind."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@dataclass(frozen=True)
class Ratio:
    """How many times as much a model takes as another one, and as that takes as itself."""

    value: float
    null: float

    def beyond(self, limit: float) -> bool:
        """Whether it is more than `limit`, and that by more than the null pair differs."""
        return self.value > limit * self.null


def ratio(candidate: float, champion: float, again: float) -> Ratio:
    """The candidate's figure over the champion's, which was measured twice.

    null is at least 1, however the two figures of the champion stand to each other.
    """
    least = np.finfo(float).tiny
    low, high = sorted((max(champion, least), max(again, least)))
    return Ratio(candidate / low, high / low)
