"""Rows in, probabilities out; the same for the gate, the reports and, later, the API."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.artefacts.contract import Contract
from mlops.artefacts.lock import TEST
from mlops.artefacts.model import BASELINE, MODEL, Model, load_model
from mlops.errors import Refused
from mlops.measure.metrics import Floats


def read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise Refused(f"{path} is no readable Parquet file ({error}). Run `mlops run`.") from None


def read_rows(path: Path, contract: Contract) -> pd.DataFrame:
    """Labelled rows with at least the contract's features and target."""
    return labelled(read_table(path), contract, str(path))


def labelled(rows: pd.DataFrame, contract: Contract, name: str) -> pd.DataFrame:
    """The rows, if they have all that the contract needs to measure a model on them."""
    needed = [*contract.features, contract.target.name]
    if absent := [column for column in needed if column not in rows]:
        raise Refused(f"{name} lacks the columns {', '.join(absent)} of contract.yaml.")
    if rows[contract.target.name].isna().any():
        raise Refused(f"{name} has rows without a label; a model cannot be measured on them.")
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
    return _allowed(np.ascontiguousarray(scores[:, 1]), contract, name)


def told_probabilities(
    path: Path, rows: pd.DataFrame, contract: Contract, names: tuple[str, ...]
) -> dict[str, Floats]:
    """Probabilities for the rows, by model, from a table of key and a column a model."""
    key = list(contract.key)
    table = read_table(path)
    if absent := [column for column in (*key, *names) if column not in table]:
        raise Refused(f"The table of predictions lacks the columns {', '.join(absent)}.")
    if table.duplicated(key).any():
        raise Refused("The table of predictions answers for a row more than once.")
    joined = rows[key].merge(table[[*key, *names]], on=key, how="left", validate="one_to_one")
    return {
        name: _allowed(joined[name].to_numpy(dtype=float, na_value=np.nan), contract, name)
        for name in names
    }


def _allowed(event: Floats, contract: Contract, name: str) -> Floats:
    allowed = contract.prediction
    if wrong := int((~((event >= allowed.min) & (event <= allowed.max))).sum()):
        raise Refused(
            f"{wrong} of {len(event)} predictions of the {name} are missing or no numbers between "
            f"{allowed.min:g} and {allowed.max:g}, so it cannot be measured."
        )
    return event


def score(root: Path, contract: Contract) -> pd.DataFrame:
    """The key of each test row with its probability by candidate and baseline."""
    rows = read_rows(root / TEST, contract)
    scores = {
        name: probabilities(load_model(root / path), rows, contract, name)
        for name, path in (("candidate", MODEL), ("baseline", BASELINE))
    }
    return rows[list(contract.key)].assign(**scores)
