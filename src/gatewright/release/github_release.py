"""What GitHub shows of a release: a pull request, a Release, a deployment record.

Each is looked for before it is made, so that running the command again completes what a failure
left and makes nothing twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gatewright.adapters.git import Git
from gatewright.adapters.github import Forbidden, GitHub, Missing
from gatewright.adapters.github_answers import (
    Deployment,
    DeploymentStatus,
    Made,
    Page,
    Pull,
    Release,
)
from gatewright.adapters.markdown import cell
from gatewright.adapters.strict_yaml import to_yaml
from gatewright.errors import Refused
from gatewright.registry.git_registry import BRANCH, Registry
from gatewright.registry.records import EnvironmentRecord, VersionRecord
from gatewright.release.alarm import open_issue

CARD = "reports/model-card.md"
LONGEST = 120_000  # characters; GitHub takes 125,000 in a release


def propose(github: GitHub, branch: str, title: str, body: str, base: str = BRANCH) -> str:
    """Open the pull request of a branch, or renew it; its address. `base`: else the registry."""
    head = f"{github.owner}:{branch}"
    opened = github.every("pulls", Pull, state="open", head=head, base=base)
    if opened:
        path = f"pulls/{opened[0].number}"
        return github.make("PATCH", path, {"title": title, "body": body}, Page).html_url
    request = {"title": title, "body": body, "head": branch, "base": base}
    return github.make("POST", "pulls", request, Page).html_url


def publish(root: Path, environment: str, last: str) -> str:
    """Show on GitHub what is live in an environment; `last` is where a release ends.

    Creates or updates the Release of the version and its deployment record. Returns one sentence.
    """
    github = GitHub.of(root)
    if github is None:
        raise Refused("origin is no GitHub repository, so there is nothing to publish to.")
    registry = Registry(root).fetch()
    live = registry.live(environment)
    if live is None:
        raise Refused(f"Nothing is live in {environment}, so there is nothing to publish.")
    record = registry.version(live.version)
    address = _release(github, Git(root), registry, record, final=environment == last)
    _deploy(github, live)
    told = f" {_tell_of_rollback(github, live)}" if live.action == "roll back" else ""
    return f"{live.version} in {environment} is published: {address}{told}"


def is_shown(github: GitHub, live: EnvironmentRecord) -> bool:
    """Whether GitHub shows by a deployment that this is live."""
    query = {"environment": live.environment, "ref": f"v{live.version}"}
    for made in github.every("deployments", Deployment, **query):
        if _since(made) == live.since:
            statuses = github.every(f"deployments/{made.id}/statuses", DeploymentStatus)
            return any(status.state == "success" for status in statuses)
    return False


def _tell_of_rollback(github: GitHub, live: EnvironmentRecord) -> str:
    """An issue: nobody was asked, so everybody is told."""
    title = f"{live.environment} went back to {live.version} on {live.since[:16]}"
    body = (
        f"It was on {live.previous}. By {cell(live.by)}: {cell(live.reason or 'no reason given')}."
        f"\n\nRun: {live.run or 'none'}. Close this once it is known what happened; "
        "`docs/runbook.md` says what to write down."
    )
    try:
        return f"Told in {open_issue(github, title, body)}."
    except (Missing, Forbidden) as error:
        return f"No issue tells of it: {error}"


def _release(
    github: GitHub, git: Git, registry: Registry, record: VersionRecord, final: bool
) -> str:
    tag = f"v{record.version}"
    card = git.blobs([f"{record.commit}:{CARD}"])[0] or "This commit holds no model card."
    shown = {
        "tag_name": tag,
        "name": record.version,
        "body": _body(registry, record, card)[:LONGEST],
        "draft": False,
    }
    found = github.find(f"releases/tags/{tag}", Release)
    if found is None:
        shown["prerelease"] = not final
        return github.make("POST", "releases", shown, Page).html_url
    if final:
        shown["prerelease"] = False
    return github.make("PATCH", f"releases/{found.id}", shown, Page).html_url


def _body(registry: Registry, record: VersionRecord, card: str) -> str:
    """The model card, what the gate said, where it is live, and the digests."""
    events = [
        event
        for event in registry.history()
        if isinstance(event, EnvironmentRecord) and event.version == record.version
    ]
    way = "\n".join(f"- {e.since}: {e.action}, {e.environment}{_by(e)}" for e in events)
    files = "\n".join(f"{f.sha256}  {f.path}" for f in record.stored)
    verdicts = to_yaml({e.environment: e.evidence for e in events})
    return (
        f"{'; '.join(record.because)}\n\n## Its way\n\n{way}\n\n"
        f"## Verdicts\n\n```yaml\n{verdicts}```\n\n"
        f"## Digests (sha256)\n\n```text\n{files}\n```\n\n{card}"
    )


def _by(event: EnvironmentRecord) -> str:
    if event.action == "roll back":
        return ""
    return f", approved by {event.approved_by or 'nobody'}"


def _deploy(github: GitHub, live: EnvironmentRecord) -> None:
    """A deployment record that names the version's tag, marked as the live one."""
    ref, task = f"v{live.version}", "deploy"
    query = {"environment": live.environment, "ref": ref, "task": task}
    listed = github.every("deployments", Deployment, **query)
    same = [d for d in listed if _since(d) == live.since]
    if same:
        number = same[0].id
        statuses = github.every(f"deployments/{number}/statuses", DeploymentStatus)
        if any(status.state == "success" for status in statuses):
            return
    else:
        request: dict[str, Any] = {
            **query,
            "auto_merge": False,
            "required_contexts": [],
            "payload": {"since": live.since, "version": live.version},
            "description": f"{live.action}: {live.version}{_by(live)}",
        }
        number = github.make("POST", "deployments", request, Made).id
    status: dict[str, Any] = {"state": "success", "environment": live.environment}
    if live.run:
        status["log_url"] = live.run
    github.send("POST", f"deployments/{number}/statuses", status)


def _since(deployment: Deployment) -> str | None:
    payload = deployment.payload
    return payload.get("since") if isinstance(payload, dict) else None
