"""Who approved a promotion, as GitHub itself remembers it.

A record names the run, or the pull request, by which its version went live. What it says of
itself is not believed: the run's approvals and the merge are looked up, now and again before the
next promotion, so that a record which somebody slipped in by hand is found.
"""

from __future__ import annotations

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Approval, Pull, Repository, Run
from gatewright.registry.git_registry import BRANCH, Registry
from gatewright.registry.records import EnvironmentRecord
from gatewright.release.rules import BY_PULL_REQUEST

PROMOTIONS = ("promote.yml", "release.yml")  # the workflows that promote
ROLLBACKS = ("rollback.yml", "settle.yml", *PROMOTIONS)  # the last three after a failed smoke check
Events = list[tuple[str, EnvironmentRecord]]


def approver(github: GitHub, run: str, environment: str) -> str | None:
    """Who approved this run for the environment, or None where nobody was asked.

    https://docs.github.com/en/rest/actions/workflow-runs#get-the-review-history-for-a-workflow-run
    """
    for approval in github.get(f"actions/runs/{run}/approvals", list[Approval]):
        names = {place.name for place in approval.environments}
        if approval.state == "approved" and environment in names:
            return approval.user.login
    return None


def merger(github: GitHub, commit: str, asker: str) -> str | None:
    """Who merged the pull request that brought this commit into the registry.

    None if there is none, or if the same person asked for the promotion.
    """
    for listed in github.every(f"commits/{commit}/pulls", Pull):
        pull = github.get(f"pulls/{listed.number}", Pull)
        if pull.merged and pull.base.ref == BRANCH:
            who = pull.merged_by.login if pull.merged_by else ""
            return who if who and who != asker else None
    return None


def why_unapproved(github: GitHub, registry: Registry, environment: str) -> str | None:
    """Why what is live in the environment is not known to have been approved; None if it is.

    After a rollback, the promotion that first let its version in is looked up as well.
    """
    events = registry.events(environment)
    if not events:
        return None
    commit, live = events[-1]
    if live.action == "promote":
        return _why_not_promoted(github, events, commit, live)
    return _why_not_run(github, events, live, ROLLBACKS) or _why_no_way_back(github, events, live)


def _why_no_way_back(github: GitHub, events: Events, live: EnvironmentRecord) -> str | None:
    for commit, event in reversed(events):
        if (event.version, event.action) == (live.version, "promote"):
            why = _why_not_promoted(github, events, commit, event)
            return why and f"of the promotion that it goes back to: {why}"
    return "it was never promoted there, so there is no way back to it"


def _why_not_promoted(
    github: GitHub, events: Events, commit: str, event: EnvironmentRecord
) -> str | None:
    if why := _why_not_run(github, events, event, PROMOTIONS):
        return why
    if event.approved_by == BY_PULL_REQUEST:
        if merger(github, commit, event.by) is None:
            return "no pull request that somebody else merged brought its record here"
        return None
    number = _number(github, event)
    who = approver(github, number, event.environment)
    if who is None:
        return f"nobody approved its run {number} for {event.environment}"
    if who != event.approved_by:
        return f"its run {number} was approved by {who}, and its record says {event.approved_by}"
    return None


def _why_not_run(
    github: GitHub, events: Events, event: EnvironmentRecord, workflows: tuple[str, ...]
) -> str | None:
    """Whether a run of this repository, of such a workflow, made this record and no other."""
    if not (number := _number(github, event)):
        return "its record names no run of this repository"
    if (run := github.find(f"actions/runs/{number}", Run)) is None:
        return f"its record names the run {number}, which GitHub does not know"
    workflow = run.path.partition("@")[0].removeprefix(".github/workflows/")
    if workflow not in workflows:
        return f"its run {number} is one of {workflow}, which does not {event.action}"
    default = github.get("", Repository).default_branch
    if workflow != "settle.yml" and run.head_branch != default:
        return f"its run {number} is of the branch {run.head_branch}, whose code nobody reviewed"
    made = [e for _, e in events if (e.run, e.action) == (event.run, event.action)]
    if len(made) > 1:
        return f"its run {number} stands in {len(made)} records, and was let in for one"
    return None


def _number(github: GitHub, event: EnvironmentRecord) -> str:
    """The number of the run that a record names, empty if it is none of this repository."""
    prefix = f"{github.page}/actions/runs/"
    run = event.run or ""
    number = run.removeprefix(prefix)
    return number if run.startswith(prefix) and number.isdecimal() else ""
