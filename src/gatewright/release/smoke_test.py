"""Golden rows: requests whose answers were recorded when a version was registered.

What is live in an environment must still give these answers; else something between the
registry and the answer is not what it was.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.adapters.model_file import allowed_types, load_model
from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.predictions import answer, read_rows, request_rows
from gatewright.paths import MODEL, TEST
from gatewright.registry.champion import read_source
from gatewright.registry.records import VersionRecord
from gatewright.release.rollback import roll_back
from gatewright.release.workspace import Workspace

ROWS = 10
TOLERANCE = 1e-6  # processors differ in the last bits of a sum


def smoke(workspace: Workspace, environment: str, roll_back_if_not: bool) -> str:
    """Try what is live on its golden rows; if it fails, go back where that was asked for.

    What was found, in one sentence. Raises Refused if it fails, whether it went back or not.
    """
    workspace.project.known(environment)
    with workspace.git.alone():
        registry = workspace.registry()
        live = registry.live(environment)
        if live is None:
            raise Refused(f"Nothing is live in {environment}, so nothing can be tried.")
        try:
            return _smoke(workspace, registry.version(live.version), environment)
        except Refused as error:
            why = str(error)
    failed = f"{live.version} in {environment} fails its smoke check: {why}."
    if not roll_back_if_not:
        raise Refused(f"{failed} Go back with `mlops rollback {environment}`.")
    try:
        reason = f"smoke check: {why}"[:300]
        back = roll_back(workspace, environment, None, reason, leave=live.version)
    except Refused as no_way:
        raise Refused(f"{failed} AND THE ROLLBACK FAILED: {no_way}") from None
    raise Refused(f"{failed} Rolled back: {back.message}")


def _smoke(workspace: Workspace, record: VersionRecord, environment: str) -> str:
    contract = parse_contract(read_source(workspace.git, record).contract)
    types = allowed_types(workspace.root)
    with tempfile.TemporaryDirectory() as name:
        workspace.storage.fetch(record.stored, environment, Path(name))
        count = check_golden(Path(name), record.golden, contract, types)
    return f"{record.version} in {environment} answers {count} golden rows as registered."


def golden(root: Path, contract: Contract) -> list[dict[str, Any]]:
    """Requests spread over the test set, with the answers of the model in `root`."""
    rows = read_rows(root / TEST, contract)
    rows = rows.iloc[:: max(1, len(rows) // ROWS)].head(ROWS)[contract.features]
    requests = json.loads(rows.to_json(orient="records", date_format="iso"))
    answers = _answers(root / MODEL, requests, contract, allowed_types(root))
    return [{"request": r, **found} for r, found in zip(requests, answers, strict=True)]


def check_golden(
    folder: Path, pairs: list[dict[str, Any]], contract: Contract, allowed: frozenset[str]
) -> int:
    """Score the golden rows with the model in `folder`; how many there were.

    Raises Refused if the model cannot be opened or answers otherwise than it did.
    """
    if not pairs:
        raise Refused("The version's record holds no golden rows, so nothing can be tried.")
    requests = [pair["request"] for pair in pairs]
    answers = _answers(folder / MODEL, requests, contract, allowed)
    for number, (pair, found) in enumerate(zip(pairs, answers, strict=True), 1):
        if not np.allclose(found["answer"], pair["answer"], rtol=TOLERANCE, atol=TOLERANCE):
            raise Refused(
                f"golden row {number} is answered with {found['answer']}, where the version was "
                f"registered with {pair['answer']}"
            )
        if found.get("recommends") != pair.get("recommends"):
            raise Refused(
                f"golden row {number} is recommended {found.get('recommends')}, where the version "
                f"was registered with {pair.get('recommends')}"
            )
    return len(pairs)


def _answers(
    model: Path, requests: list[dict[str, Any]], contract: Contract, allowed: frozenset[str]
) -> list[dict[str, Any]]:
    """For each request the score (or scores, a class each) and the class that is recommended."""
    rows = request_rows(requests, contract)
    answers = answer(load_model(model, allowed), rows, contract, "model")
    pairs = [{"answer": score} for score in answers.scores.round(9).tolist()]
    if contract.classes:
        for pair, label in zip(pairs, answers.labels.tolist(), strict=True):
            pair["recommends"] = contract.classes[label]
    return pairs
