"""Golden rows: requests whose answers were recorded when a version was registered.

What is live in an environment must still give these answers; else something between the
registry and the answer is not what it was.
"""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from mlops.artefacts.contract import Contract
from mlops.artefacts.lock import TEST
from mlops.artefacts.model import MODEL, load_model
from mlops.errors import Refused
from mlops.measure.scoring import probabilities, read_rows

ROWS = 10
TOLERANCE = 1e-6  # processors differ in the last bits of a sum
_KINDS = {"string": "str", "boolean": "bool", "datetime": "datetime64[ms]", "number": float}


def golden(root: Path, contract: Contract) -> list[dict[str, Any]]:
    """Requests spread over the test set, with the answers of the model in `root`."""
    rows = read_rows(root / TEST, contract)
    rows = rows.iloc[:: max(1, len(rows) // ROWS)].head(ROWS)[contract.features]
    requests = json.loads(rows.to_json(orient="records", date_format="iso"))
    answers = probabilities(
        load_model(root / MODEL), request_rows(requests, contract), contract, "model"
    )
    pairs = zip(requests, answers, strict=True)
    return [{"request": request, "answer": round(float(answer), 9)} for request, answer in pairs]


def request_rows(requests: list[dict[str, Any]], contract: Contract) -> pd.DataFrame:
    """A table of requests, shape (n, features), typed as the contract says."""
    rows = pd.DataFrame(requests, columns=contract.features)
    kinds = {}
    for name in contract.features:
        column = contract.columns[name]
        integer = "Int64" if column.nullable else "int64"
        kinds[name] = _KINDS.get(column.type, integer)
    return rows.astype(kinds)


def check_golden(folder: Path, pairs: list[dict[str, Any]], contract: Contract) -> int:
    """Score the golden rows with the model in `folder`; how many there were.

    Raises Refused if the model cannot be opened or answers otherwise than it did.
    """
    if not pairs:
        raise Refused("The version's record holds no golden rows, so nothing can be tried.")
    rows = request_rows([pair["request"] for pair in pairs], contract)
    answers = probabilities(load_model(folder / MODEL), rows, contract, "model")
    for number, (pair, answer) in enumerate(zip(pairs, answers, strict=True), 1):
        if not math.isclose(answer, pair["answer"], abs_tol=TOLERANCE):
            raise Refused(
                f"golden row {number} is answered with {answer:.6f}, where the version was "
                f"registered with {pair['answer']:.6f}"
            )
    return len(pairs)
