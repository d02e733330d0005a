"""The settings that .github holds as code."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import Field

from gatewright.adapters.files import read_text
from gatewright.contract.schema import Strict, validated
from gatewright.errors import Refused

RULESETS = Path(".github/rulesets")
ENVIRONMENTS = Path(".github/environments.json")
OWNERS = Path(".github/CODEOWNERS")


class Environment(Strict):
    """One environment. A reviewer is @login, @org/team, or `owners of PATH` by CODEOWNERS."""

    name: str
    branches: tuple[str, ...] = Field(min_length=1)
    reviewers: tuple[str, ...] = ()
    prevent_self_review: bool = False


def rulesets(root: Path, app: int | None = None) -> dict[str, dict[str, Any]]:
    """Rulesets by name, as GitHub's API takes them.

    Where a GitHub App writes the registry, `app` opens what else the deploy key does.
    """
    found = {}
    for path in sorted((root / RULESETS).glob("*.json")):
        ruleset = _json(path)
        for actor in ruleset["bypass_actors"] if app else ():
            if actor["actor_type"] == "DeployKey":
                actor |= {"actor_type": "Integration", "actor_id": app}
        found[str(ruleset["name"])] = ruleset
    if not found:
        raise Refused(f"{RULESETS} holds no ruleset. Restore it with Git.")
    return found


def required_workflow(root: Path, number: int, repository: str, branch: str) -> dict[str, Any]:
    """The ruleset by which an organisation runs the default branch's gate on every pull request."""
    path = ".github/workflows/model-gate.yml"
    if not (root / path).exists():
        raise Refused(f"{path} is missing. Restore it with Git.")
    workflow = {"path": path, "repository_id": number, "ref": f"refs/heads/{branch}"}
    return {
        "name": f"{repository} model-gate",
        "target": "branch",
        "enforcement": "active",
        "bypass_actors": [],
        "conditions": {
            "ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []},
            "repository_name": {"include": [repository], "exclude": []},
        },
        "rules": [{"type": "workflows", "parameters": {"workflows": [workflow]}}],
    }


def environments(root: Path) -> list[Environment]:
    listed = _json(root / ENVIRONMENTS)
    return [validated(Environment, item, str(ENVIRONMENTS)) for item in listed]


def reviewers(root: Path, environment: Environment) -> list[str]:
    """The reviewers as @login or @org/team, those of a path looked up in CODEOWNERS."""
    names: list[str] = []
    for name in environment.reviewers:
        path = name.removeprefix("owners of ")
        names += owners(read_text(root / OWNERS), path) if path != name else [name]
    return sorted(set(names))


def owners(text: str, path: str) -> list[str]:
    """Who owns a path by CODEOWNERS: the last line that matches counts."""
    found: list[str] = []
    for line in text.splitlines():
        pattern, *names = line.partition("#")[0].split() or [""]
        if pattern and _matches(pattern, path):
            found = names
    return found


def people(root: Path) -> list[str]:
    """The logins that CODEOWNERS names, teams and e-mail addresses left out."""
    lines = [line.partition("#")[0].split()[1:] for line in read_text(root / OWNERS).splitlines()]
    names = {name.removeprefix("@") for line in lines for name in line if name.startswith("@")}
    return sorted(name for name in names if "/" not in name)


def _matches(pattern: str, path: str) -> bool:
    if pattern == "*":
        return True
    pattern = pattern.removeprefix("/")
    if pattern.endswith("/"):
        return path.startswith(pattern) or f"{path}/" == pattern
    glob = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(f"{glob}(/.*)?", path) is not None


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise Refused(f"{path} is no JSON ({error}). Correct it and run again.") from None
