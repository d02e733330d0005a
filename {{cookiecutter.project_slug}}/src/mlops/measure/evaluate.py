"""Stage `evaluate`: a row a test row, and the metrics with their intervals.

For people, and for `dvc metrics`. The gate measures again and believes none of it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops.artefacts.contract import read_contract
from mlops.artefacts.files import write_whole
from mlops.artefacts.lock import TEST
from mlops.artefacts.model import BASELINE, MODEL, load_model
from mlops.errors import Refused
from mlops.measure.metrics import METRICS
from mlops.measure.resample import Measured, measure
from mlops.measure.scoring import probabilities, read_rows, truth

PREDICTIONS = "reports/predictions.parquet"
METRICS_FILE = "reports/metrics.json"
SMALLEST_SLICE = 200  # rows; an interval from fewer says nothing


def evaluate(root: Path) -> None:
    """Write reports/predictions.parquet and reports/metrics.json."""
    contract = read_contract(root)
    rows = read_rows(root / TEST, contract)
    labels = truth(rows, contract)
    if labels.all() or not labels.any():
        raise Refused("The test set holds one class only; no metric can be computed on it.")
    scores = {
        "candidate": probabilities(load_model(root / MODEL), rows, contract, "candidate"),
        "baseline": probabilities(load_model(root / BASELINE), rows, contract, "baseline"),
    }
    table = rows[list(contract.key)].assign(truth=labels, **scores)
    metrics = tuple(METRICS.values())
    overall = measure(labels, scores, metrics, resamples=1000)
    report = {
        "rows": len(rows),
        "share": float(labels.mean()),
        "metrics": {m.name: _estimates(overall, m.name) for m in metrics},
        "slices": {name: _slices(rows[name], labels, scores) for name in contract.slices},
    }
    predictions = table.to_parquet(index=False, compression="zstd")
    write_whole(root / PREDICTIONS, predictions)
    write_whole(root / METRICS_FILE, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    auc = overall.estimate("roc_auc", "candidate")
    print(f"{len(rows):,} test rows: ROC AUC {auc.value:.4f} [{auc.low:.4f}, {auc.high:.4f}]")


def _estimates(measured: Measured, metric: str) -> dict[str, Any]:
    return {
        "candidate": asdict(measured.estimate(metric, "candidate")),
        "baseline": asdict(measured.estimate(metric, "baseline")),
        "gain": asdict(measured.gain(metric, "candidate", "baseline")),
    }


def _slices(
    column: pd.Series, labels: np.ndarray[Any, Any], scores: dict[str, Any]
) -> dict[str, Any]:
    report: dict[str, Any] = {}
    auc = METRICS["roc_auc"]
    for value, index in sorted(
        column.groupby(column).indices.items(), key=lambda item: str(item[0])
    ):
        inside = labels[index]
        entry: dict[str, Any] = {"rows": len(index), "share": float(inside.mean())}
        if min(inside.sum(), (~inside).sum()) * 2 >= SMALLEST_SLICE:
            part = measure(inside, {n: p[index] for n, p in scores.items()}, (auc,), resamples=400)
            entry["roc_auc"] = asdict(part.estimate("roc_auc", "candidate"))
        report[str(value)] = entry
    return report
