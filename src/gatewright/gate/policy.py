"""gates.yaml: what a model must prove before it enters an environment."""

from __future__ import annotations

from collections.abc import Mapping
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
from gatewright.evaluation.metrics import NAMES, Own, metrics_of
from gatewright.gate.checks import CHECKS
from gatewright.gate.inputs import Sampling
from gatewright.registry.provenance import Protection

NAME = "gates.yaml"
Doubt = Literal["refuse", "warn"]
_METRIC_KEYS = ("metrics", "bounds", "behind", "too_good")  # settings that name metrics
_NEVER_EXCUSED = ("files",)  # without them nobody knows what was judged


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

    `doubt` says whether "cannot tell" refuses or warns; `named` are the metrics that it asks for.
    """

    environment: str
    digest: str
    sampling: Sampling
    settings: dict[str, Strict]
    approval: bool
    doubt: Doubt
    exceptions: tuple[Exemption, ...]
    own: Mapping[str, Own]
    named: tuple[str, ...]
    protection: tuple[Protection, ...]


class _File(Strict):
    approval: tuple[str, ...] = ()
    protection: dict[str, tuple[Protection, ...]] = Field(default_factory=dict)
    cannot_tell: dict[str, Doubt] = Field(default_factory=dict)
    sampling: Sampling = Sampling()
    metrics: dict[str, Own] = Field(default_factory=dict)
    exceptions: tuple[Exemption, ...] = ()
    checks: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, dict[str, Any]]] = Field(min_length=1)


def parse_policy(
    text: str,
    environment: str,
    name: str = NAME,
    contract: Contract | None = None,
    today: date | None = None,
) -> Policy:
    """The settings of every check for `environment`, after inheritance from `checks`.

    Raises Refused with the line in the file for whatever could be misread, for a column or metric
    that `contract` does not have, and for an exception that expired before `today` (UTC).
    """
    return PolicyFile.parse(text, name).policy(environment, contract, today)


@dataclass(frozen=True)
class PolicyFile:
    """A policy as it was parsed, once; the policy of each environment follows from it."""

    text: str
    name: str
    content: _File

    @classmethod
    def parse(cls, text: str, name: str = NAME) -> PolicyFile:
        content = validated(_File, parse_yaml(text, name), name, partial(line_of, text))
        return cls(text, name, content)

    @property
    def environments(self) -> list[str]:
        """The environments in the order in which a version walks through them."""
        return list(self.content.environments)

    def policy(
        self, environment: str, contract: Contract | None = None, today: date | None = None
    ) -> Policy:
        """As `parse_policy`."""
        if environment not in self.content.environments:
            known = ", ".join(self.content.environments)
            raise Misuse(
                f"There is no environment '{environment}' in {self.name}. There are: {known}."
            )
        return _policy(self.content, self.text, environment, self.name, contract, today)


def _policy(
    file: _File,
    text: str,
    environment: str,
    name: str,
    contract: Contract | None,
    today: date | None,
) -> Policy:
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
            _contract_has(by_check, where, text, name, contract, set(file.metrics))
    return Policy(
        environment=environment,
        digest=text_digest(text),
        sampling=file.sampling,
        settings=settings[environment],
        approval=environment in file.approval,
        doubt=file.cannot_tell.get(environment, "refuse"),
        exceptions=tuple(e for e in file.exceptions if e.environment in (None, environment)),
        own=file.metrics,
        named=_metric_names(settings[environment]),
        protection=file.protection.get(environment, ()),
    )


def read_policy(root: Path, environment: str) -> Policy:
    return parse_policy(read_text(root / NAME), environment, contract=read_contract(root))


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


def _names_exist(file: _File, text: str, name: str) -> None:
    known = {check.id for check in CHECKS}
    listed = ", ".join(check.id for check in CHECKS)
    for key, where in (
        ("approval", file.approval),
        ("protection", file.protection),
        ("cannot_tell", file.cannot_tell),
    ):
        if unknown := sorted(set(where) - set(file.environments)):
            words = f"{key} names no environment of this file: {', '.join(unknown)}."
            raise _wrong(text, name, (key, *unknown[:1]), words)
    places: list[tuple[tuple[str, ...], dict[str, Any]]] = [(("checks",), file.checks)]
    places += [(("environments", where), own) for where, own in file.environments.items()]
    for place, own in places:
        for unknown_check in sorted(set(own) - known):
            words = f"there is no check '{unknown_check}'; it would judge nothing. Known: {listed}."
            raise _wrong(text, name, (*place, unknown_check), words)
    if twice := sorted(NAMES & set(file.metrics)):
        words = f"the metric '{twice[0]}' exists already; give yours another name."
        raise _wrong(text, name, ("metrics", twice[0]), words)


def _exceptions_hold(file: _File, text: str, name: str, today: date) -> None:
    known = {check.id for check in CHECKS} - set(_NEVER_EXCUSED)
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
    own: set[str],
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
    known = set(metrics_of(contract)) | own
    for check, by_check in settings.items():
        for key in _METRIC_KEYS:
            if unknown := [n for n in getattr(by_check, key, {}) if n not in known]:
                line = _line(text, where, check, (key, unknown[0]))
                raise Refused(
                    f"{name}, line {line}: {unknown[0]} is no metric of a {contract.target.type} "
                    f"target{'' if contract.decision else ' without a decision in contract.yaml'}."
                    f" There are: {', '.join(sorted(known))}. Correct it and run again."
                )


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
