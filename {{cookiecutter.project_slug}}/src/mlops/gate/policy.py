"""gates.yaml: what a model must prove before it enters an environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from mlops.artefacts.contract import Strict, validated
from mlops.artefacts.files import parse_yaml, read_text, text_digest
from mlops.errors import Misuse, Refused
from mlops.gate.checks import CHECKS
from mlops.gate.evidence import Sampling


@dataclass(frozen=True)
class Policy:
    """The policy for one environment: settings by check, and whether somebody must approve."""

    environment: str
    digest: str
    sampling: Sampling
    settings: dict[str, Strict]
    approval: bool


class _File(Strict):
    approval: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    checks: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, dict[str, Any]]] = Field(min_length=1)


def parse_policy(text: str, environment: str, name: str = "gates.yaml") -> Policy:
    """The settings of every check for `environment`, after inheritance from `checks`."""
    file = validated(_File, parse_yaml(text, name), name)
    if environment not in file.environments:
        known = ", ".join(file.environments)
        raise Misuse(f"There is no environment '{environment}' in {name}. There are: {known}.")
    if unknown := sorted(set(file.approval) - set(file.environments)):
        raise Refused(f"{name} asks for approval of no environment: {', '.join(unknown)}.")
    for where in [file.checks, *file.environments.values()]:
        if unknown := sorted(set(where) - {check.id for check in CHECKS}):
            raise Refused(
                f"{name} sets checks that do not exist: {', '.join(unknown)}. They would judge "
                f"nothing. Known: {', '.join(check.id for check in CHECKS)}."
            )
    settings = {  # of every environment, so that an error in any of them is an error now
        where: {
            check.id: validated(
                check.Settings,
                _merge(file.checks.get(check.id, {}), own.get(check.id, {})),
                f"{name} ({check.id} for {where})",
            )
            for check in CHECKS
        }
        for where, own in file.environments.items()
    }
    approval = environment in file.approval
    return Policy(environment, text_digest(text), file.sampling, settings[environment], approval)


def read_policy(root: Path, environment: str) -> Policy:
    return parse_policy(read_text(root / "gates.yaml"), environment)


def environments(root: Path) -> list[str]:
    """The environments in the order in which a version walks through them."""
    text = read_text(root / "gates.yaml")
    return list(validated(_File, parse_yaml(text, "gates.yaml"), "gates.yaml").environments)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged
