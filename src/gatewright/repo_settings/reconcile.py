"""`mlops github apply`: bring the repository's settings to what .github holds.

First everything is compared and told; only with `--yes` is anything changed. Running it again
changes nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewright.adapters.deploy_key import KEY, make_key
from gatewright.adapters.files import read_text, write_whole
from gatewright.adapters.github import Forbidden, GitHub
from gatewright.adapters.github_answers import (
    Account,
    BranchPattern,
    DeployKey,
    Environment,
    ListedRuleset,
    Made,
    Named,
    PublicKey,
    Team,
)
from gatewright.adapters.signing import TRAININGS, VERSIONS, Role, make_signing_key, signers
from gatewright.errors import Refused, Undecided
from gatewright.gate.policy import NAME as POLICY
from gatewright.gate.policy import PolicyFile
from gatewright.repo_settings import desired

KEY_TITLE = "mlops registry"
TRAINING = "training"  # the environment whose jobs may attest
_ACTIONS = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": True}


@dataclass(frozen=True)
class Step:
    """One thing to change: what is told of it, and how it is done."""

    words: str
    do: Callable[[], str | None]  # what was done instead, if it was not all


@dataclass(frozen=True)
class Result:
    done: tuple[str, ...]
    failed: tuple[str, ...]


def plan(root: Path, github: GitHub) -> list[Step]:
    """What differs from .github, in the order in which it is to be changed."""
    return [
        *_workflow_permissions(github),
        *_rulesets(root, github),
        *_environments(root, github),
        *_key(root, github),
        *_signing(root, github),
        *_training(root, github),
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


def _workflow_permissions(github: GitHub) -> list[Step]:
    path = "actions/permissions/workflow"
    if github.get(path, dict[str, Any]) == _ACTIONS:
        return []
    words = "workflows get a read-only token, and may open the pull request of a promotion"
    return [Step(words, lambda: github.send("PUT", path, _ACTIONS))]


def _rulesets(root: Path, github: GitHub) -> list[Step]:
    try:
        there = {item.name: item.id for item in github.every("rulesets", ListedRuleset)}
    except Forbidden as error:
        return [Step("rulesets", _fail(error))]
    steps = []
    for name, ruleset in desired.rulesets(root).items():
        number = there.get(name)
        if number is None:
            steps.append(Step(f"make ruleset {name}", _send(github, "POST", "rulesets", ruleset)))
        elif not _holds(github.get(f"rulesets/{number}", dict[str, Any]), ruleset):
            send = _send(github, "PUT", f"rulesets/{number}", ruleset)
            steps.append(Step(f"change ruleset {name}", send))
    return steps


def _environments(root: Path, github: GitHub) -> list[Step]:
    steps = []
    for environment in desired.environments(root):
        names, problem = desired.reviewers(root, environment), None
        try:
            reviewers = [_who(github, name) for name in names]
        except Undecided:
            raise
        except Refused as error:
            reviewers, problem = [], str(error)
        there = github.find(f"environments/{environment.name}", Environment)
        by = f", approved by {', '.join(names)}" if reviewers else ""
        words = f"environment {environment.name}: from {', '.join(environment.branches)}{by}"
        if there is None or not _protected(there, environment, reviewers):
            steps.append(Step(words, _put(github, environment, reviewers)))
        if problem:
            steps.append(Step(f"reviewers of {environment.name}", _fail(Refused(problem))))
        steps += _branches(github, environment, there)
    return steps


def _put(
    github: GitHub, environment: desired.Environment, reviewers: list[dict[str, Any]]
) -> Callable[[], str | None]:
    path = f"environments/{environment.name}"
    body = {
        "wait_timer": 0,
        "prevent_self_review": environment.prevent_self_review and bool(reviewers),
        "reviewers": reviewers or None,
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
    }

    def put() -> str | None:
        try:
            github.send("PUT", path, body)
        except Undecided:
            raise
        except Refused as error:
            if not reviewers:
                raise
            github.send("PUT", path, body | {"reviewers": None, "prevent_self_review": False})
            return (
                f"environment {environment.name}, WITHOUT reviewers: {error} Promotions into it "
                "become pull requests to the branch registry"
            )
        return None

    return put


def _branches(
    github: GitHub, environment: desired.Environment, there: Environment | None
) -> list[Step]:
    path = f"environments/{environment.name}/deployment-branch-policies"
    have: list[BranchPattern] = []
    if there and there.chooses_branches:
        have = github.every(path, BranchPattern, "branch_policies")
    names = {item.name for item in have}
    steps = [
        Step(
            f"environment {environment.name}: let jobs from {name} in",
            _send(github, "POST", path, {"name": name, "type": "branch"}),
        )
        for name in environment.branches
        if name not in names
    ]
    return steps + [
        Step(
            f"environment {environment.name}: let no jobs from {item.name} in",
            _send(github, "DELETE", f"{path}/{item.id}"),
        )
        for item in have
        if item.name not in environment.branches
    ]


def _key(root: Path, github: GitHub) -> list[Step]:
    """A deploy key that may write, whose private half is a secret of every environment."""
    names = [environment.name for environment in desired.environments(root)]
    keys = [key for key in github.every("keys", DeployKey) if key.title == KEY_TITLE]
    lacking = [name for name in names if not _has_secret(github, name)]
    if len(keys) == 1 and not lacking:
        return []

    def renew() -> None:
        private, public = make_key(f"{KEY_TITLE} of {github.slug}")
        request = {"title": KEY_TITLE, "key": public, "read_only": False}
        made = github.make("POST", "keys", request, Made)
        for name in names:
            try:
                put_secret(github, name, KEY, private)
            except Refused:
                if name == names[0]:  # nobody holds it, so it is taken back
                    with suppress(Refused):
                        github.send("DELETE", f"keys/{made.id}")
                raise
        for old in keys:
            if old.id != made.id:
                github.send("DELETE", f"keys/{old.id}")

    return [Step(f"a new deploy key, as secret {KEY} of {', '.join(names)}", renew)]


def _signing(root: Path, github: GitHub) -> list[Step]:
    """A key that signs versions: a secret of the first environment, where they are registered."""
    first = desired.environments(root)[0].name
    if signers(root) and _has_secret(github, first, VERSIONS.secret):
        return []
    return [_new_key(root, github, first, VERSIONS, "signs versions")]


def _training(root: Path, github: GitHub) -> list[Step]:
    """Where trainings are attested, an environment that only the default branch's jobs enter."""
    if PolicyFile.parse(read_text(root / POLICY)).reproduce != "attested":
        return []
    first = desired.environments(root)[0]
    environment = desired.Environment(name=TRAINING, branches=first.branches)
    there = github.find(f"environments/{TRAINING}", Environment)
    steps = []
    if there is None or not _protected(there, environment, []):
        words = f"environment {TRAINING}: from {', '.join(environment.branches)}"
        steps.append(Step(words, _put(github, environment, [])))
    steps += _branches(github, environment, there)
    if not (signers(root, TRAININGS) and _has_secret(github, TRAINING, TRAININGS.secret)):
        steps.append(_new_key(root, github, TRAINING, TRAININGS, "attests trainings"))
    return steps


def _new_key(root: Path, github: GitHub, environment: str, role: Role, does: str) -> Step:
    """A key whose private half is a secret, and whose public half is added to the role's file."""

    def renew() -> None:
        private, public = make_signing_key()
        path = root / role.file
        before = read_text(path).rstrip() + "\n\n" if path.exists() else ""
        put_secret(github, environment, role.secret, private)
        write_whole(path, before + public)

    words = f"a new key that {does}, as secret {role.secret} of {environment}; commit {role.file}"
    return Step(words, renew)


def _has_secret(github: GitHub, environment: str, name: str = KEY) -> bool:
    path = f"environments/{environment}/secrets"
    if github.find(f"environments/{environment}", Environment) is None:
        return False
    return any(secret.name == name for secret in github.every(path, Named, "secrets"))


def put_secret(github: GitHub, environment: str, name: str, value: str) -> None:
    """Store a secret of an environment, sealed for GitHub (libsodium's sealed box)."""
    from nacl.encoding import Base64Encoder
    from nacl.public import PublicKey as SealingKey
    from nacl.public import SealedBox

    path = f"environments/{environment}/secrets"
    key = github.get(f"{path}/public-key", PublicKey)
    box = SealedBox(SealingKey(key.key.encode(), Base64Encoder))
    sealed = box.encrypt(value.encode(), Base64Encoder).decode()
    body = {"encrypted_value": sealed, "key_id": key.key_id}
    github.send("PUT", f"{path}/{name}", body)


def _who(github: GitHub, name: str) -> dict[str, Any]:
    """A reviewer as the API names it. An organisation cannot review: name a team of it."""
    login, _, team = name.removeprefix("@").partition("/")
    if team:
        return {"type": "Team", "id": github.get(f"/orgs/{login}/teams/{team}", Team).id}
    user = github.get(f"/users/{login}", Account)
    if user.type != "User":
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


def _send(github: GitHub, method: str, path: str, body: Any = None) -> Callable[[], None]:
    def send() -> None:
        github.send(method, path, body)

    return send


def _fail(error: Refused) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail
