"""Asking every check, and what the answers come to."""

import inspect
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mlops.artefacts.model import MODEL
from mlops.errors import Refused
from mlops.gate.checks import CHECKS
from mlops.gate.checks.check import STATUSES, Check, Finding, Status
from mlops.gate.evidence import CANDIDATE, Evidence
from mlops.gate.policy import Policy

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

    `notes` say what a reader must know beside the answers: what a change to the rules would do.
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
        return f"{said} enter {where}. {[*self.said('refuse'), *self.said('unsure')][0]}."

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
) -> Verdict:
    """Ask all checks. One refusal is a no; one that cannot tell makes it undecided.

    `first` are answers that somebody found before; they count like the others.
    """
    answers = (*first, *(_ask(check, policy, evidence) for check in CHECKS))
    statuses = {finding.status for answer in answers for finding in answer.findings}
    decision: Decision = "yes" if statuses == {"pass"} else "undecided"
    if "refuse" in statuses:
        decision = "no"
    return Verdict(
        environment=policy.environment,
        decision=decision,
        policy=policy.digest,
        model=evidence.lock.outs.get(MODEL),
        champion=evidence.champion.version if evidence.champion else None,
        answers=answers,
        metrics=_metrics(evidence),
        slices=_slices(evidence) if evidence.review else {},
        notes=notes,
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
        findings = (Finding("refuse", f"could not be measured. {why}"),)
    return Answer(check.id, question, findings)


def _metrics(evidence: Evidence) -> dict[str, Any]:
    try:
        measured = evidence.measured
    except Exception:
        return {}  # the checks that needed it have said why
    table = {}
    for metric in (metric.name for metric in measured.metrics):
        row = {model: asdict(measured.estimate(metric, model)) for model in measured.models}
        for other in measured.models[1:]:
            row[f"gain over {other}"] = asdict(measured.gain(metric, CANDIDATE, other))
        table[metric] = row
    return table


def _slices(evidence: Evidence) -> dict[str, Any]:
    try:
        return evidence.slices
    except Exception:
        return {}  # as above, or a column that the rows lack
