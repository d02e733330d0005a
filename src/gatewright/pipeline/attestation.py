"""That dvc.lock is what a training gave, signed: for trainings too long or too random to run again.

The workflow `train`, on the default branch, runs every stage of a branch anew and signs what
dvc.lock then says, which is digests of all inputs and outputs. Its key is a secret that no job of
another branch gets, and the public half is read from the branch that judges.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gatewright.adapters.files import text_digest
from gatewright.adapters.git import Git
from gatewright.adapters.signing import TRAININGS, sign, verify
from gatewright.errors import Refused

PLACE = "reports/attestation.json"  # which `mlops deliver` commits
ADVICE = "Let the workflow `train` make it: `mlops explain reproduce` says how."


class Statement(BaseModel):
    """What is signed: sha256 of dvc.lock and uv.lock, the commit that was trained, the run."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    format: Literal[1] = 1
    lock: str
    environment: str | None
    commit: str
    run: str | None


class Attestation(BaseModel):
    """A statement with its signature, as it lies in the branch."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    statement: Statement
    signature: dict[str, str]


def attest(root: Path, trained: Path, commit: str, run: str | None) -> Attestation:
    """Sign what `commit`, the HEAD of the checkout `trained`, says that training gave.

    The key is TRAINING_KEY, and `root` the project that trusts it. Raises Refused where HEAD is
    another commit, and without a trusted key.
    """
    git = Git(trained)
    head = git("rev-parse", "HEAD")
    if head != commit:
        raise Refused(
            f"{trained} is at {head[:12]}, and the training made {commit[:12]}: somebody pushed in "
            "between, so this is not what was trained. Start the workflow again."
        )
    lock, environment = git.blobs([f"{commit}:dvc.lock", f"{commit}:uv.lock"])
    if lock is None:
        raise Refused(f"{commit[:12]} has no dvc.lock, so nothing was trained.")
    statement = Statement(
        lock=text_digest(lock),
        environment=text_digest(environment) if environment else None,
        commit=commit,
        run=run,
    )
    signature = sign(root, statement.model_dump(), TRAININGS)
    if signature is None:
        raise Refused(
            f"There is no {TRAININGS.secret} here that {TRAININGS.file} trusts, so nobody would "
            "believe the attestation. `uv run mlops github apply --yes` makes one; commit the file."
        )
    return Attestation(statement=statement, signature=signature)


def not_attested(root: Path, git: Git, commit: str) -> str | None:
    """Why dvc.lock and uv.lock of `commit` are not what was attested; None if they are.

    Trusted are the keys of the project `root`, whatever the commit holds.
    """
    lock, environment, text = git.blobs(
        [f"{commit}:{path}" for path in ("dvc.lock", "uv.lock", PLACE)]
    )
    if text is None:
        return f"there is no {PLACE}. {ADVICE}"
    try:
        attestation = Attestation.model_validate_json(text)
    except ValidationError:
        return f"{PLACE} is none that `mlops attest` writes. {ADVICE}"
    statement = attestation.statement
    try:
        verify(root, statement.model_dump(), attestation.signature, PLACE, TRAININGS)
    except Refused as refusal:
        return str(refusal)
    if statement.lock != text_digest(lock or ""):
        return f"{PLACE} is of another dvc.lock. {ADVICE}"
    if statement.environment != (text_digest(environment) if environment else None):
        return f"{PLACE} is of another uv.lock, so of another Python environment. {ADVICE}"
    return None
