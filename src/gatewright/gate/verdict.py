"""Asking every check, and what the answers come to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

from gatewright.adapters.memory import give_back
from gatewright.adapters.own_process import apart
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Measured
from gatewright.gate import own_checks
from gatewright.gate.checks import CHECKS
from gatewright.gate.checks.base import STATUSES, Check, Finding, Status
from gatewright.gate.inputs import BASELINE, CANDIDATE, CHAMPION, GateInputs, Loaded
from gatewright.gate.internal_error import describe
from gatewright.gate.notes import notes_of
from gatewright.gate.own_checks import OwnCheck
from gatewright.gate.policy import Policy
from gatewright.paths import MODEL

T = TypeVar("T")
Decision = Literal["yes", "no", "undecided"]
HEADLINES = 3
_SEEN: tuple[Status, ...] = ("refuse", "unsure", "warn", "excused")
_ELSEWHERE = "the model is of another Python environment; registering asks this there"


@dataclass(frozen=True)
class Answer:
    """What one check found."""

    check: str
    question: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Outlook:
    """What a later environment would say of the model, by what was measured for this one.

    `champion` is what is live there, `findings` is what would stop the model. `not_asked` are
    checks that compare with another champion than this verdict's, or would have to measure again:
    where nothing else stops the model, the decision is then open.
    """

    environment: str
    decision: Decision | Literal["open"]
    champion: str | None
    findings: tuple[str, ...]
    not_asked: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        why = self.findings[0].rstrip(".") if self.findings else ""
        more = f", and {len(self.findings) - 1} more" if len(self.findings) > 1 else ""
        if self.decision == "no":
            return f"would refuse it: {why}{more}"
        if self.decision == "undecided":
            return f"would not take it, because it is not proven: {why}{more}"
        if self.decision == "yes":
            return "would take it"
        live = f"{self.champion} is live there" if self.champion else "nothing is live there"
        return f"nothing stops it so far; not asked, as {live}: {', '.join(self.not_asked)}"


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, with everything that it rests on.

    `notes` say what a reader must know beside the answers: what a change to the rules would do,
    and what the policy lets pass. `power`: by metric, the smallest difference from the champion
    (or the baseline) that these rows would show. `resamples`: by metric, how many its interval is
    of. `outlook`: what later environments would say.
    """

    environment: str
    decision: Decision
    policy: str
    model: str | None
    champion: str | None
    answers: tuple[Answer, ...]
    metrics: dict[str, Any]
    slices: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    power: dict[str, float] = field(default_factory=dict)
    resamples: dict[str, int] = field(default_factory=dict)
    outlook: tuple[Outlook, ...] = ()

    @property
    def status(self) -> int:
        """The exit status: 0 yes, 1 no, 2 undecided."""
        return {"yes": 0, "no": 1, "undecided": 2}[self.decision]

    def found(self, *statuses: Status) -> list[tuple[str, Finding]]:
        """The check and the finding, for all of these statuses, in the order of the checks."""
        return [
            (answer.check, finding)
            for answer in self.answers
            for finding in answer.findings
            if finding.status in statuses
        ]

    def lines(self, *statuses: Status) -> list[str]:
        """What the checks found, a line a finding, of these statuses."""
        return [
            ": ".join(filter(None, (check, finding.subject, finding.message)))
            for check, finding in self.found(*statuses)
        ]

    @property
    def headline(self) -> list[tuple[str, Finding]]:
        """What a reviewer must see, at most HEADLINES; no check stands twice before another."""
        order: list[tuple[str, Finding]] = []
        for status in _SEEN:
            of_status = self.found(status)
            first = [one for at, one in enumerate(of_status) if _is_first(at, of_status)]
            order += [*first, *(one for one in of_status if one not in first)]
        return order[:HEADLINES]

    @property
    def more(self) -> int:
        """How many findings would have been headlines, had there been room."""
        return max(len(self.found(*_SEEN)) - HEADLINES, 0)

    @property
    def sentence(self) -> str:
        where = self.environment
        if self.decision == "yes" and not self.model:
            return "Yes: this touches no model."
        if self.decision == "yes":
            against = f"and holds against {self.champion}" if self.champion else "as the first"
            return f"Yes: the model may enter {where} {against}."
        said = "No: the model may not" if self.decision == "no" else "Undecided: the model does not"
        found = [*self.lines("refuse"), *self.lines("unsure"), "It gives no reason"]
        why = found[0].rstrip(".")
        return f"{said} enter {where}. {why}."

    @property
    def summary(self) -> dict[str, Any]:
        """What the registry keeps as evidence."""
        kept = ("environment", "decision", "policy", "champion")
        return {name: getattr(self, name) for name in kept} | {"findings": self.lines(*STATUSES)}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sentence": self.sentence}


def _is_first(at: int, found: list[tuple[str, Finding]]) -> bool:
    return found[at][0] not in [check for check, _ in found[:at]]


@dataclass(frozen=True)
class Later:
    """A later environment's policy, and the version that is live there."""

    policy: Policy
    champion: str | None


def judge(
    policy: Policy,
    inputs: GateInputs,
    first: tuple[Answer, ...] = (),
    notes: tuple[str, ...] = (),
    slices: bool = False,
    later: Sequence[Later] = (),
) -> Verdict:
    """Ask all checks. One refusal is a no; one that cannot tell makes it undecided.

    `first` are answers that somebody found before; they count like the others. `slices` tells the
    figures of slices as well, which takes longer. `later` are environments to say the outlook of.
    Where functions of the team judge, it is done in a process of its own, which they may end:
    Undecided then.
    """
    return _safely(policy, partial(_judge, policy, inputs, first, notes, slices, later))


def measured_by(policy: Policy, inputs: GateInputs) -> Measured:
    """The metrics of the policy with their intervals. Undecided as `judge`."""
    return _safely(policy, lambda: inputs.measured.need())


def _safely(policy: Policy, work: Callable[[], T]) -> T:
    if policy.own_metrics or policy.own_checks:
        return apart(work, "A metric or check that is a function of your package (gates.yaml)")
    return work()


def _judge(
    policy: Policy,
    inputs: GateInputs,
    first: tuple[Answer, ...],
    notes: tuple[str, ...],
    slices: bool,
    later: Sequence[Later],
) -> Verdict:
    asked = {question.id: question.ask(policy, inputs) for question in _questions(policy)}
    answers = _excused((*first, *asked.values()), policy)
    metrics, power, resamples = _figures(inputs)
    by_slice = inputs.slices if slices else None
    return Verdict(
        environment=policy.environment,
        decision=_decide(answers, policy),
        policy=policy.digest,
        model=inputs.lock.outs.get(MODEL),
        champion=inputs.champion.version if inputs.champion else None,
        answers=answers,
        metrics=metrics,
        slices=by_slice.value if isinstance(by_slice, Loaded) else {},
        notes=(*notes, *notes_of(inputs), *_new_columns(inputs), *_warnings(answers, policy)),
        power=power,
        resamples=resamples,
        outlook=tuple(_outlook(other, policy, inputs, first, asked) for other in later),
    )


@dataclass(frozen=True)
class _Question:
    """One of the library's checks, or one of the team's."""

    id: str
    check: type[Check] | OwnCheck

    def settings(self, policy: Policy) -> Any:
        is_own = isinstance(self.check, OwnCheck)
        return (policy.own_settings if is_own else policy.settings)[self.id]

    @property
    def runs_model(self) -> bool:
        if isinstance(self.check, OwnCheck):
            return own_checks.asks_model(self.check)
        return self.check.runs_model

    @property
    def compares(self) -> bool:
        if isinstance(self.check, OwnCheck):
            return own_checks.needs_champion(self.check)
        return self.check.compares

    @property
    def measures(self) -> bool:
        return self.runs_model if isinstance(self.check, OwnCheck) else self.check.measures

    @property
    def asks_environment(self) -> bool:
        return isinstance(self.check, OwnCheck) and own_checks.asks_environment(self.check)

    def same(self, policy: Policy, other: Policy) -> bool:
        """Whether both policies would get the same findings."""
        same = self.settings(policy) == self.settings(other)
        return bool(same) and not self.asks_environment

    @property
    def words(self) -> str:
        if isinstance(self.check, OwnCheck):
            return own_checks.question_of(self.check)
        return (inspect.getdoc(self.check) or "").splitlines()[0]

    def find(self, policy: Policy, inputs: GateInputs) -> tuple[Finding, ...]:
        settings = self.settings(policy)
        if isinstance(self.check, OwnCheck):
            return own_checks.ask_own(self.check, settings, policy.environment, inputs)
        names = inspect.signature(self.check.check).parameters
        needs = {name: settings if name == "settings" else _need(inputs, name) for name in names}
        return tuple(self.check.check(**needs)) or (Finding("refuse", "gave no answer"),)

    def ask(self, policy: Policy, inputs: GateInputs) -> Answer:
        """The answer. Asked again with the same settings about the same inputs, it is the same."""
        settings = self.settings(policy)
        for check, those, before in () if self.asks_environment else inputs.answered:
            if check == self.check and those == settings:
                answer: Answer = before
                return replace(answer, check=self.id)
        answer = self._ask(policy, inputs)
        inputs.answered.append((self.check, settings, answer))
        return answer

    def _ask(self, policy: Policy, inputs: GateInputs) -> Answer:
        """Not measured is not proven, and so is what an error of the machinery leaves open."""
        try:
            findings = self.find(policy, inputs)
        except Refused as refusal:
            elsewhere = self.runs_model and inputs.predictions is not None
            status: Status = "unsure" if elsewhere else "refuse"
            words = f"could not be measured. {_ELSEWHERE if elsewhere else refusal}"
            findings = (Finding(status, words, cause="unavailable"),)
        except Exception as error:
            words = (
                f"internal error: {describe(error)}. So it was not judged, which refuses; tell "
                "whoever maintains gatewright"
            )
            findings = (Finding("refuse", words, cause="internal error"),)
        finally:
            give_back()
        return Answer(self.id, self.words, findings)


def _questions(policy: Policy) -> Iterator[_Question]:
    yield from (_Question(check.id, check) for check in CHECKS)
    yield from (_Question(name, own) for name, own in policy.own_checks.items())


def _need(inputs: GateInputs, name: str) -> Any:
    value = getattr(inputs, name)
    return value.need() if hasattr(value, "need") else value


def _decide(answers: Sequence[Answer], policy: Policy) -> Decision:
    statuses = {finding.status for answer in answers for finding in answer.findings}
    if "refuse" in statuses:
        return "no"
    good: set[Status] = {"pass", "excused", "warn"}
    if policy.cannot_tell == "warn":
        good.add("unsure")
    return "yes" if statuses <= good else "undecided"


def _excused(answers: tuple[Answer, ...], policy: Policy) -> tuple[Answer, ...]:
    return tuple(
        replace(answer, findings=tuple(_excuse(answer.check, f, policy) for f in answer.findings))
        for answer in answers
    )


def _excuse(check: str, finding: Finding, policy: Policy) -> Finding:
    """The finding, marked if the policy excepts it; what passes needs no excuse."""
    for exception in policy.exceptions:
        fits = exception.check == check and exception.subject in (None, finding.subject)
        if fits and finding.status in ("refuse", "unsure"):
            message = f"{finding.message} ({exception})"
            return replace(finding, status="excused", message=message, excused_by=exception.id)
    return finding


def _warnings(answers: tuple[Answer, ...], policy: Policy) -> tuple[str, ...]:
    """What let the model pass although it was not proven good, and what is excused in vain."""
    found = [(answer.check, finding) for answer in answers for finding in answer.findings]
    notes = []
    if checks := dict.fromkeys(check for check, finding in found if finding.status == "warn"):
        notes.append(f"A warning, which stops nothing, in: {', '.join(checks)}")
    if policy.cannot_tell == "warn" and any(finding.status == "unsure" for _, finding in found):
        checks = dict.fromkeys(check for check, finding in found if finding.status == "unsure")
        notes.append(f"Not proven, and let pass by cannot_tell: {', '.join(checks)}")
    excusing = {finding.excused_by for _, finding in found}
    notes += [
        f"The exception {exception.id} excuses nothing any more: remove it"
        for exception in policy.exceptions
        if exception.id not in excusing
    ]
    return tuple(notes)


def _new_columns(inputs: GateInputs) -> tuple[str, ...]:
    """What the model takes in that the champion does not, who vouches for it, what it brings."""
    if not isinstance(inputs.new_columns, Loaded):
        return ()  # the check that needed it has said why
    new = inputs.new_columns.value
    told = []
    for name in (*new.vouched, *new.others):
        word = "`known: before`" if name in new.vouched else "nobody says when it is known"
        share = (new.shares or {}).get(name)
        brings = "" if share is None else f", brings {share:.0%} of the gain in {new.metric}"
        told.append(f"{name} ({word}{brings})")
    return (f"It takes in new columns: {'; '.join(told)}",) if told else ()


def _outlook(
    later: Later,
    policy: Policy,
    inputs: GateInputs,
    first: tuple[Answer, ...],
    asked: Mapping[str, Answer],
) -> Outlook:
    """The later environment's own bounds on what was measured; nothing is measured again."""
    same = later.champion == (inputs.champion.version if inputs.champion else None)
    answers, not_asked = list(first), []
    for question in _questions(later.policy):
        if question.compares and not same:
            not_asked.append(question.id)
        elif question.same(later.policy, policy):
            answers.append(asked[question.id])
        elif question.measures:
            not_asked.append(question.id)
        else:
            answers.append(question.ask(later.policy, inputs))
    done = _excused(tuple(answers), later.policy)
    decision: Decision | Literal["open"] = _decide(done, later.policy)
    if decision == "yes" and not_asked:
        decision = "open"
    stops: list[Status] = ["refuse"] if later.policy.cannot_tell == "warn" else ["refuse", "unsure"]
    findings = [
        ": ".join(filter(None, (answer.check, finding.subject, finding.message)))
        for status in stops
        for answer in done
        for finding in answer.findings
        if finding.status == status
    ]
    where = later.policy.environment
    return Outlook(where, decision, later.champion, tuple(findings), tuple(not_asked))


def _figures(inputs: GateInputs) -> tuple[dict[str, Any], dict[str, float], dict[str, int]]:
    """By metric: what every model reached, the smallest difference seen, and its resamples."""
    if not isinstance(inputs.measured, Loaded):
        return {}, {}, {}  # the checks that needed it have said why
    measured = inputs.measured.value
    opponent = CHAMPION if CHAMPION in measured.models else BASELINE
    table, power, resamples = {}, {}, {}
    for metric in measured.metrics:
        name = metric.name
        row = {model: asdict(measured.estimate(name, model)) for model in measured.models}
        for other in measured.models[1:]:
            row[f"gain over {other}"] = asdict(measured.gain(name, CANDIDATE, other))
        table[name], power[name] = row, measured.smallest(name, CANDIDATE, opponent)
        resamples[name] = measured.resamples(name)
    return table, power, resamples
