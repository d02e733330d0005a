"""Environments: who lets jobs in, from which branch, and whether that guards a secret.

https://docs.github.com/en/rest/deployments/environments
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gatewright.adapters.files import read_text
from gatewright.adapters.github import Forbidden, GitHub, Missing
from gatewright.adapters.github_answers import Account, BranchPattern, Environment, Team
from gatewright.errors import Refused, Undecided
from gatewright.gate.policy import NAME as POLICY
from gatewright.gate.policy import PolicyFile
from gatewright.repo_settings import desired
from gatewright.repo_settings.steps import Step, failing, sending

TRAINING = "training"  # the environment whose jobs may attest, and start a branch's checks
_BRANCHES = {
    "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True}
}


def wanted(root: Path) -> list[desired.Environment]:
    """Those of .github; where gates.yaml asks for no approval, nobody is kept from their own."""
    asking = PolicyFile.parse(read_text(root / POLICY)).approval
    return [
        _second_person(environment, environment.name in asking)
        for environment in desired.environments(root)
    ]


def _second_person(environment: desired.Environment, asked: bool) -> desired.Environment:
    second = environment.prevent_self_review and asked
    return environment.model_copy(update={"prevent_self_review": second})


def asking(root: Path) -> list[desired.Environment]:
    """The environments that take nothing unapproved (gates.yaml)."""
    names = PolicyFile.parse(read_text(root / POLICY)).approval
    return [environment for environment in desired.environments(root) if environment.name in names]


def training(root: Path) -> desired.Environment:
    """The environment of jobs that run none of a branch's code, after one was trained."""
    return desired.Environment(name=TRAINING, branches=desired.environments(root)[0].branches)


def is_guarded(github: GitHub, environment: desired.Environment) -> bool:
    """Whether GitHub says now that only jobs of the wanted branches are let in."""
    path = f"environments/{environment.name}"
    there = github.find(path, Environment)
    if there is None or not there.chooses_branches:
        return False
    listed = github.every(f"{path}/deployment-branch-policies", BranchPattern, "branch_policies")
    names = {item.name for item in listed}
    return bool(names) and names <= set(environment.branches)


def environments(root: Path, github: GitHub) -> Iterator[Step]:
    for environment in wanted(root):
        names, problem = desired.reviewers(root, environment), None
        try:
            reviewers = [_who(github, name) for name in names]
        except Undecided:
            raise
        except Refused as error:
            reviewers, problem = [], str(error)
        yield from one(github, environment, reviewers, names)
        if problem:
            yield Step(f"reviewers of {environment.name}", failing(Refused(problem)))


def one(
    github: GitHub,
    environment: desired.Environment,
    reviewers: list[dict[str, Any]],
    names: list[str],
) -> Iterator[Step]:
    """What differs in one environment."""
    there = github.find(f"environments/{environment.name}", Environment)
    by = f", approved by {', '.join(names)}" if reviewers else ""
    words = f"environment {environment.name}: from {', '.join(environment.branches)}{by}"
    if there is None or not _protected(there, environment, reviewers):
        asks = bool(reviewers or (there and there.reviewers))
        yield Step(words, _put(github, environment, reviewers, asks))
    yield from _branches(github, environment, there)


def _put(
    github: GitHub, environment: desired.Environment, reviewers: list[dict[str, Any]], asks: bool
) -> Callable[[], str | None]:
    """`asks` says that reviewers are to be set or taken away: a plan without them refuses both.

    Such a plan refuses the very names of the fields (alchemy-run/alchemy#1373), and has made the
    environment when it answers so (integrations/terraform-provider-github#1311).
    """
    path = f"environments/{environment.name}"
    more = {
        "wait_timer": 0,
        "prevent_self_review": environment.prevent_self_review and bool(reviewers),
        "reviewers": reviewers or None,
    }

    def put() -> str | None:
        if not asks:
            github.send("PUT", path, _BRANCHES)
            return None
        try:
            github.send("PUT", path, more | _BRANCHES)
        except (Undecided, Forbidden, Missing):
            raise
        except Refused as error:
            github.send("PUT", path, _BRANCHES)
            return (
                f"environment {environment.name}, WITHOUT reviewers: {error} Promotions into it "
                "become pull requests to the branch registry"
            )
        return None

    return put


def _branches(
    github: GitHub, environment: desired.Environment, there: Environment | None
) -> Iterator[Step]:
    path = f"environments/{environment.name}/deployment-branch-policies"
    have: list[BranchPattern] = []
    if there and there.chooses_branches:
        have = github.every(path, BranchPattern, "branch_policies")
    names = {item.name for item in have}
    for name in environment.branches:
        if name not in names:
            words = f"environment {environment.name}: let jobs from {name} in"
            yield Step(words, sending(github, "POST", path, {"name": name, "type": "branch"}))
    for item in have:
        if item.name not in environment.branches:
            words = f"environment {environment.name}: let no jobs from {item.name} in"
            yield Step(words, sending(github, "DELETE", f"{path}/{item.id}"))


def _who(github: GitHub, name: str) -> dict[str, Any]:
    """A reviewer as the API names it. An organisation cannot review: name a team of it."""
    login, _, team = name.removeprefix("@").partition("/")
    if team:
        return {"type": "Team", "id": github.get(f"/orgs/{login}/teams/{team}", Team).id}
    user = github.get(f"/users/{login}", Account)
    if not user.is_person:
        raise Refused(
            f"{name} is an organisation and cannot approve a promotion. Name people (@login) or a "
            "team (@org/team) as the owners of /gates.yaml in .github/CODEOWNERS."
        )
    return {"type": "User", "id": user.id}


def _protected(
    there: Environment, environment: desired.Environment, reviewers: list[dict[str, Any]]
) -> bool:
    rule = there.reviewers
    have = sorted((item.type, item.reviewer.id) for item in (rule.reviewers if rule else ()))
    return (
        there.chooses_branches
        and have == sorted((item["type"], item["id"]) for item in reviewers)
        and (rule is not None and rule.prevent_self_review)
        == (environment.prevent_self_review and bool(reviewers))
    )
