"""What the checks may ask for. Everything is measured here, once, and only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mlops.artefacts.contract import Contract, Strict
from mlops.artefacts.lock import TEST, TRAIN, Lock
from mlops.artefacts.model import BASELINE, MODEL, load_model
from mlops.measure.holdout import Holdout, compare, complete
from mlops.measure.metrics import METRICS
from mlops.measure.resample import Measured, measure
from mlops.measure.scoring import (
    labelled,
    probabilities,
    read_rows,
    read_table,
    told_probabilities,
    truth,
)
from mlops.measure.slices import by_slice

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

CANDIDATE, RULE, CHAMPION = "candidate", "baseline", "champion"


@dataclass(frozen=True)
class Champion:
    """The version that is live in the environment, its model file verified."""

    version: str
    model: Path
    contract: Contract


class Sampling(Strict):
    """How intervals are made."""

    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    resamples: int = Field(default=2000, ge=200, le=100_000)
    seed: int = Field(default=0, ge=0)


@dataclass
class Evidence:
    """The candidate's files in `root`, and what follows from them.

    `known` is the test set that was known before the candidate came, if there is one; a review
    judges on its rows. `told` are predictions by key that a candidate's own environment made.
    A property that cannot be had raises Refused; the check that asked for it then refuses.
    """

    root: Path
    contract: Contract
    lock: Lock
    champion: Champion | None
    sampling: Sampling
    known: Path | None = None
    review: bool = False
    told: Path | None = None

    @cached_property
    def lock_differences(self) -> list[str]:
        return self.lock.differences(self.root, [MODEL, BASELINE, TRAIN, TEST])

    @cached_property
    def test(self) -> pd.DataFrame:
        return read_rows(self.root / TEST, self.contract)

    @cached_property
    def known_rows(self) -> pd.DataFrame | None:
        return read_table(self.known) if self.known else None

    @cached_property
    def holdout(self) -> Holdout:
        train = read_table(self.root / TRAIN)
        return compare(self.known_rows, self.test, train, list(self.contract.key))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows that are judged on: a review's are the known ones."""
        if not self.review or self.known_rows is None:
            return self.test
        rows = complete(self.known_rows, self.test, list(self.contract.key))
        return labelled(rows, self.contract, "the known test set")

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        return truth(self.rows, self.contract)

    @cached_property
    def scores(self) -> Mapping[str, NDArray[np.float64]]:
        """Probabilities on the test rows by candidate, baseline and, if there is one, champion."""
        models = {
            CANDIDATE: (self.root / MODEL, self.contract),
            RULE: (self.root / BASELINE, self.contract),
        }
        if self.champion:
            models[CHAMPION] = (self.champion.model, self.champion.contract)
        told = {}
        if self.told:
            told = told_probabilities(self.told, self.rows, self.contract, (CANDIDATE, RULE))
        return {
            name: told[name]
            if name in told
            else probabilities(load_model(path), self.rows, contract, name)
            for name, (path, contract) in models.items()
        }

    @cached_property
    def measured(self) -> Measured:
        return measure(
            self.labels,
            self.scores,
            tuple(METRICS.values()),
            resamples=self.sampling.resamples,
            confidence=self.sampling.confidence,
            seed=self.sampling.seed,
        )

    @cached_property
    def slices(self) -> dict[str, Any]:
        """By column of the contract's `slices` and value: rows, share, ROC AUC by model."""
        return {
            name: by_slice(self.rows[name], self.labels, self.scores)
            for name in self.contract.slices
        }
