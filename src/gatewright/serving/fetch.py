"""A version out of an environment's storage, as a bundle."""

from __future__ import annotations

import tempfile
from math import inf
from pathlib import Path

from gatewright.adapters.files import read_text, write_whole
from gatewright.contract.schema import Column, Contract, parse_contract
from gatewright.errors import Refused
from gatewright.paths import PLAN as STORED_PLAN
from gatewright.registry.champion import read_source
from gatewright.registry.records import EnvironmentRecord, VersionRecord
from gatewright.release.workspace import Workspace
from gatewright.serving.bundle import ABOUT, CARD, PLAN, About, Input, about_text, read_bundle
from gatewright.serving.choose import chosen

MODEL_CARD = "reports/model-card.md"


def fetch_bundle(workspace: Workspace, environment: str, version: str | None, out: Path) -> About:
    """What is live in an environment, or a version of its storage, as a bundle in the folder `out`.

    Its signature is verified with the registry, its files by their digests, and its golden answers
    by asking it. Nothing is written before all of that holds.
    """
    workspace.project.known(environment)
    with workspace.git.alone():
        registry = workspace.registry()
        record, at = chosen(registry, environment, version)
        contract = parse_contract(read_source(workspace.git, record).contract)
        found = [file for file in record.stored if file.path == STORED_PLAN]
        if not found:
            raise Refused(_no_plan(record))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            workspace.storage.fetch(found, environment, folder)
            plan = read_text(folder / STORED_PLAN)
        card = workspace.git.blobs([f"{record.commit}:{MODEL_CARD}"])[0] or ""
    about = _about(record, contract, environment, at, found[0].sha256 or "")
    with tempfile.TemporaryDirectory() as name:
        for folder in (Path(name), out):  # verified in one that nobody uses yet
            write_whole(folder / PLAN, plan)
            write_whole(folder / CARD, card)
            write_whole(folder / ABOUT, about_text(about))  # the last: it names the others
            read_bundle(folder)
    return about


def _no_plan(record: VersionRecord) -> str:
    why = (record.forms or {}).get("api", {}).get("refused")
    if why:
        return (
            f"{record.version} has no form that a server can ask: {why}. `mlops score` answers "
            "with the model itself."
        )
    return (
        f"{record.version} was registered without a form that a server can ask. Write `serve: "
        "[api]` into contract.yaml, and register a version."
    )


def _about(
    record: VersionRecord,
    contract: Contract,
    environment: str,
    live: EnvironmentRecord | None,
    plan: str,
) -> About:
    decision = contract.decision
    return About(
        project=contract.name,
        description=contract.description,
        version=record.version,
        environment=environment,
        since=live.since if live else record.created,
        approved_by=live.approved_by if live else None,
        model=record.model,
        commit=record.commit,
        plan=plan,
        key=contract.key,
        inputs=tuple(
            _input(name, column)
            for name, column in contract.columns.items()
            if not column.personal and not column.afterwards
        ),
        personal=tuple(n for n, column in contract.columns.items() if column.personal),
        task=contract.target.type,
        target=contract.target.description,
        answer=contract.prediction.name,
        answer_words=contract.prediction.description,
        classes=contract.classes,
        actions=tuple(decision.actions[value] for value in contract.classes) if decision else (),
        unit=decision.unit if decision else None,
        golden=tuple(record.golden),
    )


def _input(name: str, column: Column) -> Input:
    return Input(
        name=name,
        type=column.type,
        description=column.description,
        unit=column.unit,
        nullable=column.nullable,
        min=None if column.min == -inf else column.min,
        max=None if column.max == inf else column.max,
        values=column.values,
        feature=column.feature,
    )
