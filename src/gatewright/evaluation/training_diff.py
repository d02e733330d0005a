"""What another set of training rows changes, counted and estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gatewright.contract.schema import Contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.duplicates import odd_duplicates
from gatewright.evaluation.label_noise import LabelDoubt, doubtful_share, label_disagreement
from gatewright.evaluation.late_rows import Late, late_rows
from gatewright.evaluation.target_shift import target_shift
from gatewright.evaluation.training_rows import TrainingRows, champion_twins
from gatewright.evaluation.unseen_values import UnseenValues, unseen_values
from gatewright.evaluation.vanished import Vanished, vanished_rows


@dataclass(frozen=True)
class TrainingDiff:
    """What the candidate's training rows change, as counts, shares and estimates.

    before: how many rows the champion trained on, None if there is no champion.
    touched: rows that are new, relabelled or altered.
    balance: share of the event among the new rows less that among the champion's; of many classes
    the one that moved most; of a number the difference of the means in standard deviations.
    duplicates: new rows with inputs and label of another row; odd_duplicates: their share of the
    new rows beyond what is usual among the champion's, and beyond chance.
    disagreement: of all touched rows; parts: by label and slice, with intervals after Holm.
    unmeasured: why there is no disagreement. doubtful_labels: without a champion, the share of
    all rows. vanished: by part and label, what of the champion's rows is gone. late: slices
    whose newest rows have not come.
    """

    rows: int
    before: int | None = None
    gone: int = 0
    relabelled: int = 0
    altered: int = 0
    new: int = 0
    touched: int = 0
    is_number: bool = False
    balance: Estimate | None = None
    duplicates: int = 0
    odd_duplicates: float = 0.0
    new_categories: tuple[UnseenValues, ...] = ()
    out_of_range: tuple[UnseenValues, ...] = ()
    columns_gone: tuple[str, ...] = ()
    columns_new: tuple[str, ...] = ()
    disagreement: LabelDoubt | None = None
    parts: tuple[LabelDoubt, ...] = ()
    unmeasured: str = ""
    doubtful_labels: float | None = None
    vanished: tuple[Vanished, ...] = ()
    late: tuple[Late, ...] = ()


def compare_training(
    before: pd.DataFrame | None, now: pd.DataFrame, contract: Contract, seed: int = 0
) -> TrainingDiff:
    """Compare the candidate's training rows with the champion's, by the contract's key.

    Columns that the contract marks as personal are not looked at. The same rows and seed give
    the same answer; memory is linear in the rows.
    """
    _whole(now, "candidate", contract)
    if before is None:
        rows = TrainingRows.read(now.iloc[:0], now, contract)
        return TrainingDiff(rows=len(now), doubtful_labels=doubtful_share(rows, contract, seed))
    _whole(before, "champion", contract)
    rows = TrainingRows.read(before, now, contract)
    match = champion_twins(rows, contract)
    same = len(before) + np.flatnonzero(match >= 0)
    twins = match[match >= 0]
    gone = np.ones(len(before), dtype=bool)
    gone[twins] = False
    relabelled = rows.label[same] != rows.label[twins]
    altered = np.zeros(len(same), dtype=bool)
    for codes in rows.codes.values():
        altered |= codes[same] != codes[twins]
    new = len(before) + np.flatnonzero(match < 0)
    touched = np.union1d(new, same[relabelled | altered])
    duplicates, odd = odd_duplicates(rows, new, contract)
    told = label_disagreement(rows, touched, contract, seed)
    disagreement, parts, unmeasured = (None, (), told) if isinstance(told, str) else (*told, "")
    visible = [name for name, column in contract.columns.items() if not column.personal]
    return TrainingDiff(
        rows=len(now),
        before=len(before),
        gone=len(before) - len(same),
        relabelled=int(relabelled.sum()),
        altered=int(altered.sum()),
        new=len(new),
        touched=len(touched),
        is_number=contract.target.type == "regression",
        balance=target_shift(rows, new, contract),
        duplicates=duplicates,
        odd_duplicates=odd,
        new_categories=tuple(unseen_values(rows, touched, contract, text=True)),
        out_of_range=tuple(unseen_values(rows, touched, contract, text=False)),
        columns_gone=tuple(name for name in visible if name in before and name not in now),
        columns_new=tuple(name for name in visible if name in now and name not in before),
        disagreement=disagreement,
        parts=parts,
        unmeasured=unmeasured,
        vanished=vanished_rows(rows, gone, contract),
        late=late_rows(rows, contract),
    )


def _whole(rows: pd.DataFrame, whose: str, contract: Contract) -> None:
    needed = [*contract.key, contract.target.name]
    if absent := [name for name in needed if name not in rows]:
        raise Refused(
            f"The {whose}'s training rows lack the columns {', '.join(absent)}, so it cannot be "
            "told what became of which row. Let the split keep the contract's key and target."
        )
