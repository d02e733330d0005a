"""A version may not be promoted any more."""

from __future__ import annotations

from gatewright.registry.git_registry import Registry
from gatewright.registry.records import RetirementRecord
from gatewright.release import rules
from gatewright.release.workspace import Kind, Outcome, Workspace


def retire(workspace: Workspace, version: str, reason: str) -> Outcome:
    """Say so in the registry. Raises Refused for a version that is live somewhere."""
    return workspace.settle(lambda: _retire(workspace, version, reason))


def _retire(workspace: Workspace, version: str, reason: str) -> Outcome:
    registry = Registry(workspace.root).fetch()
    registry.version(version)
    retired = registry.retirement(version) is not None
    live = {} if retired else _live(registry, workspace.project.environments)
    match rules.retirement(version, retired, live):
        case rules.No() as no:
            raise rules.refused(no)
        case rules.RetiredBefore():
            return Outcome(Kind.RETIRED_BEFORE, version, f"{version} is retired already.")
        case rules.Retire():
            pass
    record = RetirementRecord(version, reason=reason, **workspace.stamp("since"))
    registry.write(record, f"Retire {version}")
    return Outcome(Kind.RETIRED, version, f"{version} is retired: {reason}")


def _live(registry: Registry, environments: list[str]) -> dict[str, str | None]:
    records = {name: registry.live(name) for name in environments}
    return {name: record.version if record else None for name, record in records.items()}
