"""What the checks may ask for. Everything is measured here, once, and only when asked for."""

from __future__ import annotations

import filecmp
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from gatewright.adapters.model_file import Model, load_model
from gatewright.adapters.tables import read_parquet
from gatewright.contract.schema import Contract, Strict, parse_contract
from gatewright.evaluation.bootstrap import Measured, measure
from gatewright.evaluation.holdout import Holdout, compare, complete
from gatewright.evaluation.leakage import Leakage, find_leakage
from gatewright.evaluation.metrics import Metric, Own, chosen
from gatewright.evaluation.predictions import Answers, answer, labelled, read_rows, told_answers
from gatewright.evaluation.predictions import truth as truth_of
from gatewright.evaluation.slices import by_slice, groups_of
from gatewright.evaluation.training_diff import TrainingDiff, compare_training
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.dvc_lock import Lock, parse_lock
from gatewright.registry.champion import Champion

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from gatewright.gate.policy import Policy
    from gatewright.pipeline.source import Source

CANDIDATE, RULE, CHAMPION = "candidate", "baseline", "champion"


class Sampling(Strict):
    """How intervals are made."""

    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    resamples: int = Field(default=1000, ge=200, le=100_000)
    seed: int = Field(default=0, ge=0)


@dataclass
class Evidence:
    """The candidate's files in `root`, and what follows from them.

    `known` is the test set that was known before the candidate came, if there is one; a review
    judges on its rows. `told` are answers by key that a candidate's own environment made.
    `named` are the metrics that the policy asks for, `own` the team's among them. `version` is
    the candidate's number, once it has one.
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
    named: tuple[str, ...] = ()
    own: Mapping[str, Own] = field(default_factory=dict)
    version: str | None = None

    @cached_property
    def lock_differences(self) -> list[str]:
        return self.lock.differences(self.root, [MODEL, BASELINE, TRAIN, TEST])

    @cached_property
    def test(self) -> pd.DataFrame:
        return read_rows(self.root / TEST, self.contract)

    @cached_property
    def train(self) -> pd.DataFrame:
        return read_rows(self.root / TRAIN, self.contract)

    @property
    def known_rows(self) -> pd.DataFrame | None:
        """Read anew each time: kept, they would hold as much memory as the test set.

        Of the same bytes they are the test set.
        """
        if self.known is None:
            return None
        if filecmp.cmp(self.known, self.root / TEST, shallow=False):
            return self.test
        return read_parquet(self.known)

    @cached_property
    def champion_train(self) -> pd.DataFrame | None:
        champion = self.champion
        return read_parquet(champion.train) if champion and champion.train else None

    @cached_property
    def holdout(self) -> Holdout:
        key = list(self.contract.key)
        return compare(self.known_rows, self.test, read_parquet(self.root / TRAIN), key)

    @cached_property
    def champion_saw(self) -> int:
        """How many of the judged rows the champion was trained on."""
        if self.champion_train is None:
            return 0
        key = list(self.contract.key)
        return compare(None, self.rows, self.champion_train, key).seen

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows that are judged on: a review's are the known ones."""
        known = self.known_rows if self.review else None
        if known is None:
            return self.test
        rows = complete(known, self.test, list(self.contract.key))
        return labelled(rows, self.contract, "the known test set")

    @cached_property
    def truth(self) -> NDArray[Any]:
        return truth_of(self.rows, self.contract)

    @cached_property
    def groups(self) -> NDArray[np.int64] | None:
        return groups_of(self.rows, self.contract)

    @property
    def candidate_file(self) -> Path:
        return self.root / MODEL

    @cached_property
    def candidate(self) -> Model:
        return load_model(self.candidate_file)

    @cached_property
    def candidate_answers(self) -> Answers:
        """For the judged rows, by the candidate in this Python environment."""
        return answer(self.candidate, self.rows, self.contract, CANDIDATE)

    @cached_property
    def answers(self) -> Mapping[str, Answers]:
        """For the judged rows, by candidate, baseline and, if there is one, champion."""
        answers = {}
        if self.told:
            answers = told_answers(self.told, self.rows, self.contract, (CANDIDATE, RULE))
        else:
            answers[CANDIDATE] = self.candidate_answers
            baseline = load_model(self.root / BASELINE)
            answers[RULE] = answer(baseline, self.rows, self.contract, RULE)
        if self.champion:
            model = load_model(self.champion.model)
            answers[CHAMPION] = answer(model, self.rows, self.champion.contract, CHAMPION)
        return answers

    @cached_property
    def metrics(self) -> list[Metric]:
        return chosen(self.contract, self.named, self.own)

    @cached_property
    def measured(self) -> Measured:
        return measure(
            self.truth,
            self.answers,
            self.metrics,
            groups=self.groups,
            resamples=self.sampling.resamples,
            confidence=self.sampling.confidence,
            seed=self.sampling.seed,
        )

    @cached_property
    def leakage(self) -> Leakage:
        return find_leakage(self.train, self.rows, self.contract, self.sampling.seed)

    @cached_property
    def change(self) -> TrainingDiff:
        return compare_training(self.champion_train, self.train, self.contract, self.sampling.seed)

    @cached_property
    def slices(self) -> dict[str, Any]:
        """By column of the contract's `slices` and value: rows, share, a figure by model."""
        return by_slice(self.rows, self.truth, self.answers, self.contract)


def gather(
    policy: Policy,
    files: Path,
    source: Source,
    champion: Champion | None,
    known: Path | None,
    **more: Any,
) -> Evidence:
    """What a policy asks about the model in `files`, made from `source`."""
    return Evidence(
        files,
        parse_contract(source.contract),
        parse_lock(source.lock),
        champion,
        policy.sampling,
        known,
        named=policy.named,
        own=policy.own,
        **more,
    )
