"""The version that is live in an environment: what a candidate is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatewright.adapters.dvc import Storage
from gatewright.adapters.files import text_digest
from gatewright.adapters.git import Git
from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.paths import MODEL, TEST, TRAIN
from gatewright.pipeline.source import Source
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import VersionRecord


@dataclass(frozen=True)
class Champion:
    """The version that is live in the environment, its files verified.

    `golden` are requests of its consumers, recorded when it was registered.
    """

    version: str
    model: Path
    contract: Contract
    train: Path | None = None
    golden: list[dict[str, Any]] = field(default_factory=list)


def read_source(git: Git, record: VersionRecord) -> Source:
    """The texts that a version was made from. Raises Refused if its commit holds others."""
    source = Source.at(git, record.commit)
    made = text_digest(source.contract), text_digest(source.lock)
    if made != (record.contract, record.pipeline):
        raise Refused(f"Commit {record.commit} is not what {record.version} was made from.")
    return source


def fetch_champion(
    git: Git, storage: Storage, record: VersionRecord, environment: str, folder: Path
) -> Champion:
    """A version as one that a candidate is compared with, its files fetched into `folder`."""
    needed = [file for file in record.stored if file.path in (MODEL, TEST, TRAIN)]
    storage.fetch(needed, environment, folder)
    contract = parse_contract(read_source(git, record).contract)
    return Champion(record.version, folder / MODEL, contract, folder / TRAIN, list(record.golden))


def live_champion(
    git: Git, storage: Storage, registry: Registry | None, environment: str, folder: Path
) -> Champion | None:
    """What is live in the environment, its model, training and test set fetched into `folder`."""
    live = registry.live(environment) if registry else None
    if registry is None or live is None:
        return None
    return fetch_champion(git, storage, registry.version(live.version), environment, folder)
