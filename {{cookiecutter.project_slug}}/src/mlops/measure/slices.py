"""How good models are in each part of the rows."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.measure.metrics import METRICS, Floats
from mlops.measure.resample import measure

SMALLEST = 200  # rows; an interval from fewer says nothing


def by_slice(
    column: pd.Series, labels: NDArray[np.bool_], scores: Mapping[str, Floats]
) -> dict[str, Any]:
    """For each value of a column: rows, share of the event and, of each model, the ROC AUC.

    column, labels, scores: shape (n,). A slice that is too small has no ROC AUC.
    """
    auc = METRICS["roc_auc"]
    report: dict[str, Any] = {}
    groups = column.groupby(column).indices.items()
    for value, index in sorted(groups, key=lambda item: str(item[0])):
        inside = labels[index]
        entry: dict[str, Any] = {"rows": len(index), "share": float(inside.mean())}
        if min(inside.sum(), (~inside).sum()) * 2 >= SMALLEST:
            part = measure(inside, {n: p[index] for n, p in scores.items()}, (auc,), resamples=400)
            entry["roc_auc"] = {n: asdict(part.estimate("roc_auc", n)) for n in scores}
        report[str(value)] = entry
    return report
