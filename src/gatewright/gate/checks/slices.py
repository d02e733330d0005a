"""Check `slices`: is it proven worse in some part of the rows?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from gatewright.contract.schema import Contract, Strict
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Measured
from gatewright.evaluation.intervals import below, holm, normal
from gatewright.evaluation.metrics import Metric
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.slices import Slice, enough, find_weak, part, parts
from gatewright.gate.checks.base import Check, Finding, require_columns, shown
from gatewright.gate.checks.limits import (
    Bound,
    Margin,
    bounds_fit,
    margin_of,
    margins_fit,
)
from gatewright.gate.inputs import CANDIDATE, CHAMPION, Sampling

_TOLD = 8  # slices that a sentence names


class SlicesCheck(Check):
    """Is it proven worse in some part of the rows?

    One slice of many looks bad by chance, so a slice is refused only if that is proven with
    Holm's correction over all slices, metrics and kinds of bound.
    """

    id = "slices"
    compares = True

    class Settings(Strict):
        columns: tuple[str, ...] | None = None
        min_rows: int = Field(default=500, ge=1)
        min_each_class: int = Field(default=100, ge=1)
        metrics: dict[str, Margin] = Field(default_factory=dict)
        bounds: dict[str, Bound] = Field(default_factory=dict)
        behind: dict[str, Margin] = Field(default_factory=dict)
        missing: Literal["refuse", "report"] = "refuse"
        found: Literal["report", "judge"] = "report"

        @field_validator("metrics", "behind")
        @classmethod
        def _margins(cls, margins: dict[str, Margin], info: ValidationInfo) -> dict[str, Margin]:
            margins_fit(margins, info)
            return margins

        @field_validator("bounds")
        @classmethod
        def _bounds(cls, bounds: dict[str, Bound], info: ValidationInfo) -> dict[str, Bound]:
            bounds_fit(bounds, info)
            return bounds

        @model_validator(mode="after")
        def _something(self) -> SlicesCheck.Settings:
            if self.found == "judge" and not (self.metrics or self.bounds or self.behind):
                raise ValueError("found: judge needs metrics, bounds or behind to judge by")
            return self

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        rows: pd.DataFrame,
        train: pd.DataFrame,
        truth: NDArray[Any],
        answers: Mapping[str, Answers],
        metrics: list[Metric],
        measured: Measured,
        groups: NDArray[np.int64] | None,
        sampling: Sampling,
    ) -> Iterator[Finding]:
        columns = contract.slices if settings.columns is None else settings.columns
        require_columns(columns, rows)
        wanted = {*settings.metrics, *settings.bounds, *settings.behind}
        known = {metric.name for metric in metrics}
        if wanted - known:
            raise Refused(f"{', '.join(sorted(wanted - known))} is no metric of this target.")
        judged = [metric for metric in metrics if metric.name in wanted]
        some = {name: said for name, said in answers.items() if name in (CANDIDATE, CHAMPION)}

        def big(index: NDArray[np.int64]) -> bool:
            return len(index) >= settings.min_rows and enough(
                truth[index], contract, settings.min_each_class
            )

        found: list[Slice] = []
        small = []
        for column in columns:
            there = set()
            for value, index in parts(rows[column]):
                there.add(value)
                if not big(index):
                    small.append(f"{value} ({len(index):,})")
                elif judged:
                    found.append(part(index, truth, some, judged, groups, (column, value)))
            yield from _missing(column, there, train, settings)
        loss = _loss(contract, metrics, truth, answers)
        for weak in find_weak(rows, loss, contract, settings.min_rows, groups, seed=sampling.seed):
            message = (
                f"found, not named: {weak.where}; mean loss {shown(weak.loss)}, "
                f"{weak.overall:.4f} on all, {weak.rows:,} rows"
            )
            yield Finding("pass", message, "weak part", weak.loss)
            if settings.found == "judge" and big(weak.index):
                about = ("found", weak.where)
                found.append(part(weak.index, truth, some, judged, groups, about))
        yield from _judged(found, settings, measured, 1 - sampling.confidence, small)


def _missing(
    column: str, there: set[str], train: pd.DataFrame, settings: SlicesCheck.Settings
) -> Iterator[Finding]:
    """Values that the model is trained for and that no test row has."""
    counts = train[column].value_counts() if column in train else pd.Series(dtype=int)
    absent = [str(v) for v, n in counts.items() if n >= settings.min_rows and str(v) not in there]
    if absent:
        status: Literal["refuse", "pass"] = "refuse" if settings.missing == "refuse" else "pass"
        listed = ", ".join(absent[:_TOLD])
        yield Finding(status, f"no test row has {listed}, which training rows have", column)


def _loss(
    contract: Contract, metrics: list[Metric], truth: NDArray[Any], answers: Mapping[str, Answers]
) -> NDArray[np.float64]:
    """The candidate's loss a row: log loss, or the squared error of a number."""
    name = "log_loss" if contract.classes else "root_mean_squared_error"
    losses = next(m.losses for m in metrics if m.name == name and m.losses)
    return losses(truth, answers[CANDIDATE])


def _judged(
    found: list[Slice],
    settings: SlicesCheck.Settings,
    measured: Measured,
    alpha: float,
    small: list[str],
) -> Iterator[Finding]:
    claims: list[tuple[float, Finding]] = []
    for at in found:
        subject = f"{at.column} {at.value}" if at.column != "found" else at.value
        for name, wanted in settings.metrics.items():
            if CHAMPION not in at.models:
                continue
            margin = margin_of(wanted, at.estimate(name, CHAMPION).value)
            gain, error = at.gain(name, CANDIDATE, CHAMPION)
            words = f"{name} gains {shown(normal(gain, error))} on the champion, margin {margin:g}"
            claim = Finding("refuse", words, subject, normal(gain, error), -margin)
            claims.append((below(gain, -margin, error), claim))
        for name, bound in settings.bounds.items():
            got = at.estimate(name, CANDIDATE)
            limit = bound.min if bound.min is not None else bound.max
            claim = Finding("refuse", f"{name} {shown(got)}, to be {bound}", subject, got, limit)
            claims.append((_beyond(got.value, bound, at.error(name, CANDIDATE)), claim))
        for name, wanted in settings.behind.items():
            got, whole = at.estimate(name, CANDIDATE), measured.estimate(name, CANDIDATE)
            margin = margin_of(wanted, whole.value)
            up = next(m for m in measured.metrics if m.name == name).higher_is_better
            words = f"{name} {shown(got)}, {whole.value:.4f} on all, at most {margin:g} behind"
            claim = Finding("refuse", words, subject, got, margin)
            edge = Bound(min=whole.value - margin) if up else Bound(max=whole.value + margin)
            claims.append((_beyond(got.value, edge, at.error(name, CANDIDATE)), claim))
    lost = [c for (p, c) in claims if not p >= 0]  # NaN: what has no figure is not proven good
    sure = [(p, claim) for p, claim in claims if p >= 0]
    rejected = holm([p for p, _ in sure], alpha)
    refused = [claim for (_, claim), no in zip(sure, rejected, strict=True) if no] + lost
    yield from refused
    if refused:
        return
    message = f"{len(found):,} slices, {len(claims):,} comparisons: none is proven worse"
    if small:
        listed = ", ".join(small[:_TOLD]) + (
            f" and {len(small) - _TOLD} more" * (len(small) > _TOLD)
        )
        message += f"; too few rows to judge: {listed}"
    yield Finding("pass", message)


def _beyond(value: float, bound: Bound, error: float) -> float:
    """The p-value of "the truth keeps the bound"."""
    if bound.min is not None:
        return below(value, bound.min, error)
    return below(-value, -(bound.max if bound.max is not None else float("nan")), error)
