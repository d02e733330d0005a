"""What GitHub itself enforces: rules of branches and tags, environments, secrets, workflows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gatewright.adapters.deploy_key import APP_KEY, KEY
from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import (
    Environment,
    ListedRuleset,
    Named,
    Rule,
    Ruleset,
    Workflow,
    WorkflowPermissions,
)
from gatewright.project import Project
from gatewright.registry.git_registry import BRANCH
from gatewright.release.approval import PROPOSALS
from gatewright.repo_settings import desired
from gatewright.repo_settings.audit.rows import Row, row
from gatewright.repo_settings.environments import is_guarded
from gatewright.repo_settings.keys import (
    SECRETS,
    app_id,
    deploy_keys,
    exposed,
    no_deploy_keys,
    secrets_of,
)
from gatewright.repo_settings.owners import not_asked
from gatewright.repo_settings.reconcile import needs_proposals

CHECKS = ("ci", "model-gate", "security")


def default_branch(github: GitHub, branch: str) -> Iterator[Row]:
    rules = _rules(github, branch)
    checks = {
        check["context"]
        for rule in rules.get("required_status_checks", ())
        for check in rule.parameters["required_status_checks"]
    }
    yield row(set(CHECKS) <= checks, branch, f"requires the checks {', '.join(CHECKS)}")
    reviews = [
        rule.parameters
        for rule in rules.get("pull_request", ())
        if rule.parameters["required_approving_review_count"] > 0
    ]
    yield row(bool(reviews), branch, "is changed by reviewed pull requests only")
    owned = any(rule["require_code_owner_review"] for rule in reviews)
    yield row(owned, branch, "asks the owners of what changes (CODEOWNERS)")
    whole = any("rebase" not in rule.get("allowed_merge_methods", ["rebase"]) for rule in reviews)
    words = "takes a pull request whole: no rebase lets its data in apart from its code"
    yield row(whole, branch, words)
    kept = {"deletion", "non_fast_forward"} <= set(rules)
    yield row(kept, branch, "cannot be deleted or rewritten")


def registry(github: GitHub) -> Iterator[Row]:
    for branch in (BRANCH, "dvc-storage"):
        rules = _rules(github, branch)
        kept = {"deletion", "non_fast_forward"} <= set(rules)
        yield row(kept, branch, "cannot be deleted or rewritten")
        if branch == BRANCH:
            closed = bool({"pull_request", "update"} & set(rules))
            yield row(closed, branch, "is closed to pushes by hand")
    closed = {"creation", "update"} <= set(_rules(github, f"{PROPOSALS}{BRANCH}"))
    yield row(closed, "proposals", "are written by the registry's key only")


def rulesets(github: GitHub) -> Iterator[Row]:
    """Tags, which have no list of rules of their own, and who may pass rules by."""
    guarded: set[str] = set()
    for listed in github.every("rulesets", ListedRuleset):
        ruleset = github.get(f"rulesets/{listed.id}", Ruleset)
        if ruleset.enforcement != "active":
            continue
        if ruleset.target == "tag" and {"refs/tags/v*", "~ALL"} & set(ruleset.includes):
            guarded |= {rule.type for rule in ruleset.rules}
        if ruleset.bypass_actors is None:
            words = "who may pass it by cannot be seen with this token"
            yield Row("note", f"ruleset {ruleset.name}", words)
        for actor in ruleset.bypass_actors or ():
            who = actor.actor_type + (f" {actor.actor_id}" if actor.actor_id else "")
            words = f"{who} may pass it by ({actor.bypass_mode})"
            yield Row("note", f"ruleset {ruleset.name}", words)
    yield row({"update", "deletion"} <= guarded, "tags v*", "cannot be moved or deleted")
    yield row("creation" in guarded, "tags v*", "are made by the registry's key only")


def environments(root: Path, project: Project, github: GitHub) -> Iterator[Row]:
    for environment in desired.environments(root):
        name, subject = environment.name, f"environment {environment.name}"
        there = github.find(f"environments/{name}", Environment)
        if there is None:
            yield Row("bad", subject, "is not there, so it protects nothing")
            continue
        guards = is_guarded(github, environment)
        yield row(guards, subject, "lets in jobs of chosen branches only")
        for secret in exposed(github, environment):
            words = (
                f"{secret} lies where jobs of any branch can read it: `mlops github apply --yes`"
            )
            yield Row("bad", subject, f"{words} takes it out and makes a new one")
        if name not in project.environments or not project.policy(name).approval:
            continue
        rule = there.reviewers
        if rule is None or not rule.reviewers:
            words = "has no required reviewers: promotions become pull requests to registry"
            yield Row("note", subject, words)
            continue
        who = ", ".join(str(r.reviewer.login or r.reviewer.slug) for r in rule.reviewers)
        yield Row("good", subject, f"asks {who} to approve")
        yield row(rule.prevent_self_review, subject, "asks a second person")
        if there.can_admins_bypass:
            yield Row("note", subject, "administrators may pass its rules by")


def secrets(root: Path, github: GitHub) -> Iterator[Row]:
    common = {secret.name for secret in github.every("actions/secrets", Named, "secrets")}
    for name in sorted(common & set(SECRETS)):
        words = f"{name} is a secret of the repository: every job holds it; make it one of "
        yield Row("bad", "secrets", words + "the environments with `mlops github apply --yes`")
    for name in sorted(common - {*SECRETS, "STORAGE_KEY"}):
        yield Row("note", "secrets", f"{name} is a secret of the repository: every job holds it")
    app = app_id(github)
    key = APP_KEY if app else KEY
    if not app and not deploy_keys(github):
        yield Row("bad", "deploy key", f"there is none. {no_deploy_keys(github)}")
        return
    places = desired.environments(root)
    lacking = [place.name for place in places if key not in secrets_of(github, place.name)]
    if lacking:
        words = f"{', '.join(lacking)} hold no {key}, so nothing can be promoted there once "
        mend = "store the App's key there" if app else "`mlops github apply --yes`"
        yield Row("bad", "secrets", f"{words}the registry is closed: {mend}")
    else:
        yield Row("good", "secrets", f"every environment holds its {key}")


def token(root: Path, github: GitHub) -> Iterator[Row]:
    there = github.get("actions/permissions/workflow", WorkflowPermissions)
    read = there.default_workflow_permissions == "read"
    yield row(read, "workflow token", "may only read unless a job asks for more")
    opens, needed = there.can_approve_pull_request_reviews, needs_proposals(root, github)
    if needed:
        yield row(opens, "workflow token", "may open the pull request of a promotion")
    elif opens:
        words = "may open and approve pull requests, and no promotion needs it: "
        yield Row("bad", "workflow token", f"{words}`mlops github apply --yes`")


def owners(root: Path, github: GitHub) -> Iterator[Row]:
    """Who is named in CODEOWNERS and asked for no review, of which GitHub tells only a part."""
    told = not_asked(root, github)
    for words in told:
        yield Row("bad", "owners", words)
    if not told:
        yield Row("good", "owners", "GitHub finds every owner that CODEOWNERS names")


def workflows(root: Path, github: GitHub) -> Iterator[Row]:
    """Whether GitHub runs them: it stops the weekly ones where nobody commits for 60 days.

    https://docs.github.com/en/rest/actions/workflows#list-repository-workflows
    """
    listed = github.every("actions/workflows", Workflow, "workflows")
    states = {workflow.path: workflow.state for workflow in listed}
    paths = sorted((root / ".github/workflows").glob("*.yml"))
    stopped = 0
    for path in paths:
        state = states.get(f".github/workflows/{path.name}")
        if state == "active":
            continue
        stopped += 1
        if state is None:
            words = f"GitHub does not know {path.name}: push it to the default branch"
        else:
            words = f"{path.name} does not run ({state}): `gh workflow enable {path.name}`"
        yield Row("bad", "workflows", words)
    if not stopped:
        yield Row("good", "workflows", f"{len(paths)} workflows run")


def _rules(github: GitHub, branch: str) -> dict[str, list[Rule]]:
    """The rules in force for a branch, by type, wherever they come from."""
    rules: dict[str, list[Rule]] = {}
    for rule in github.every(f"rules/branches/{branch}", Rule):
        rules.setdefault(rule.type, []).append(rule)
    return rules
