"""A newer version comes: runs that wait with an older one for the same approval are cancelled.

A run that waits holds its environment's place in the queue for up to 30 days, and what it holds
would be refused anyway, as soon as the newer one is live.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import PendingDeployment, Run
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import VERSION, order
from gatewright.release.approval import PROMOTIONS
from gatewright.release.workspace import Workspace


def supersede(workspace: Workspace, version: str) -> list[str]:
    """Cancel them; a sentence for each."""
    workspace.project.known(workspace.project.environments[0])
    github = workspace.github
    if github is None:
        return []
    registry = Registry(workspace.root).fetch()
    commits = {registry.version(number).commit: number for number in registry.versions}
    told = []
    for run, older, places in _waiting(github, commits):
        if str(run.id) != workspace.run.run_id and order(older) < order(version):
            github.send("POST", f"actions/runs/{run.id}/cancel")
            told.append(
                f"Run {run.id}, which waited with {older} for {', '.join(places)}, is cancelled: "
                f"{version} comes instead. {github.page}/actions/runs/{run.id}"
            )
    return told


def _waiting(
    github: GitHub, commits: Mapping[str, str]
) -> Iterator[tuple[Run, str, tuple[str, ...]]]:
    """The runs that wait, with the version and the environments that they wait for."""
    for run in github.every("actions/runs", Run, "workflow_runs", status="waiting"):
        if run.workflow not in PROMOTIONS:
            continue
        named = VERSION.search(run.display_title or "") if run.workflow == "promote.yml" else None
        version = named[0] if named else commits.get(run.head_sha or "")
        pending = github.get(f"actions/runs/{run.id}/pending_deployments", list[PendingDeployment])
        if version and pending:
            yield run, version, tuple(each.environment.name for each in pending)
