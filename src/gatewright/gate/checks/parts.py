"""Is it good everywhere, and for everybody?"""

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
from gatewright.evaluation.intervals import below, holm, mean_error, normal
from gatewright.evaluation.metrics import Metric
from gatewright.evaluation.predictions import Answers
from gatewright.evaluation.slices import Part, enough, find_weak, part, parts
from gatewright.gate.checks.base import (
    Bound,
    Check,
    Finding,
    Margin,
    bounds_fit,
    margin_of,
    margins_fit,
    shown,
)
from gatewright.gate.inputs import CANDIDATE, CHAMPION, Sampling

Rate = Literal["selection_rate", "true_positive_rate", "false_positive_rate", "error_rate"]
GAPS: dict[Rate, float] = {
    "selection_rate": 0.2,
    "true_positive_rate": 0.2,
    "false_positive_rate": 0.2,
}
_TOLD = 8  # slices that a sentence names


def columns_there(names: tuple[str, ...], rows: pd.DataFrame) -> None:
    if absent := [name for name in names if name not in rows]:
        raise Refused(
            f"gates.yaml asks for the columns {', '.join(absent)}, which the test set lacks, so "
            "its parts cannot be judged. Correct the name, or keep the column in contract.yaml."
        )


class Slices(Check):
    """Is it proven worse in some part of the rows?

    One slice of many looks bad by chance, so a slice is refused only if that is proven with
    Holm's correction over all slices, metrics and kinds of bound.
    """

    id = "slices"

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
        def _something(self) -> Slices.Settings:
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
        columns_there(columns, rows)
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

        places: list[tuple[str, str, NDArray[np.int64]]] = []
        small = []
        for column in columns:
            there = dict(parts(rows[column]))
            yield from _missing(column, there, train, settings)
            for value, index in there.items():
                if big(index):
                    places.append((column, value, index))
                else:
                    small.append(f"{value} ({len(index):,})")
        loss = _loss(contract, metrics, truth, answers)
        for weak in find_weak(rows, loss, contract, settings.min_rows, seed=sampling.seed):
            message = (
                f"found, not named: {weak.where}; mean loss {shown(weak.loss)}, "
                f"{weak.overall:.4f} on all, {weak.rows:,} rows"
            )
            yield Finding("pass", message, "weak part", weak.loss)
            if settings.found == "judge" and big(weak.index):
                places.append(("found", weak.where, weak.index))
        found = [part(i, truth, some, judged, groups, (c, v)) for c, v, i in places if judged]
        yield from _judged(found, settings, measured, 1 - sampling.confidence, small)


def _missing(
    column: str, there: Mapping[str, Any], train: pd.DataFrame, settings: Slices.Settings
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
    found: list[Part],
    settings: Slices.Settings,
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


class Fairness(Check):
    """Do groups of people get other answers, or more errors, than the rest?

    Differences of rates between each group and all others (Hardt, Price and Srebro 2016 for the
    error rates), with intervals that hold together for all comparisons (Bonferroni).
    """

    id = "fairness"

    class Settings(Strict):
        columns: tuple[str, ...] = ()
        min_rows: int = Field(default=200, ge=1)
        max_gap: dict[Rate, float] = Field(default_factory=lambda: dict(GAPS))

        @field_validator("max_gap")
        @classmethod
        def _shares(cls, gaps: dict[Rate, float]) -> dict[Rate, float]:
            if wrong := [name for name, gap in gaps.items() if not 0 <= gap <= 1]:
                raise ValueError(f"a gap between rates lies from 0 to 1: {', '.join(wrong)}")
            return gaps

    @staticmethod
    def check(
        settings: Settings,
        contract: Contract,
        rows: pd.DataFrame,
        truth: NDArray[Any],
        answers: Mapping[str, Answers],
        groups: NDArray[np.int64] | None,
        sampling: Sampling,
    ) -> Iterator[Finding]:
        if not settings.columns:
            yield Finding("pass", "no groups are named (fairness.columns), so none are compared")
            return
        columns_there(settings.columns, rows)
        chosen = {name: _rate(name, contract, truth, answers) for name in settings.max_gap}
        compared = [
            (f"{column} {value}", name, index)
            for column in settings.columns
            for value, index in parts(rows[column])
            for name in settings.max_gap
        ]
        confidence = 1 - (1 - sampling.confidence) / max(len(compared), 1)
        for subject, name, index in compared:
            values, counts = chosen[name]
            member = np.zeros(len(rows), dtype=bool)
            member[index] = True
            inside, outside = counts & member, counts & ~member
            if min(inside.sum(), outside.sum()) < settings.min_rows:
                few = f"{name}: {int(inside.sum()):,} rows are too few to compare"
                yield Finding("pass", few, subject)
                continue
            variance = sum(
                mean_error(values[side], groups[side] if groups is not None else None) ** 2
                for side in (inside, outside)
            )
            gap = float(values[inside].mean() - values[outside].mean())
            got = normal(gap, variance**0.5, confidence)
            most = settings.max_gap[name]
            status = Bound(min=-most).state(got)
            if status == "pass":
                status = Bound(max=most).state(got)
            message = f"{name} differs by {shown(got)} from all others, at most {most:g} allowed"
            yield Finding(status, message, subject, got, most)


def _rate(
    name: Rate, contract: Contract, truth: NDArray[Any], answers: Mapping[str, Answers]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What a rate averages, a value a row, and over which rows."""
    if not contract.classes or (name != "error_rate" and len(contract.classes) > 2):
        raise Refused(f"{name} is no rate of a {contract.target.type} target.")
    said, everyone = answers[CANDIDATE].labels, np.ones(len(truth), dtype=bool)
    if name == "error_rate":
        return (said != truth).astype(float), everyone
    over = {"true_positive_rate": truth == 1, "false_positive_rate": truth == 0}
    return said.astype(float), over.get(name, everyone)
