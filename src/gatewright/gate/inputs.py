"""What the checks may ask for: each input is loaded once, when the first check asks for it.

An input is `Loaded`, or it is `Unavailable` and carries the refusal why, or it is `Broken` by an
error of the machinery itself. So a check that needs what cannot be had refuses with that reason,
and a bug is never told as one.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypeVar

import numpy as np
from pydantic import Field, model_validator

from gatewright.adapters.model_file import Model, allowed_types, load_model
from gatewright.adapters.tables import read_parquet
from gatewright.contract.compatibility import judging
from gatewright.contract.holes import holes_of
from gatewright.contract.schema import Contract, Strict, Wrong, parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Measured, measure
from gatewright.evaluation.groups import coarsest_groups, groups_of
from gatewright.evaluation.holdout import Holdout, compare, complete, lacking
from gatewright.evaluation.intervals import reach
from gatewright.evaluation.leakage import Leakage, find_leakage, repeated
from gatewright.evaluation.metrics import Metric, OwnMetric, chosen
from gatewright.evaluation.new_columns import NewColumns, new_columns, share_of_gain
from gatewright.evaluation.predictions import (
    Answers,
    answer,
    in_classes,
    labelled,
    read_rows,
    told_answers,
)
from gatewright.evaluation.predictions import truth as truth_of
from gatewright.evaluation.slices import by_slice
from gatewright.evaluation.training_diff import TrainingDiff, compare_training
from gatewright.evaluation.unexplained import Unexplained, find_unexplained
from gatewright.paths import BASELINE as BASELINE_FILE
from gatewright.paths import MODEL, TEST, TRAIN
from gatewright.pipeline.dvc_lock import Lock, parse_lock
from gatewright.pipeline.holdout_history import Asked
from gatewright.registry.champion import Champion

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from gatewright.gate.policy import Policy
    from gatewright.pipeline.source import Source

CANDIDATE, BASELINE, CHAMPION = "candidate", "baseline", "champion"
# Of the champion, and the best that were live before.
LIVE_BASELINE, BEST, EARLIER_BASELINE = "live baseline", "best", "earlier baseline"

_SHOWN = (CANDIDATE, BASELINE, CHAMPION)  # by slice

T = TypeVar("T")


class Sampling(Strict):
    """How intervals are made."""

    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    resamples: int = Field(default=1000, ge=200, le=100_000)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _reaches_the_tails(self) -> Sampling:
        if (1 - self.confidence) / 2 * self.resamples < 1:
            raise Wrong(
                f"of {self.resamples} resamples not one lies beyond an interval of "
                f"{self.confidence:g}; ask for less confidence or more resamples",
                "confidence",
            )
        return self


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """An input that is there."""

    value: T

    def need(self) -> T:
        return self.value


@dataclass(frozen=True)
class Unavailable:
    """An input that cannot be had, and why."""

    reason: str

    def need(self) -> NoReturn:
        raise Refused(self.reason)


@dataclass(frozen=True)
class Broken:
    """An input on whose way the machinery itself failed."""

    error: Exception

    def need(self) -> NoReturn:
        raise self.error


Input: TypeAlias = Loaded[T] | Unavailable | Broken


def load(make: Callable[[], T]) -> Input[T]:
    try:
        return Loaded(make())
    except Refused as refusal:
        return Unavailable(str(refusal))
    except Exception as error:  # told as an internal error by every check that needs the input
        return Broken(error)


@dataclass(frozen=True)
class GateInputs:
    """The candidate's files in `root`, and what follows from them.

    `model_types` are the types that a model file may hold, by the project that judges.
    `known_test` is the test set that was known before the candidate came, if there is one; a
    review judges on its rows. `predictions` is a table of answers, by number of the row in the
    candidate's test set, that its own Python environment made. `metric_names` are the metrics that
    the policy asks for, `own_metrics` the team's among them. `version` is the candidate's number,
    once it has one.

    `contract` is the one that judges: the candidate's own, `proposed`, but for what a candidate
    cannot change for itself. It is compared with `base`, the base branch's, where nothing is live.
    `waiting` are the keys of test rows that judge nothing yet, `asked` the models that the others
    judged before. `may_change`: whether known rows may get other values, and then judge nothing.
    `holes` are what people still have to write in contract and model card.
    """

    root: Path
    contract: Contract
    lock: Lock
    champion: Champion | None
    sampling: Sampling
    known_test: Path | None = None
    review: bool = False
    predictions: Path | None = None
    metric_names: tuple[str, ...] = ()
    own_metrics: Mapping[str, OwnMetric] = field(default_factory=dict)
    version: str | None = None
    model_types: frozenset[str] = field(default_factory=allowed_types)
    proposed: Contract | None = None
    base: Contract | None = None
    waiting: Input[pd.DataFrame | None] = field(default_factory=lambda: Loaded(None))
    asked: Asked = field(default_factory=Asked)
    may_change: bool = False
    holes: tuple[str, ...] = ()

    @cached_property
    def answered(self) -> list[tuple[object, object, Any]]:
        """What checks answered about these inputs: check, settings, answer."""
        return []

    @property
    def candidate_contract(self) -> Contract:
        return self.proposed or self.contract

    @property
    def reference(self) -> Contract | None:
        """The contract that the candidate's is compared with."""
        return self.champion.contract if self.champion else self.base

    @property
    def candidate_file(self) -> Path:
        return self.root / MODEL

    @cached_property
    def lock_differences(self) -> Input[list[str]]:
        judged = [MODEL, BASELINE_FILE, TRAIN, TEST]
        return load(lambda: self.lock.differences(self.root, judged))

    @cached_property
    def test(self) -> Input[pd.DataFrame]:
        return load(lambda: read_rows(self.root / TEST, self.contract))

    @cached_property
    def train(self) -> Input[pd.DataFrame]:
        return load(lambda: read_rows(self.root / TRAIN, self.contract))

    @cached_property
    def champion_train(self) -> Input[pd.DataFrame | None]:
        path = self.champion.train if self.champion else None
        return load(lambda: read_parquet(path) if path else None)

    @cached_property
    def holdout(self) -> Input[Holdout]:
        return load(
            lambda: compare(
                self._known_rows(),
                self.test.need(),
                read_parquet(self.root / TRAIN),
                list(self.contract.key),
            )
        )

    @cached_property
    def champion_saw(self) -> Input[int]:
        """How many of the judged rows the champion was trained on."""
        return load(self._champion_saw)

    def _champion_saw(self) -> int:
        trained = self.champion_train.need()
        if trained is None:
            return 0
        return compare(None, self.rows.need(), trained, list(self.contract.key)).seen

    @cached_property
    def rows(self) -> Input[pd.DataFrame]:
        """The rows that are judged on: a review's are the known ones.

        Those that wait judge nothing, nor those that were let change since the live version came.
        """
        return load(self._rows)

    def _rows(self) -> pd.DataFrame:
        known = self._known_rows() if self.review else None
        if known is None:
            rows = self.test.need()
        else:
            rows = complete(known, self.test.need(), list(self.candidate_contract.key))
            rows = labelled(rows, self.contract, "the known test set")
        keep = np.ones(len(rows), dtype=bool)
        if (keys := self.waiting.need()) is not None:
            keep &= lacking(keys, rows, list(self.contract.key))
        if self.may_change and not self.review and isinstance(self.holdout, Loaded):
            keep[self.holdout.value.moved] = False
        return rows if keep.all() else rows[keep].reset_index(drop=True)

    @cached_property
    def new_rows(self) -> Input[pd.DataFrame]:
        """The rows of the candidate's test set that judge nothing yet."""
        return load(self._new_rows)

    def _new_rows(self) -> pd.DataFrame:
        test, holdout = self.test.need(), self.holdout.need()
        if self.waiting.need() is None and not (self.review and holdout.added):
            return test.iloc[:0]
        return test[lacking(self.rows.need(), test, list(self.contract.key))]

    @cached_property
    def repeated(self) -> Input[tuple[int, float]]:
        """How many of these repeat another test row, and what share of them beyond chance."""
        return load(lambda: repeated(self.rows.need(), self.new_rows.need(), self.contract))

    @property
    def questions(self) -> int:
        """How many models were asked of the judged rows, this one too.

        One that became a version pays for one that did not: where most do, nobody tries until one
        passes by luck (as levels that are earned back in Foster and Stine 2008, alpha-investing).
        """
        return 1 + max(0, len(self.asked.failed) - len(self.asked.passed))

    def _known_rows(self) -> pd.DataFrame | None:
        """Read anew each time: kept, they would hold as much memory as the test set.

        Of the same bytes they are the test set.
        """
        if self.known_test is None:
            return None
        test = self.root / TEST
        if test.is_file() and filecmp.cmp(self.known_test, test, shallow=False):
            return self.test.need()
        return read_parquet(self.known_test)

    @cached_property
    def truth(self) -> Input[NDArray[Any]]:
        return load(lambda: truth_of(self.rows.need(), self.contract))

    @cached_property
    def groups(self) -> Input[NDArray[np.int64] | None]:
        """The candidate's contract cannot make intervals narrower than the champion's does."""
        live = [self.reference] if self.reference else []
        return load(lambda: coarsest_groups(self.rows.need(), [self.contract, *live]))

    @cached_property
    def candidate(self) -> Input[Model]:
        return load(lambda: load_model(self.candidate_file, self.model_types))

    @cached_property
    def candidate_answers(self) -> Input[Answers]:
        """For the judged rows, by the candidate in this Python environment."""
        return load(
            lambda: answer(
                self.candidate.need(), self.rows.need(), self.candidate_contract, CANDIDATE
            )
        )

    @cached_property
    def answers(self) -> Input[Mapping[str, Answers]]:
        """For the judged rows, by candidate, baseline and, if there is one, champion.

        Also by the champion's baseline and the best version before, where they are others.
        """
        return load(self._answers)

    def _answers(self) -> Mapping[str, Answers]:
        answers, rows, own = {}, self.rows.need(), self.candidate_contract
        if self.predictions:
            test = self.test.need()
            answers = told_answers(self.predictions, rows, test, own, (CANDIDATE, BASELINE))
        else:
            answers[CANDIDATE] = self.candidate_answers.need()
            baseline = load_model(self.root / BASELINE_FILE, self.model_types)
            answers[BASELINE] = answer(baseline, rows, own, BASELINE)
        for name, path, contract in self._others():
            model = load_model(path, self.model_types)
            answers[name] = in_classes(answer(model, rows, contract, name), contract, own, name)
        return answers

    def _others(self) -> Iterator[tuple[str, Path, Contract]]:
        """What the candidate is compared with besides its own baseline."""
        if (champion := self.champion) is None:
            return
        yield CHAMPION, champion.model, champion.contract
        own, live = self.root / BASELINE_FILE, champion.baseline
        if live and not (own.is_file() and filecmp.cmp(own, live, shallow=False)):
            yield LIVE_BASELINE, live, champion.contract
        for name, other in ((BEST, champion.best), (EARLIER_BASELINE, champion.rule)):
            if other and set(other.contract.features) <= set(self.rows.need().columns):
                yield name, other.model, other.contract

    @cached_property
    def metrics(self) -> Input[list[Metric]]:
        return load(lambda: chosen(self.contract, self.metric_names, self.own_metrics))

    @cached_property
    def measured(self) -> Input[Measured]:
        return load(
            lambda: measure(
                self.truth.need(),
                self.answers.need(),
                self.metrics.need(),
                groups=self.groups.need(),
                resamples=self.sampling.resamples,
                confidence=self.sampling.confidence,
                seed=self.sampling.seed,
                reach=reach(self.sampling.confidence, self.questions),
            )
        )

    @cached_property
    def leakage(self) -> Input[Leakage]:
        live = self.champion.contract if self.champion else None
        return load(
            lambda: find_leakage(
                self.train.need(),
                self.rows.need(),
                self.contract,
                self.champion_train.need(),
                live,
                self.sampling.seed,
            )
        )

    @cached_property
    def unexplained(self) -> Input[Unexplained | None]:
        """What the candidate gains beyond what its training rows teach."""
        return load(self._unexplained)

    def _unexplained(self) -> Unexplained | None:
        answers, rows = self.answers.need(), self.rows.need()
        judge = self.champion.contract if self.champion else self.contract
        return find_unexplained(
            self.train.need(),
            self.champion_train.need(),
            rows,
            answers[CANDIDATE],
            answers.get(CHAMPION),
            self.contract,
            groups_of(rows, judge),
            self.sampling.seed,
        )

    @cached_property
    def new_columns(self) -> Input[NewColumns]:
        """The columns that the champion does not take in, and what they bring of a gain."""
        return load(self._new_columns)

    def _new_columns(self) -> NewColumns:
        new = new_columns(self.contract, self.champion.contract if self.champion else None)
        if not (new.vouched or new.others):
            return new
        if self.predictions and not new.others:
            return new  # only the candidate's own environment could ask it again
        model = self.candidate.need()
        return share_of_gain(
            new,
            self.rows.need(),
            self.truth.need(),
            self.answers.need(),
            (CANDIDATE, CHAMPION),
            self.measured.need(),
            lambda rows: answer(model, rows, self.contract, CANDIDATE),
            self.contract,
            self.sampling.seed,
        )

    @cached_property
    def change(self) -> Input[TrainingDiff]:
        return load(
            lambda: compare_training(
                self.champion_train.need(), self.train.need(), self.contract, self.sampling.seed
            )
        )

    @cached_property
    def slices(self) -> Input[dict[str, Any]]:
        """By column of the contract's `slices` and value: rows, share, a figure by model."""
        return load(
            lambda: by_slice(
                self.rows.need(),
                self.truth.need(),
                {n: a for n, a in self.answers.need().items() if n in _SHOWN},
                self.contract,
                self.groups.need(),
            )
        )


def gather(
    policy: Policy,
    files: Path,
    source: Source,
    champion: Champion | None,
    known_test: Path | None,
    model_types: frozenset[str],
    **more: Any,
) -> GateInputs:
    """What a policy asks about the model in `files`, made from `source`.

    `base`, among the rest, is the base branch's contract.
    """
    proposed = parse_contract(source.contract)
    judge = champion.contract if champion else more.get("base")
    return GateInputs(
        files,
        judging(judge, proposed, champion.veiled if champion else {}) if judge else proposed,
        parse_lock(source.lock),
        champion,
        policy.sampling,
        known_test,
        own_metrics=policy.own_metrics,
        model_types=model_types,
        proposed=proposed,
        holes=(*holes_of(source.contract), *holes_of(source.words)),
        may_change=getattr(policy.settings["holdout"], "may_change", False),
        **{"metric_names": policy.metric_names, **more},
    )
