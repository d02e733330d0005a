"""A team's own checks: functions of its package that gates.yaml names.

Such a function imports nothing of this library: it gets what its parameters name (`INPUTS`) and
yields findings as plain dicts or tuples. Whatever else it does is refused with a sentence.
"""

from __future__ import annotations

import inspect
import io
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from pydantic import Field

from gatewright.contract.schema import Strict
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.own_function import PATH, find_function, refusing
from gatewright.evaluation.predictions import answer
from gatewright.gate.checks.base import Finding, Status
from gatewright.gate.inputs import BASELINE, CANDIDATE, CHAMPION, GateInputs

MOST_FINDINGS = 1000
_STATUSES = tuple(status for status in get_args(Status) if status != "excused")
_KEYS = {"status", "message", "subject", "value", "low", "high", "bound"}
_FORM = (
    "A finding is a dict with status and message, and if it helps subject, value, low, high and "
    "bound, or a tuple of status, message and subject; a status is " + " or ".join(_STATUSES)
)


class OwnCheck(Strict):
    """`function` is the path of the team's function, `seconds` how long it may take."""

    function: str = Field(pattern=PATH)
    seconds: float = Field(default=300.0, gt=0)


@dataclass(frozen=True)
class _Given:
    settings: Mapping[str, Any]
    environment: str
    inputs: GateInputs

    def said(self, model: str, what: str) -> Any:
        """A copy of the model's scores or labels; None where there is no such model."""
        answers = self.inputs.answers.need()
        return answers[model].copied(what) if model in answers else None

    def predict(self) -> Callable[[Any], Any]:
        model, contract = self.inputs.candidate.need(), self.inputs.contract
        return lambda rows: answer(model, rows, contract, CANDIDATE).scores


# Copies, so that no check can change what the next one judges on.
INPUTS: dict[str, Callable[[_Given], Any]] = {
    "settings": lambda given: dict(given.settings),
    "environment": lambda given: given.environment,
    "confidence": lambda given: given.inputs.sampling.confidence,
    "rows": lambda given: given.inputs.rows.need().copy(),
    "train": lambda given: given.inputs.train.need().copy(),
    "truth": lambda given: given.inputs.truth.need().copy(),
    "scores": lambda given: given.said(CANDIDATE, "scores"),
    "labels": lambda given: given.said(CANDIDATE, "labels"),
    "baseline_scores": lambda given: given.said(BASELINE, "scores"),
    "baseline_labels": lambda given: given.said(BASELINE, "labels"),
    "champion_scores": lambda given: given.said(CHAMPION, "scores"),
    "champion_labels": lambda given: given.said(CHAMPION, "labels"),
    "champion_version": lambda given: given.inputs.champion and given.inputs.champion.version,
    "predict": _Given.predict,
}
_OF_CHAMPION = {name for name in INPUTS if name.startswith("champion")}


def ask_own(
    own: OwnCheck, settings: Mapping[str, Any], environment: str, inputs: GateInputs
) -> tuple[Finding, ...]:
    """What the team's function finds. Raises Refused for whatever else it does."""
    function = find_function(own.function, "The check")
    names = _parameters(function, own.function)
    given = _Given(settings, environment, inputs)
    needs = {name: INPUTS[name](given) for name in names}
    printed = io.StringIO()
    with refusing(own.function), redirect_stdout(printed), _at_most(own.seconds):
        items = list(_listed(function(**needs), own.function))
    if words := printed.getvalue().strip():
        raise Refused(
            f"{own.function} prints '{words[:60]}', which would stand in what machines read: "
            "yield it as a finding."
        )
    if not items:
        raise Refused(f"{own.function} yields no finding, so nothing is proven. {_FORM}.")
    return tuple(_finding(item, own.function) for item in items)


def question_of(own: OwnCheck) -> str:
    """The first line of the function's docstring, if there is one."""
    try:
        words = inspect.getdoc(find_function(own.function, "The check"))
    except Refused:
        words = None
    return words.splitlines()[0] if words else f"What does {own.function} find?"


def needs_champion(own: OwnCheck) -> bool:
    return bool(_OF_CHAMPION & _asked_for(own))


def asks_model(own: OwnCheck) -> bool:
    return "predict" in _asked_for(own)


def asks_environment(own: OwnCheck) -> bool:
    return "environment" in _asked_for(own)


def _asked_for(own: OwnCheck) -> set[str]:
    try:
        return set(_parameters(find_function(own.function, "The check"), own.function))
    except Refused:
        return set()


def _parameters(function: Callable[..., Any], path: str) -> list[str]:
    names = list(inspect.signature(function).parameters)
    if unknown := [name for name in names if name not in INPUTS]:
        raise Refused(
            f"{path} asks for {', '.join(unknown)}, which no check is given. There are: "
            f"{', '.join(INPUTS)}."
        )
    return names


def _listed(found: Any, path: str) -> Iterator[Any]:
    if isinstance(found, (str, bytes, Mapping)) or not hasattr(found, "__iter__"):
        raise Refused(
            f"{path} returns {type(found).__name__}: yield findings, or return a list. {_FORM}."
        )
    for number, item in enumerate(found):
        if number == MOST_FINDINGS:
            raise Refused(f"{path} yields more than {MOST_FINDINGS:,} findings: say what matters.")
        yield item


def _finding(item: Any, path: str) -> Finding:
    if isinstance(item, tuple) and len(item) in (2, 3):
        item = dict(zip(("status", "message", "subject"), item, strict=False))
    good = isinstance(item, Mapping) and {"status", "message"} <= set(item) <= _KEYS
    good = good and item["status"] in _STATUSES
    good = good and all(isinstance(item.get(key, ""), str) for key in ("message", "subject"))
    good = good and bool(item["message"].strip())
    numbers = {key: item.get(key) for key in ("value", "low", "high", "bound")} if good else {}
    good = good and all(value is None or _is_finite(value) for value in numbers.values())
    if not good:
        raise Refused(f"{path} yields {str(item)[:80]!r}, which is no finding. {_FORM}.")
    value, low, high, bound = (None if n is None else float(n) for n in numbers.values())
    estimate = None
    if value is not None:
        ends = (value if low is None else low, value if high is None else high)
        estimate = Estimate(value, *ends)
    return Finding(item["status"], item["message"], item.get("subject", ""), estimate, bound)


def _is_finite(value: Any) -> bool:
    try:
        return not isinstance(value, (str, bool)) and math.isfinite(value)
    except TypeError:
        return False


class _Late(BaseException):
    """Not an Exception: a function that catches those would go on for ever."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raises Refused in what takes longer, where the system can interrupt it."""
    alarm = hasattr(signal, "setitimer")
    if not alarm or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> NoReturn:
        raise _Late

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again, if the function catches it
    try:
        yield
    except _Late:
        raise Refused(f"The function takes more than {seconds:g} s, and was stopped.") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
