"""Whether the registry holds together, and whether what is live is what was let in."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from gatewright.adapters.github import GitHub
from gatewright.errors import Refused, Undecided
from gatewright.registry.git_registry import Registry
from gatewright.release.approval import why_unapproved
from gatewright.release.settle import unsettled
from gatewright.release.workspace import Workspace
from gatewright.repo_settings.audit.rows import Row


def records(workspace: Workspace) -> Iterator[Row]:
    """Whether each record is as a command wrote it, and the storage has what is live."""
    with workspace.git.alone():
        registry = workspace.registry()
        broken = yield from _events(registry)
        for number in sorted(registry.foreign_tags):
            remove = f"`git push origin :refs/tags/v{number}` removes it"
            words = f"is no version's, and the number {number} is passed by; {remove}"
            yield Row("note", f"tag v{number}", words)
        whole = 0
        for version in registry.versions:
            if f"versions/{version}.yaml" in broken:
                continue
            try:
                registry.version(version)
                whole += 1
            except Refused as error:
                yield Row("bad", f"version {version}", str(error))
        if whole:
            yield Row("good", "registry", f"{whole} versions are as they were registered")
        for name in workspace.project.environments:
            if f"environments/{name}.yaml" not in broken:
                yield from _live(workspace, registry, name)


def _live(workspace: Workspace, registry: Registry, environment: str) -> Iterator[Row]:
    """Whether the storage of an environment has what is live there, byte for byte."""
    subject = f"live in {environment}"
    try:
        if (live := registry.live(environment)) is None:
            return
        record = registry.version(live.version)
        if live.model != record.model:
            words = f"its record names another model than that of {live.version}"
            yield Row("bad", subject, words)
        workspace.storage.verify(record.stored, environment)
        yield Row("good", subject, f"{live.version}: {len(record.files)} files are whole")
    except Undecided:
        raise
    except Refused as error:
        yield Row("bad", subject, str(error))


def _events(registry: Registry) -> Generator[Row, None, set[str]]:
    """The events that no command wrote; the files that are still as one of them left them."""
    judged = registry.judged()
    now = {each.event.path: each for each in judged}
    broken = {path for path, each in now.items() if each.state == "passed over"}
    for each in judged:
        path, commit = each.event.path, each.event.commit[:12]
        if each.state != "passed over":
            continue
        if path not in broken:
            words = f"{path} was mended; commit {commit} is passed over: {each.why}"
            yield Row("note", "registry", words)
        elif each is now[path]:
            yield Row("bad", "registry", registry.complaint(each))
    return broken


def approved(workspace: Workspace, github: GitHub) -> Iterator[Row]:
    """Whether GitHub remembers that somebody approved what is live."""
    registry = Registry(workspace.root).fetch()
    for name in workspace.project.environments:
        live = registry.live(name)
        if live is None or not workspace.project.policy(name).approval:
            continue
        why = why_unapproved(github, registry, name)
        words = f"{live.version} was approved by {live.approved_by}, as GitHub remembers"
        yield Row("bad" if why else "good", f"live in {name}", why or words)
    for name in unsettled(workspace):
        words = "was let in and not tried yet: `gh workflow run settle.yml` does it now"
        yield Row("bad", f"live in {name}", words)
