"""gates.yaml: what a model must prove before it enters an environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gatewright.adapters.files import read_text, text_digest
from gatewright.adapters.strict_yaml import line_of, parse_yaml
from gatewright.contract.schema import Contract, Strict, read_contract, validated
from gatewright.errors import Misuse, Refused
from gatewright.evaluation.metrics import OwnMetric, find_metric, is_metric, metrics_of, no_metric
from gatewright.gate.checks import CHECKS
from gatewright.gate.inputs import Sampling
from gatewright.gate.own_checks import OwnCheck
from gatewright.pipeline.reproduction import Reproduce
from gatewright.registry.provenance import Protection

NAME = "gates.yaml"
CannotTell = Literal["refuse", "warn"]
_METRIC_KEYS = ("metrics", "bounds", "behind", "too_good", "max_gain")  # settings that name metrics
_NEVER_EXCUSED = ("files",)  # without them nobody knows what was judged
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_REVIEW = "lock"  # the question that a review asks before the checks


class Exemption(Strict):
    """A finding that does not stop a model until a day, because somebody answers for it.

    `subject` narrows it to one subject of the check, `environment` to one environment.
    """

    id: str
    check: str
    subject: str | None = None
    environment: str | None = None
    reason: str = Field(min_length=10)
    owner: str = Field(min_length=1)
    expires: date

    def __str__(self) -> str:
        return f"excused by {self.id} until {self.expires}, {self.owner}: {self.reason}"


@dataclass(frozen=True)
class Policy:
    """The policy for one environment: settings by check, and what is done about doubt.

    `cannot_tell` says whether what these rows do not settle refuses or warns; `metric_names` are
    the metrics that it asks for. `own_settings` are those of the team's own checks.
    """

    environment: str
    digest: str
    sampling: Sampling
    settings: dict[str, Strict]
    approval: bool
    cannot_tell: CannotTell
    exceptions: tuple[Exemption, ...]
    own_metrics: Mapping[str, OwnMetric]
    own_checks: Mapping[str, OwnCheck]
    own_settings: Mapping[str, dict[str, Any]]
    metric_names: tuple[str, ...]
    protection: tuple[Protection, ...]


@dataclass(frozen=True)
class Policies:
    """gates.yaml, read once: a policy by environment, in the order of a version's way.

    `pull_request` is the environment whose policy decides a pull request; `reproduce` says what
    proves that a model follows from its inputs.
    """

    by_environment: Mapping[str, Policy]
    pull_request: str
    name: str = NAME
    reproduce: Reproduce = "always"

    @property
    def environments(self) -> list[str]:
        return list(self.by_environment)

    def of(self, environment: str) -> Policy:
        if environment not in self.by_environment:
            known = ", ".join(self.by_environment)
            raise Misuse(
                f"There is no environment '{environment}' in {self.name}. There are: {known}."
            )
        return self.by_environment[environment]

    def later(self, environment: str) -> list[Policy]:
        """The policies of the environments that a version comes to after this one."""
        at = self.environments.index(environment)
        return list(self.by_environment.values())[at + 1 :]


class _Content(Strict):
    approval: tuple[str, ...] = ()
    protection: dict[str, tuple[Protection, ...]] = Field(default_factory=dict)
    pull_request: str | None = None
    reproduce: Reproduce = "always"
    cannot_tell: dict[str, CannotTell] = Field(default_factory=dict)
    sampling: Sampling = Sampling()
    metrics: dict[str, OwnMetric] = Field(default_factory=dict)
    own_checks: dict[str, OwnCheck] = Field(default_factory=dict)
    exceptions: tuple[Exemption, ...] = ()
    checks: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, dict[str, Any]]] = Field(min_length=1)


def parse_policies(
    text: str, name: str = NAME, contract: Contract | None = None, today: date | None = None
) -> Policies:
    """The settings of every check for each environment, after inheritance from `checks`.

    Raises Refused with the line in the file for whatever could be misread, for a column or metric
    that `contract` does not have, and for an exception that expired before `today` (UTC).
    """
    return PolicyFile.parse(text, name).policies(contract, today)


@dataclass(frozen=True)
class PolicyFile:
    """A policy as it was parsed, once; the policy of each environment follows from it."""

    text: str
    name: str
    content: _Content

    @classmethod
    def parse(cls, text: str, name: str = NAME) -> PolicyFile:
        content = validated(_Content, parse_yaml(text, name), name, partial(line_of, text))
        return cls(text, name, content)

    @property
    def environments(self) -> list[str]:
        """The environments in the order in which a version walks through them."""
        return list(self.content.environments)

    @property
    def approval(self) -> tuple[str, ...]:
        """The environments that take nothing unapproved."""
        return self.content.approval

    @property
    def reproduce(self) -> Reproduce:
        """What proves that a model follows from its inputs."""
        return self.content.reproduce

    @property
    def has_own_functions(self) -> bool:
        """Whether it names metrics or checks that are functions of the team's package."""
        return bool(self.content.metrics or self.content.own_checks)

    def policies(self, contract: Contract | None = None, today: date | None = None) -> Policies:
        """As `parse_policies`."""
        return _policies(self.content, self.text, self.name, contract, today)

    def policy(
        self, environment: str, contract: Contract | None = None, today: date | None = None
    ) -> Policy:
        """As `parse_policy`."""
        return self.policies(contract, today).of(environment)


def _policies(
    file: _Content, text: str, name: str, contract: Contract | None, today: date | None
) -> Policies:
    _names_exist(file, text, name)
    _exceptions_hold(file, text, name, today or datetime.now(UTC).date())
    settings = {  # of every environment, so that an error in any of them is an error now
        where: {
            check.id: validated(
                check.Settings,
                _merge(file.checks.get(check.id, {}), own.get(check.id, {})),
                f"{name} ({check.id} for {where})",
                partial(_line, text, where, check.id),
                {"own": file.metrics},
            )
            for check in CHECKS
        }
        for where, own in file.environments.items()
    }
    for where, by_check in settings.items():
        _agree(by_check, where, text, name)
        if contract is not None:
            _contract_has(by_check, where, text, name, contract, file.metrics)
    policies = {
        where: Policy(
            environment=where,
            digest=text_digest(text),
            sampling=file.sampling,
            settings=settings[where],
            approval=where in file.approval,
            cannot_tell=file.cannot_tell.get(where, "refuse"),
            exceptions=tuple(e for e in file.exceptions if e.environment in (None, where)),
            own_metrics=file.metrics,
            own_checks=file.own_checks,
            own_settings={
                check: _merge(file.checks.get(check, {}), own.get(check, {}))
                for check in file.own_checks
            },
            metric_names=_metric_names(settings[where]),
            protection=file.protection.get(where, ()),
        )
        for where, own in file.environments.items()
    }
    return Policies(policies, file.pull_request or next(iter(policies)), name, file.reproduce)


def parse_policy(
    text: str,
    environment: str,
    name: str = NAME,
    contract: Contract | None = None,
    today: date | None = None,
) -> Policy:
    """The policy for one environment; see parse_policies."""
    return parse_policies(text, name, contract, today).of(environment)


def read_policies(root: Path) -> Policies:
    return parse_policies(read_text(root / NAME), contract=read_contract(root))


def champion_metrics(policy: Policy) -> tuple[str, ...]:
    """The metrics by which a candidate is compared with what is live."""
    return tuple(getattr(policy.settings["champion"], "metrics", {}))


def settled_by(policy: Policy) -> str | None:
    """The version whose test set judges, however its rows came."""
    return getattr(policy.settings["holdout"], "settled", None)


def read_policy(root: Path, environment: str) -> Policy:
    return read_policies(root).of(environment)


def environments(root: Path) -> list[str]:
    """The environments in the order in which a version walks through them."""
    return PolicyFile.parse(read_text(root / NAME)).environments


def _wrong(text: str, name: str, keys: tuple[str | int, ...], words: str) -> Refused:
    line = line_of(text, keys)
    return Refused(f"{name}, line {line}: {words} Correct it and run again.")


def _line(text: str, environment: str, check: str, keys: tuple[str | int, ...]) -> int | None:
    """The line of a setting: of the environment where it overrides, else of `checks`."""
    places = (("environments", environment, check), ("checks", check))
    reached = [_reached(text, place, keys) for place in places]
    best = max(range(len(places)), key=lambda i: reached[i])
    return line_of(text, (*places[best], *keys)) if reached[best] >= 0 else None


def _reached(text: str, place: tuple[str, ...], keys: tuple[str | int, ...]) -> int:
    """How many of the keys stand below the place; -1 if not even the place does."""
    value: Any = parse_yaml(text, NAME)
    for depth, key in enumerate((*place, *keys)):
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return max(depth - len(place), -1)
    return len(keys)


def _names_exist(file: _Content, text: str, name: str) -> None:
    for environment in file.environments:
        if not _ENVIRONMENT.fullmatch(environment):
            words = (
                f"{environment!r} is no name of an environment. It names a DVC remote, a file of "
                "the registry and a branch, so use letters, digits, - and _, at most 40."
            )
            raise _wrong(text, name, ("environments", environment), words)
    ids = [check.id for check in CHECKS]
    known = {*ids, *file.own_checks}
    for key, where in (
        ("approval", file.approval),
        ("protection", file.protection),
        ("cannot_tell", file.cannot_tell),
    ):
        if unknown := sorted(set(where) - set(file.environments)):
            words = f"{key} names no environment of this file: {', '.join(unknown)}."
            raise _wrong(text, name, (key, *unknown[:1]), words)
    if file.pull_request not in (None, *file.environments):
        words = f"pull_request names no environment of this file: {file.pull_request}."
        raise _wrong(text, name, ("pull_request",), f"{words} {_like(file.environments)}")
    places: list[tuple[tuple[str, ...], dict[str, Any]]] = [(("checks",), file.checks)]
    places += [(("environments", where), own) for where, own in file.environments.items()]
    for place, own in places:
        for unknown_check in sorted(set(own) - known):
            words = f"there is no check '{unknown_check}'; it would judge nothing."
            at = (*place, unknown_check)
            raise _wrong(text, name, at, f"{words} {_like([*ids, *file.own_checks])}")
    for metric in sorted(file.metrics):
        if is_metric(metric):
            words = f"the metric '{metric}' exists already; give yours another name."
            raise _wrong(text, name, ("metrics", metric), words)
    if twice := sorted({*ids, _REVIEW} & set(file.own_checks)):
        words = f"the check '{twice[0]}' exists already; give yours another name."
        raise _wrong(text, name, ("own_checks", twice[0]), words)


def _like(names: Iterable[str]) -> str:
    return f"There are: {', '.join(names)}."


def _exceptions_hold(file: _Content, text: str, name: str, today: date) -> None:
    known = {*(check.id for check in CHECKS), *file.own_checks} - set(_NEVER_EXCUSED)
    ids = [exception.id for exception in file.exceptions]
    for number, exception in enumerate(file.exceptions):
        at = ("exceptions", number)
        if exception.expires < today:
            words = f"the exception {exception.id} expired on {exception.expires}."
            raise _wrong(text, name, (*at, "expires"), f"{words} Remove it, or renew it.")
        if exception.check not in known:
            words = f"{exception.id} excuses '{exception.check}', which is none of these: "
            raise _wrong(text, name, (*at, "check"), f"{words}{', '.join(sorted(known))}.")
        if exception.environment not in (None, *file.environments):
            words = f"{exception.id} is for '{exception.environment}', which is no environment."
            raise _wrong(text, name, (*at, "environment"), words)
        if ids.count(exception.id) > 1:
            raise _wrong(text, name, (*at, "id"), f"the exception {exception.id} stands twice.")


def _agree(settings: dict[str, Strict], where: str, text: str, name: str) -> None:
    """Refuse bounds that no model can keep."""
    limits = getattr(settings["leakage"], "too_good", {})
    for metric, bound in getattr(settings["bounds"], "metrics", {}).items():
        if metric in limits and bound.min is not None and bound.min >= limits[metric]:
            line = _line(text, where, "bounds", ("metrics", metric))
            other = _line(text, where, "leakage", ("too_good", metric))
            raise Refused(
                f"{name}, line {line}: for {where}, {metric} must be at least {bound.min:g}, and "
                f"line {other} finds {limits[metric]:g} too good to be true: no model can keep "
                "both. Correct one of them."
            )


def _contract_has(
    settings: dict[str, Strict],
    where: str,
    text: str,
    name: str,
    contract: Contract,
    own: Mapping[str, OwnMetric],
) -> None:
    """Refuse columns that no row has, and metrics that this target cannot have."""
    shown = {n for n, column in contract.columns.items() if not column.personal}
    for check in ("slices", "fairness"):
        columns = getattr(settings[check], "columns", None) or ()
        if unknown := [n for n in columns if n not in shown | {contract.target.name}]:
            line = _line(text, where, check, ("columns",))
            raise Refused(
                f"{name}, line {line}: {check}.columns names {', '.join(unknown)}, which no row "
                "has: contract.yaml does not list it, or as personal. Correct it and run again."
            )
    known = metrics_of(contract)
    for check, by_check in settings.items():
        for key in _METRIC_KEYS:
            for metric in getattr(by_check, key, {}):
                if metric not in own and find_metric(metric, contract, known) is None:
                    line = _line(text, where, check, (key, metric))
                    words = no_metric(metric, contract, own)
                    raise Refused(f"{name}, line {line}: {words} Correct it and run again.")


def _metric_names(settings: dict[str, Strict]) -> tuple[str, ...]:
    """The metrics that any check names, each once."""
    named: dict[str, None] = {}
    for own in settings.values():
        for key in _METRIC_KEYS:
            named |= dict.fromkeys(getattr(own, key, {}))
    return tuple(named)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged
