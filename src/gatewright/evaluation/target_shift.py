"""How far the target of new training rows lies from what it was."""

from __future__ import annotations

import numpy as np

from gatewright.contract.schema import Contract
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.intervals import mean_error, normal, share_error
from gatewright.evaluation.training_rows import Flags, Integers, TrainingRows

CONFIDENCE = 0.99  # as this is asked at each update


def target_shift(rows: TrainingRows, new: Integers, contract: Contract) -> Estimate | None:
    """The target of the rows at `new`, shape (n,), less that of the champion's rows.

    Of a binary target the share of the event; of several classes the one that moved most; of a
    number the difference of the means, in standard deviations of the champion's. None if either
    side has no label.
    """
    told, before = rows.told[new], rows.told[: rows.old]
    told, before = told[np.isfinite(told)], before[np.isfinite(before)]
    if not len(told) or not len(before):
        return None
    if not rows.classes:
        deviation = float(before.std()) or 1.0
        error = np.hypot(max(mean_error(told), deviation / len(told) ** 0.5), mean_error(before))
        return normal((told.mean() - before.mean()) / deviation, error / deviation, CONFIDENCE)
    shifts = [
        _difference(told == code, before == code)
        for code in ([1] if contract.target.type == "binary" else range(len(rows.classes)))
    ]
    return max(shifts, key=lambda shift: abs(shift.value))


def _difference(a: Flags, b: Flags) -> Estimate:
    """The difference of the shares of two sets of flags, each of shape (n,)."""
    return normal(a.mean() - b.mean(), float(np.hypot(share_error(a), share_error(b))), CONFIDENCE)
