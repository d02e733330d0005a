"""Golden rows: requests whose answers were recorded when a version was registered.

What is live in an environment must still give these answers; else something between the
registry and the answer is not what it was.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.adapters.model_file import load_model
from gatewright.contract.schema import Contract
from gatewright.errors import Refused
from gatewright.evaluation.predictions import answer, read_rows, request_rows
from gatewright.paths import MODEL, TEST

ROWS = 10
TOLERANCE = 1e-6  # processors differ in the last bits of a sum


def golden(root: Path, contract: Contract) -> list[dict[str, Any]]:
    """Requests spread over the test set, with the answers of the model in `root`."""
    rows = read_rows(root / TEST, contract)
    rows = rows.iloc[:: max(1, len(rows) // ROWS)].head(ROWS)[contract.features]
    requests = json.loads(rows.to_json(orient="records", date_format="iso"))
    told = _answers(root, requests, contract)
    return [{"request": request, **said} for request, said in zip(requests, told, strict=True)]


def check_golden(folder: Path, pairs: list[dict[str, Any]], contract: Contract) -> int:
    """Score the golden rows with the model in `folder`; how many there were.

    Raises Refused if the model cannot be opened or answers otherwise than it did.
    """
    if not pairs:
        raise Refused("The version's record holds no golden rows, so nothing can be tried.")
    told = _answers(folder, [pair["request"] for pair in pairs], contract)
    for number, (pair, said) in enumerate(zip(pairs, told, strict=True), 1):
        if not np.allclose(said["answer"], pair["answer"], rtol=TOLERANCE, atol=TOLERANCE):
            raise Refused(
                f"golden row {number} is answered with {said['answer']}, where the version was "
                f"registered with {pair['answer']}"
            )
        if said.get("recommends") != pair.get("recommends"):
            raise Refused(
                f"golden row {number} is recommended {said.get('recommends')}, where the version "
                f"was registered with {pair.get('recommends')}"
            )
    return len(pairs)


def _answers(
    folder: Path, requests: list[dict[str, Any]], contract: Contract
) -> list[dict[str, Any]]:
    """For each request the score (or scores, a class each) and the class that is recommended."""
    rows = request_rows(requests, contract)
    said = answer(load_model(folder / MODEL), rows, contract, "model")
    told = [{"answer": score} for score in said.scores.round(9).tolist()]
    if contract.classes:
        for pair, label in zip(told, said.labels.tolist(), strict=True):
            pair["recommends"] = contract.classes[label]
    return told
