"""Asking every check, and what the answers come to."""

import inspect
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from gatewright.errors import Refused
from gatewright.gate.checks import CHECKS
from gatewright.gate.checks.base import STATUSES, Check, Finding, Status
from gatewright.gate.inputs import CANDIDATE, CHAMPION, RULE, Evidence
from gatewright.gate.policy import Exemption, Policy
from gatewright.paths import MODEL

Decision = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Answer:
    """What one check found."""

    check: str
    question: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, with everything that it rests on.

    `notes` say what a reader must know beside the answers: what a change to the rules would do,
    and what the policy lets pass. `power`: by metric, the smallest difference from the champion
    (or the baseline) that these rows would show.
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

    @property
    def status(self) -> int:
        """The exit status: 0 yes, 1 no, 2 undecided."""
        return {"yes": 0, "no": 1, "undecided": 2}[self.decision]

    def said(self, *statuses: Status) -> list[str]:
        """What the checks found, a line a finding, of these statuses."""
        return [
            ": ".join(filter(None, (answer.check, finding.subject, finding.message)))
            for answer in self.answers
            for finding in answer.findings
            if finding.status in statuses
        ]

    @property
    def sentence(self) -> str:
        where = self.environment
        if self.decision == "yes" and not self.model:
            return "Yes: this touches no model."
        if self.decision == "yes":
            against = f"and holds against {self.champion}" if self.champion else "as the first"
            return f"Yes: the model may enter {where} {against}."
        said = "No: the model may not" if self.decision == "no" else "Undecided: the model does not"
        why = [*self.said("refuse"), *self.said("unsure")][0].rstrip(".")
        return f"{said} enter {where}. {why}."

    @property
    def summary(self) -> dict[str, Any]:
        """What the registry keeps as evidence."""
        kept = ("environment", "decision", "policy", "champion")
        return {name: getattr(self, name) for name in kept} | {"findings": self.said(*STATUSES)}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sentence": self.sentence}


def judge(
    policy: Policy,
    evidence: Evidence,
    first: tuple[Answer, ...] = (),
    notes: tuple[str, ...] = (),
    slices: bool = False,
) -> Verdict:
    """Ask all checks. One refusal is a no; one that cannot tell makes it undecided.

    `first` are answers that somebody found before; they count like the others. `slices` tells the
    figures of slices as well, which takes longer.
    """
    asked = (*first, *(_ask(check, policy, evidence) for check in CHECKS))
    answers = tuple(_excuse(answer, policy.exceptions) for answer in asked)
    statuses = {finding.status for answer in answers for finding in answer.findings}
    good: set[Status] = {"pass", "excused", "warn"}
    if policy.doubt == "warn":
        good.add("unsure")
    decision: Decision = "yes" if statuses <= good else "undecided"
    if "refuse" in statuses:
        decision = "no"
    metrics, power = _measured(evidence)
    return Verdict(
        environment=policy.environment,
        decision=decision,
        policy=policy.digest,
        model=evidence.lock.outs.get(MODEL),
        champion=evidence.champion.version if evidence.champion else None,
        answers=answers,
        metrics=metrics,
        slices=_slices(evidence) if slices else {},
        notes=(*notes, *_warnings(answers, policy)),
        power=power,
    )


def _ask(check: type[Check], policy: Policy, evidence: Evidence) -> Answer:
    question = (inspect.getdoc(check) or "").splitlines()[0]
    try:
        needs = {
            name: policy.settings[check.id] if name == "settings" else getattr(evidence, name)
            for name in inspect.signature(check.check).parameters
        }
        findings = tuple(check.check(**needs)) or (Finding("refuse", "gave no answer"),)
    except Exception as error:  # whatever it is: not measured is not proven
        why = str(error) if isinstance(error, Refused) else repr(error)
        if check.runs_model and evidence.told:
            why = "the model is of another environment; registering asks this there"
        status: Status = "unsure" if check.runs_model and evidence.told else "refuse"
        findings = (Finding(status, f"could not be measured. {why}"),)
    return Answer(check.id, question, findings)


def _excuse(answer: Answer, exceptions: tuple[Exemption, ...]) -> Answer:
    """The answer with what the policy excepts marked so; what passes needs no excuse."""
    findings = []
    for finding in answer.findings:
        for exception in exceptions:
            fits = exception.check == answer.check
            fits = fits and exception.subject in (None, finding.subject)
            if fits and finding.status in ("refuse", "unsure"):
                message = f"{finding.message} ({exception})"
                finding = replace(finding, status="excused", message=message)
        findings.append(finding)
    return replace(answer, findings=tuple(findings))


def _warnings(answers: tuple[Answer, ...], policy: Policy) -> tuple[str, ...]:
    """What let the model pass although it was not proven good, and what is excused in vain."""
    said = [(answer.check, finding) for answer in answers for finding in answer.findings]
    notes = []
    if checks := dict.fromkeys(check for check, finding in said if finding.status == "warn"):
        notes.append(f"A warning, which stops nothing, in: {', '.join(checks)}")
    if policy.doubt == "warn" and any(finding.status == "unsure" for _, finding in said):
        checks = dict.fromkeys(check for check, finding in said if finding.status == "unsure")
        notes.append(f"Not proven, and let pass by cannot_tell: {', '.join(checks)}")
    for exception in policy.exceptions:
        if not any(str(exception) in finding.message for _, finding in said):
            notes.append(f"The exception {exception.id} excuses nothing any more: remove it")
    return tuple(notes)


def _measured(evidence: Evidence) -> tuple[dict[str, Any], dict[str, float]]:
    """By metric what every model reached, and the smallest difference that could be seen."""
    try:
        measured = evidence.measured
    except Exception:
        return {}, {}  # the checks that needed it have said why
    opponent = CHAMPION if CHAMPION in measured.models else RULE
    table, power = {}, {}
    for metric in (metric.name for metric in measured.metrics):
        row = {model: asdict(measured.estimate(metric, model)) for model in measured.models}
        for other in measured.models[1:]:
            row[f"gain over {other}"] = asdict(measured.gain(metric, CANDIDATE, other))
        table[metric], power[metric] = row, measured.smallest(metric, CANDIDATE, opponent)
    return table, power


def _slices(evidence: Evidence) -> dict[str, Any]:
    try:
        return evidence.slices
    except Exception:
        return {}  # as above, or a column that the rows lack
