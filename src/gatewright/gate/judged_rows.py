"""On which rows a model is judged, and what was asked of them before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.adapters.dvc import Storage, StoredFile
from gatewright.adapters.files import digest
from gatewright.adapters.git import REMOTE, Git
from gatewright.adapters.tables import read_parquet
from gatewright.errors import Refused
from gatewright.evaluation.holdout import waiting
from gatewright.gate.inputs import GateInputs, load
from gatewright.gate.policy import Policy, settled_by
from gatewright.paths import MODEL, TEST
from gatewright.pipeline.holdout_history import (
    Step,
    asked_of,
    available,
    digest_of_test,
    step_to,
    steps_since,
)
from gatewright.registry.git_registry import REFS, Registry
from gatewright.run_context import current

if TYPE_CHECKING:
    import pandas as pd

PULL_REQUESTS = f"+refs/pull/*/head:{REFS}/{REMOTE}/pull/*"  # of GitHub; elsewhere there is none


@dataclass(frozen=True)
class Place:
    """Where the history of a test set is found.

    Earlier test sets are in the storage of `environment`; the candidate's own files are in `files`,
    and what has to be fetched goes into `folder`.
    """

    git: Git
    storage: Storage
    registry: Registry | None
    environment: str
    files: Path
    folder: Path


def with_judged_rows(
    inputs: GateInputs,
    policy: Policy,
    place: Place,
    commit: str,
    test: str | None,
    until: str | None = None,
) -> GateInputs:
    """The inputs, with the rows that wait and the models that the others were asked of before.

    It is about the test set of `commit`, and a `test` (md5) that is not committed yet. What the
    oldest version was tested on judges, whoever brought it, or what the version was that the policy
    calls settled. `until` is a time (ISO 8601) after which nothing counts as asked.
    """
    git, registry, key = place.git, place.registry, list(inputs.contract.key)
    if registry is None or not registry.versions:
        return inputs
    if current().on_github:
        git.fetch(PULL_REQUESTS)
    first = registry.version(settled_by(policy) or registry.versions[0]).commit
    committed = digest_of_test(git.blobs([f"{commit}:dvc.lock"])[0])
    steps = steps_since(git, first, commit) + step_to(committed, test)
    versions = registry.commits
    if until is not None:
        records = [registry.version(version) for version in registry.versions]
        versions = [made.commit for made in records if made.created <= until]
    asked = asked_of(git, commit, versions, until).without(inputs.lock.outs.get(MODEL))
    return replace(inputs, waiting=load(lambda: _waiting(place, steps, key)), asked=asked)


def _waiting(place: Place, steps: list[Step], key: list[str]) -> pd.DataFrame | None:
    if all(step.data_alone for step in steps):
        return None
    remote, test = place.storage.remote(place.environment), place.files / TEST
    local = {digest(test, "md5"): test} if test.is_file() else {}

    def table(md5: str) -> pd.DataFrame:
        if md5 not in local:
            folder = place.folder / "earlier" / md5
            place.storage.fetch([StoredFile(TEST, None, md5, 0)], place.environment, folder)
            local[md5] = folder / TEST
        return read_parquet(local[md5], columns=key)

    known = available(steps, lambda md5: md5 in local or remote.holds(md5))
    tables = ((table(step.before), table(step.after), step.data_alone) for step in known)
    try:
        return waiting(tables, key)
    except Refused as refusal:
        raise Refused(
            f"Which test rows may judge cannot be told: {refusal} If an earlier test set cannot be "
            "read, and that of a later version is right as it is, name that version in gates.yaml "
            "as `holdout: {settled: VERSION}`."
        ) from None
