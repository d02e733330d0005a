"""Stage `evaluate`: a row a test row, and the metrics with their intervals.

For people, and for `dvc metrics`. The gate measures again and believes none of it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops.artefacts.contract import read_contract
from mlops.artefacts.files import write_whole
from mlops.artefacts.lock import TEST
from mlops.errors import Refused
from mlops.measure.metrics import METRICS
from mlops.measure.resample import Measured, measure
from mlops.measure.scoring import read_rows, score, truth
from mlops.measure.slices import by_slice

PREDICTIONS = "reports/predictions.parquet"
METRICS_FILE = "reports/metrics.json"
PLACES = 6  # the digits after them depend on the processor, and dvc.lock must not


def evaluate(root: Path) -> None:
    """Write reports/predictions.parquet and reports/metrics.json."""
    contract = read_contract(root)
    rows = read_rows(root / TEST, contract)
    labels = truth(rows, contract)
    if labels.all() or not labels.any():
        raise Refused("The test set holds one class only; no metric can be computed on it.")
    table = score(root, contract)
    table.insert(len(contract.key), "truth", labels)
    scores = {name: table[name].to_numpy() for name in ("candidate", "baseline")}
    metrics = tuple(METRICS.values())
    overall = measure(labels, scores, metrics, resamples=1000)
    report = {
        "rows": len(rows),
        "share": float(labels.mean()),
        "metrics": {m.name: _estimates(overall, m.name) for m in metrics},
        "slices": {name: by_slice(rows[name], labels, scores) for name in contract.slices},
    }
    predictions = table.to_parquet(index=False, compression="zstd")
    write_whole(root / PREDICTIONS, predictions)
    write_whole(root / METRICS_FILE, json.dumps(rounded(report), indent=2) + "\n")
    auc = overall.estimate("roc_auc", "candidate")
    print(f"{len(rows):,} test rows: ROC AUC {auc.value:.4f} [{auc.low:.4f}, {auc.high:.4f}]")


def _estimates(measured: Measured, metric: str) -> dict[str, Any]:
    return {
        "candidate": asdict(measured.estimate(metric, "candidate")),
        "baseline": asdict(measured.estimate(metric, "baseline")),
        "gain": asdict(measured.gain(metric, "candidate", "baseline")),
    }


def rounded(value: Any) -> Any:
    """The same report with its figures rounded to PLACES."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, PLACES) if isinstance(value, float) else value
