"""Which version is meant: what is live in an environment, or one that is named."""

from __future__ import annotations

from gatewright.errors import Misuse, Refused
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import EnvironmentRecord, VersionRecord


def chosen(
    registry: Registry, environment: str, version: str | None
) -> tuple[VersionRecord, EnvironmentRecord | None]:
    """The version's record, its signature verified, and since when it is live there, if it is.

    Raises Refused if nothing is live and none is named, and Misuse for one that there is not.
    """
    live = registry.live(environment)
    if version is None:
        if live is None:
            raise Refused(
                f"Nothing is live in {environment}, so nothing can answer. Promote a version: "
                f"`mlops promote VERSION --to {environment}`."
            )
        version = live.version
    if version not in registry.versions:
        raise Misuse(f"There is no version {version}. See `mlops history`.")
    return registry.version(version), live if live and live.version == version else None
