"""Who approved a promotion, as GitHub itself remembers it.

A record names the run, or the pull request, by which its version went live. What it says of
itself is not believed: who asked is the run's actor, who approved is a person whom GitHub names,
and both are looked up, now and again before the next promotion, so that a record which somebody
slipped in by hand is found.
"""

from __future__ import annotations

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import (
    App,
    Approval,
    Commit,
    Pull,
    Repository,
    Review,
    Run,
    Variable,
)
from gatewright.registry.git_registry import BRANCH, Registry
from gatewright.registry.records import EnvironmentRecord
from gatewright.release.rules import BY_PULL_REQUEST

ACTIONS = "github-actions[bot]"
APP_ID = "APP_ID"  # the repository's variable that names the GitHub App, where there is one
PROPOSALS = "promotions/"  # the branches from which promotions are proposed
PROMOTIONS = ("promote.yml", "release.yml")  # the workflows that promote
ROLLBACKS = ("rollback.yml", "settle.yml", *PROMOTIONS)  # the last three after a failed smoke check
Events = list[tuple[str, EnvironmentRecord]]


def approver(github: GitHub, run: str, environment: str) -> str | None:
    """The person who approved this run for the environment, and did not start it; None if nobody.

    https://docs.github.com/en/rest/actions/workflow-runs#get-the-review-history-for-a-workflow-run
    """
    asked = None
    for approval in github.get(f"actions/runs/{run}/approvals", list[Approval]):
        names = {place.name for place in approval.environments}
        if approval.state != "approved" or environment not in names or not approval.user.is_person:
            continue
        asked = asked or github.get(f"actions/runs/{run}", Run).started_by
        if approval.user.login not in asked:
            return approval.user.login
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
    why = _why_not_run(github, events, live, ROLLBACKS)
    return (why if isinstance(why, str) else None) or _why_no_way_back(github, events, live)


def _why_no_way_back(github: GitHub, events: Events, live: EnvironmentRecord) -> str | None:
    for commit, event in reversed(events):
        if (event.version, event.action) == (live.version, "promote"):
            why = _why_not_promoted(github, events, commit, event)
            return why and f"of the promotion that it goes back to: {why}"
    return "it was never promoted there, so there is no way back to it"


def _why_not_promoted(
    github: GitHub, events: Events, commit: str, event: EnvironmentRecord
) -> str | None:
    run = _why_not_run(github, events, event, PROMOTIONS)
    if isinstance(run, str):
        return run
    if event.approved_by == BY_PULL_REQUEST:
        return _why_not_proposed(github, commit, event, run)
    number = _number(github, event)
    who = approver(github, number, event.environment)
    if who is None:
        return f"nobody approved its run {number} for {event.environment}"
    if who != event.approved_by:
        return f"its run {number} was approved by {who}, and its record says {event.approved_by}"
    return None


def _why_not_proposed(
    github: GitHub, commit: str, event: EnvironmentRecord, run: Run
) -> str | None:
    """Why no pull request that a person approved brought the record; None if one did."""
    why = "no pull request brought its record here"
    for listed in github.every(f"commits/{commit}/pulls", Pull):
        pull = github.get(f"pulls/{listed.number}", Pull)
        if not pull.merged or pull.base.ref != BRANCH:
            continue
        if not (
            wrong := _why_no_proposal(github, commit, event, pull)
            or _why_no_review(github, run, pull)
        ):
            return None
        why = f"the pull request {pull.number} that brought its record {wrong}"
    return why


def _why_no_proposal(
    github: GitHub, commit: str, event: EnvironmentRecord, pull: Pull
) -> str | None:
    """Why a merged pull request is not one that the commands opened, with what they wrote."""
    home = pull.head.repo and pull.head.repo.full_name
    if (pull.head.ref, home) != (f"{PROPOSALS}{event.environment}", github.slug):
        return f"came from the branch {pull.head.ref}, which the commands do not write"
    if not _is_ours(github, pull.user.login):
        return f"was opened by {pull.user.login}, and not by the workflow that promotes"
    if (pull.commits, pull.changed_files) != (1, 1) or commit not in pull.holds:
        return "holds more than the one record that the commands wrote"
    return None


def _why_no_review(github: GitHub, run: Run, pull: Pull) -> str | None:
    """Why nobody approved what was merged: a person, on its last commit, with no part in it."""
    pushed = github.get(f"commits/{pull.head.sha}", Commit)
    taking_part = run.started_by | {who.login for who in (pushed.author, pushed.committer) if who}
    last = {}
    for review in github.every(f"pulls/{pull.number}/reviews", Review):
        if review.state != "COMMENTED" and review.user:
            last[review.user.login] = review
    for login, review in last.items():
        if (
            review.state == "APPROVED"
            and review.user
            and review.user.is_person
            and review.commit_id == pull.head.sha
            and login not in taking_part
        ):
            return None
    return (
        "was approved by no person, on what was merged, other than who asked for it: "
        f"{', '.join(sorted(taking_part))}"
    )


def _is_ours(github: GitHub, login: str) -> bool:
    """Whether it is the bot of the workflows, or of the App that APP_ID names."""
    if login == ACTIONS:
        return True
    named = (
        github.find(f"actions/variables/{APP_ID}", Variable) if login.endswith("[bot]") else None
    )
    app = named and github.find(f"/apps/{login.removesuffix('[bot]')}", App)
    return bool(named and app and str(app.id) == named.value)


def _why_not_run(
    github: GitHub, events: Events, event: EnvironmentRecord, workflows: tuple[str, ...]
) -> str | Run:
    """The run of this repository that made this record and no other, or why there is none."""
    if not (number := _number(github, event)):
        return "its record names no run of this repository"
    if (run := github.find(f"actions/runs/{number}", Run)) is None:
        return f"its record names the run {number}, which GitHub does not know"
    if run.workflow not in workflows:
        return f"its run {number} is one of {run.workflow}, which does not {event.action}"
    default = github.get("", Repository).default_branch
    if run.head_branch != default:
        return f"its run {number} is of the branch {run.head_branch}, whose code nobody reviewed"
    made = [e for _, e in events if (e.run, e.action) == (event.run, event.action)]
    if len(made) > 1:
        return f"its run {number} stands in {len(made)} records, and was let in for one"
    return run


def _number(github: GitHub, event: EnvironmentRecord) -> str:
    """The number of the run that a record names, empty if it is none of this repository."""
    prefix = f"{github.page}/actions/runs/"
    run = event.run or ""
    number = run.removeprefix(prefix)
    return number if run.startswith(prefix) and number.isdecimal() else ""
