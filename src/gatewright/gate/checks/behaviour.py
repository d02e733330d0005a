"""Check `behaviour`: does it answer steadily, and as people expect?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from gatewright.adapters.model_file import Model
from gatewright.contract.schema import Contract, Strict
from gatewright.errors import Refused
from gatewright.evaluation.behaviour import (
    answered,
    changed,
    raised,
    requested,
    sample,
    share,
    unsteady,
)
from gatewright.evaluation.predictions import Answers
from gatewright.gate.checks.base import Check, Finding, Status
from gatewright.gate.checks.limits import (
    Bound,
)
from gatewright.gate.inputs import Sampling

Value = bool | int | float | str | None


class Range(Strict):
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}")
        return self

    def holds(self, value: float) -> bool:
        low = self.min is None or value >= self.min
        return low and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        sides = (("at least", self.min), ("at most", self.max))
        return " and ".join(f"{words} {side:g}" for words, side in sides if side is not None)


class Expectation(Strict):
    """One sentence about the model, in one of three forms.

    change: columns to values, then the answer stays. raise: columns to a step, then the answer
    rises, falls or stays, but for `within`. request: a row whose answer lies in a range; columns
    that it does not name are typical ones. `class` says whose probability of several is meant.
    """

    name: str
    change: dict[str, Value] | None = None
    raise_: dict[str, float] | None = Field(default=None, alias="raise")
    request: dict[str, Value] | None = None
    then: Literal["stays", "rises", "falls"] | None = None
    within: float = Field(default=0.0, ge=0)
    answer: Range | None = None
    class_: str | None = Field(default=None, alias="class")

    @model_validator(mode="after")
    def _one_form(self) -> Expectation:
        if sum(form is not None for form in (self.change, self.raise_, self.request)) != 1:
            raise ValueError("give one of change, raise and request")
        if (self.request is None) != (self.answer is None):
            raise ValueError("a request has an answer, and only a request")
        if (self.request is None) == (self.then is None):
            raise ValueError("change and raise need `then`; a request has none")
        return self

    @property
    def columns(self) -> list[str]:
        return list(self.change or self.raise_ or self.request or ())


class BehaviourCheck(Check):
    """Does the model answer steadily, and as people expect of it?

    Invariance, direction and minimum functionality after Ribeiro et al. (2020), CheckList.
    """

    id = "behaviour"
    runs_model = True
    measures = True

    class Settings(Strict):
        rows: int = Field(default=1000, ge=50)
        share: float = Field(default=0.95, gt=0, le=1)
        expect: tuple[Expectation, ...] = ()

        @model_validator(mode="after")
        def _names(self) -> BehaviourCheck.Settings:
            names = [expectation.name for expectation in self.expect]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two expectations have one name: {', '.join(twice)}")
            return self

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        rows: pd.DataFrame,
        candidate: Model,
        candidate_answers: Answers,
        sampling: Sampling,
    ) -> Iterator[Finding]:
        some = sample(rows, settings.rows, sampling.seed)
        if some.empty:
            raise Refused("There are no test rows to try the model on.")
        given = candidate_answers.scores
        wrong = list(unsteady(candidate, rows, contract, given, sampling.seed))
        for words in wrong:
            yield Finding("refuse", words, "steady")
        if not wrong:
            words = "again, alone, in another order, with missing and unseen values: it answers"
            yield Finding("pass", words, "steady")
        if len(given) > 1 and (given == given[0]).all():
            words = (
                "answers the same for every test row, so it learnt nothing: see whether columns "
                "tell anything of the target, and whether its leaves have room for so few rows"
            )
            yield Finding("refuse", words, "one answer")
        for expectation in settings.expect:
            try:
                yield _met(expectation, settings, contract, some, candidate, sampling)
            except Refused as error:
                yield Finding("refuse", f"cannot be tried: {error}", expectation.name)


def _met(
    wanted: Expectation,
    settings: BehaviourCheck.Settings,
    contract: Contract,
    rows: pd.DataFrame,
    model: Model,
    sampling: Sampling,
) -> Finding:
    if unknown := [name for name in wanted.columns if name not in contract.features]:
        raise Refused(f"the model sees no column {', '.join(unknown)}.")
    try:
        if wanted.request is not None:
            asked = requested(rows, wanted.request, contract)
        elif wanted.change is not None:
            asked = changed(rows, wanted.change)
        else:
            asked = raised(rows, wanted.raise_ or {}, contract)
    except (TypeError, ValueError) as error:
        raise Refused(f"its values do not fit the contract's types ({error}).") from None
    after = answered(model, asked, contract, wanted.class_)
    if wanted.answer is not None:
        status: Status = "pass" if wanted.answer.holds(float(after[0])) else "refuse"
        message = f"answers {after[0]:.4f}, expected {wanted.answer}"
        return Finding(status, message, wanted.name)
    moved = after - answered(model, rows, contract, wanted.class_)
    against = {"stays": np.abs(moved), "rises": -moved, "falls": moved}[wanted.then or "stays"]
    got = share(int((against <= wanted.within).sum()), len(moved), sampling.confidence)
    message = (
        f"{got.value:.1%} of {len(moved):,} rows do so (at least {settings.share:.1%} expected); "
        f"the farthest goes {max(float(against.max()), 0.0):.4f} against it"
    )
    # All rows as expected is as good as it gets, however few they are.
    state = "pass" if got.value == 1 else Bound(min=settings.share).state(got)
    return Finding(state, message, wanted.name, got, settings.share)
