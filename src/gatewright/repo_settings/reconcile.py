"""`mlops github apply`: bring the repository's settings to what .github holds.

First everything is compared and told; only with `--yes` is anything changed. Running it again
changes nothing more. What a plan or an organisation does not allow is told, and the rest still
done; nothing is closed before the key that opens it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewright.adapters.github import Forbidden, GitHub, Missing
from gatewright.adapters.github_answers import (
    Environment,
    ListedRuleset,
    Repository,
    Variable,
    WorkflowPermissions,
)
from gatewright.errors import Refused, Undecided
from gatewright.registry.git_registry import Registry
from gatewright.release.approval import why_unapproved
from gatewright.repo_settings import desired, keys
from gatewright.repo_settings.environments import asking, environments
from gatewright.repo_settings.owners import not_asked
from gatewright.repo_settings.steps import Step, failing, sending

APPLIED = "MLOPS_APPLIED"  # the variable without which nothing is released
PROPOSALS = "MLOPS_PROPOSALS"  # "true" where promotions become pull requests, which are settled
_RIGHTS = "actions/permissions/workflow"


@dataclass(frozen=True)
class Result:
    done: tuple[str, ...]
    failed: tuple[str, ...]


def plan(root: Path, github: GitHub) -> list[Step]:
    """What differs from .github, in the order in which it is to be changed."""
    return [
        *_token(github),
        *environments(root, github),
        *keys.take_out(root, github),
        *keys.registry_key(root, github),
        *keys.signing(root, github),
        *keys.attesting(root, github),
        *_owners(root, github),
        *_rulesets(root, github),
        *_proposals(root, github),
        *_variable(github, APPLIED, "true", "releases begin: what is merged from now on is one"),
    ]


def apply(steps: list[Step]) -> Result:
    """Do each step. What the repository's plan does not have is told, and the rest still done."""
    done, failed = [], []
    for step in steps:
        try:
            done.append(step.do() or step.words)
        except Undecided:
            raise
        except Refused as error:
            failed.append(f"{step.words}: {error}")
    return Result(tuple(done), tuple(failed))


def _token(github: GitHub) -> Iterator[Step]:
    there = github.get(_RIGHTS, WorkflowPermissions)
    if there.default_workflow_permissions != "read":
        body = {"default_workflow_permissions": "read"}
        words = "workflows get a token that only reads, unless a job asks for more"
        yield Step(words, _told(github, body))


def _told(github: GitHub, body: dict[str, Any]) -> Callable[[], None]:
    """One field at a time: an organisation may hold one of them, and answers 409 for both."""

    def send() -> None:
        try:
            github.send("PUT", _RIGHTS, body)
        except (Undecided, Forbidden):
            raise
        except Refused as error:
            raise Refused(
                f"{error} The organisation holds this setting: an owner allows it at "
                f"https://{github.host}/organizations/{github.owner}/settings/actions, under "
                "Workflow permissions."
            ) from None

    return send


def needs_proposals(root: Path, github: GitHub) -> bool:
    """Whether promotions become pull requests that the jobs' own token opens.

    So it is where nobody can be asked to approve a run, or what is live is in doubt.
    """
    if keys.app_id(github):
        return False
    for environment in asking(root):
        there = github.find(f"environments/{environment.name}", Environment)
        if there is None or there.reviewers is None or not there.reviewers.reviewers:
            return True
    registry = Registry(root).fetch()
    return any(why_unapproved(github, registry, each.name) for each in asking(root))


def _proposals(root: Path, github: GitHub) -> Iterator[Step]:
    """Whether Actions may open pull requests, and with it approve them: only where it is needed.

    Asked when it is done: before, it is not known which reviewers the plan has.
    """
    there = github.get(_RIGHTS, WorkflowPermissions).can_approve_pull_request_reviews
    named = github.find(f"actions/variables/{PROPOSALS}", Variable)
    now = bool(named and named.value == "true")
    if needs_proposals(root, github) == there == now and named:
        return

    def settle() -> str:
        needed = needs_proposals(root, github)
        _set_variable(github, PROPOSALS, str(needed).lower())
        if github.get(_RIGHTS, WorkflowPermissions).can_approve_pull_request_reviews != needed:
            _told(github, {"can_approve_pull_request_reviews": needed})()
        if not needed:
            return "workflows may open no pull requests: no promotion needs one"
        return "workflows may open the pull request of a promotion; a bot's review never counts"

    yield Step("workflows open pull requests where promotions need them, and else not", settle)


def _owners(root: Path, github: GitHub) -> Iterator[Step]:
    """Rulesets ask the owners, so it is told whom GitHub would not ask; the files are not ours."""
    try:
        told = not_asked(root, github)
    except Missing:  # nothing was pushed yet
        return
    for words in told:
        mend = Refused(f"Correct {desired.OWNERS} and merge it.")
        yield Step(f"owners: {words}", failing(mend))


def _rulesets(root: Path, github: GitHub) -> Iterator[Step]:
    try:
        there = {item.name: item.id for item in github.every("rulesets", ListedRuleset)}
    except Forbidden as error:
        yield Step("rulesets", failing(error))
        return
    app = keys.app_id(github)
    for name, ruleset in desired.rulesets(root, app).items():
        number = there.get(name)
        if number is None:
            send = sending(github, "POST", "rulesets", ruleset)
            yield Step(f"make ruleset {name}", _once_open(github, ruleset, send))
        elif not _holds(github.get(f"rulesets/{number}", dict[str, Any]), ruleset):
            send = sending(github, "PUT", f"rulesets/{number}", ruleset)
            yield Step(f"change ruleset {name}", _once_open(github, ruleset, send))


def _once_open(
    github: GitHub, ruleset: dict[str, Any], send: Callable[[], None]
) -> Callable[[], None]:
    """Close nothing that only a deploy key opens while there is none."""
    if not any(actor["actor_type"] == "DeployKey" for actor in ruleset["bypass_actors"]):
        return send

    def close() -> None:
        if not keys.deploy_keys(github):
            raise Refused("it would close what only the deploy key opens, and there is none.")
        send()

    return close


def _variable(github: GitHub, name: str, value: str, words: str) -> Iterator[Step]:
    there = github.find(f"actions/variables/{name}", Variable)
    if there is None or there.value != value:
        yield Step(words, lambda: _set_variable(github, name, value))


def _set_variable(github: GitHub, name: str, value: str) -> None:
    there = github.find(f"actions/variables/{name}", Variable)
    if there is None:
        github.send("POST", "actions/variables", {"name": name, "value": value})
    elif there.value != value:
        github.send("PATCH", f"actions/variables/{name}", {"name": name, "value": value})


def organisation(root: Path, github: GitHub) -> list[Step]:
    """The organisation asks for the gate as the default branch has it, whatever a branch holds.

    https://docs.github.com/en/rest/orgs/rules
    """
    repository = github.get("", Repository)
    wanted = desired.required_workflow(root, repository.id, github.name, repository.default_branch)
    path = f"/orgs/{github.owner}/rulesets"
    name = wanted["name"]
    there = {item.name: item.id for item in github.every(path, ListedRuleset)}
    if name not in there:
        return [
            Step(f"make the organisation's ruleset {name}", sending(github, "POST", path, wanted))
        ]
    at = f"{path}/{there[name]}"
    if _holds(github.get(at, dict[str, Any]), wanted):
        return []
    return [Step(f"change the organisation's ruleset {name}", sending(github, "PUT", at, wanted))]


def _holds(actual: Any, target: Any) -> bool:
    """Whether what is there says all that it should; GitHub adds defaults of its own."""
    if isinstance(target, dict):
        return isinstance(actual, dict) and all(_holds(actual.get(k), v) for k, v in target.items())
    if isinstance(target, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(target)
            and all(any(_holds(item, need) for item in actual) for need in target)
        )
    return bool(actual == target)
