"""New training rows that repeat another row."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from gatewright.contract.schema import Contract
from gatewright.evaluation.intervals import share_error
from gatewright.evaluation.training_rows import Integers, TrainingRows, combined_codes


def odd_duplicates(rows: TrainingRows, new: Integers, contract: Contract) -> tuple[int, float]:
    """New rows that have the inputs and the label of another row of the candidate.

    new: positions, shape (n,). Returns how many there are, and by how much their share of the new
    rows lies beyond that among the champion's rows and beyond chance (one-sided, 99%).
    """
    names = [n for n in contract.features if n in rows.codes and n not in contract.key]
    if not len(new) or not names:
        return 0, 0.0
    alike = combined_codes([*(rows.codes[name] for name in names), rows.label], len(rows.label))
    old, now = alike[: rows.old], alike[rows.old :]
    copies = np.bincount(now)[alike[new]] > 1
    usual = np.bincount(old)[old] > 1
    if not len(old):
        return int(copies.sum()), float(copies.mean())
    chance = NormalDist().inv_cdf(0.99) * float(np.hypot(share_error(copies), share_error(usual)))
    return int(copies.sum()), max(0.0, float(copies.mean() - usual.mean()) - chance)
