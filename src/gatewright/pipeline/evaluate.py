"""Stage `evaluate`: a row a test row, and the metrics with their intervals.

For people, and for `dvc metrics`. The gate measures again and believes none of it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.adapters.files import write_whole
from gatewright.contract.schema import read_contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Measured, measure
from gatewright.evaluation.groups import groups_of
from gatewright.evaluation.metrics import chosen
from gatewright.evaluation.predictions import read_rows, score, truth
from gatewright.evaluation.slices import by_slice
from gatewright.paths import TEST

PREDICTIONS = "reports/predictions.parquet"
METRICS_FILE = "reports/metrics.json"
PLACES = 6  # the digits after them depend on the processor, and dvc.lock must not


def evaluate(root: Path) -> None:
    """Write reports/predictions.parquet and reports/metrics.json."""
    contract = read_contract(root)
    rows = read_rows(root / TEST, contract)
    y = truth(rows, contract)
    if contract.classes and not np.bincount(y, minlength=len(contract.classes)).all():
        raise Refused("The test set lacks a class; no metric can be computed on it.")
    table, answers = score(root, contract)
    table.insert(len(contract.key), "truth", rows[contract.target.name].to_numpy())
    metrics = chosen(contract, (), {})
    groups = groups_of(rows, contract)
    overall = measure(y, answers, metrics, groups=groups, resamples=1000)
    report: dict[str, Any] = {"rows": len(rows)}
    if contract.target.type == "binary":
        report["share"] = float(y.mean())
    report["metrics"] = {m.name: _estimates(overall, m.name) for m in metrics}
    report["slices"] = by_slice(rows, y, answers, contract, groups)
    predictions = table.to_parquet(index=False, compression="zstd")
    write_whole(root / PREDICTIONS, predictions)
    write_whole(root / METRICS_FILE, json.dumps(rounded(report), indent=2) + "\n")
    first = overall.estimate(metrics[0].name, "candidate")
    print(
        f"{len(rows):,} test rows: {metrics[0].title} {first.value:.4f} "
        f"[{first.low:.4f}, {first.high:.4f}]"
    )


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
