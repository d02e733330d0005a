"""Rows in, probabilities out; the same for the gate, the reports and, later, the API."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.artefacts.contract import Contract
from mlops.artefacts.model import Model
from mlops.errors import Refused
from mlops.measure.metrics import Floats


def read_rows(path: Path, contract: Contract) -> pd.DataFrame:
    """Labelled rows with at least the contract's features and target."""
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise Refused(f"{path} is no readable Parquet file ({error}). Run `mlops run`.") from None
    needed = [*contract.features, contract.target.name]
    if absent := [name for name in needed if name not in rows]:
        raise Refused(f"{path} lacks the columns {', '.join(absent)} of contract.yaml.")
    if rows[contract.target.name].isna().any():
        raise Refused(f"{path} has rows without a label; a model cannot be measured on them.")
    return rows


def truth(rows: pd.DataFrame, contract: Contract) -> NDArray[np.bool_]:
    return np.asarray(rows[contract.target.name], dtype=bool)


def probabilities(model: Model, rows: pd.DataFrame, contract: Contract, name: str) -> Floats:
    """The probability of the event for each row, shape (n,), checked against the contract."""
    if absent := [column for column in contract.features if column not in rows]:
        raise Refused(
            f"The {name} needs the columns {', '.join(absent)}, which the test set lacks. Keep "
            "them in contract.yaml with `feature: false` until no live model needs them."
        )
    try:
        scores = np.asarray(model.predict_proba(rows[contract.features]), dtype=float)
    except Exception as error:
        raise Refused(f"The {name} fails on the test rows: {error}") from error
    if scores.shape != (len(rows), 2):
        raise Refused(f"The {name} gives shape {scores.shape}, not one probability a row.")
    event = np.ascontiguousarray(scores[:, 1])
    allowed = contract.prediction
    if wrong := int((~((event >= allowed.min) & (event <= allowed.max))).sum()):
        raise Refused(
            f"{wrong} of {len(event)} predictions of the {name} are no numbers between "
            f"{allowed.min:g} and {allowed.max:g}, so it cannot be measured."
        )
    return event
