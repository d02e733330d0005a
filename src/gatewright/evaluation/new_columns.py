"""What columns that the champion does not have bring of a gain.

By permutation (Breiman 2001, Random Forests): in the test rows their values are drawn anew from
each other, and what of the gain on the champion is lost is their share. Columns that stand for each
other lose little alone, so those that nobody vouches for are moved together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gatewright.contract.schema import Contract
from gatewright.evaluation.bootstrap import Measured, measure
from gatewright.evaluation.metrics import SHOWN, metrics_of
from gatewright.evaluation.predictions import Answers, Truth

MOST = 20_000  # rows in which values are moved
ALONE = 4  # columns whose share is told one by one


@dataclass(frozen=True)
class NewColumns:
    """The columns that only the candidate takes in.

    vouched: those with `known: before`; others: the rest. metric: that of which they bring the
    most; None if no gain on the champion is proven. shares: of that gain, by column; other_share:
    of those that nobody vouches for, together.
    """

    vouched: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    metric: str | None = None
    shares: Mapping[str, float] | None = None
    other_share: float = 0.0


def new_columns(contract: Contract, live: Contract | None) -> NewColumns:
    """Which columns are new, before anything is measured."""
    new = [] if live is None else [n for n in contract.features if n not in live.features]
    vouched = tuple(name for name in new if contract.columns[name].known == "before")
    return NewColumns(vouched, tuple(name for name in new if name not in vouched))


def share_of_gain(
    new: NewColumns,
    rows: pd.DataFrame,
    y: Truth,
    answers: Mapping[str, Answers],
    models: tuple[str, str],
    measured: Measured,
    ask: Callable[[pd.DataFrame], Answers],
    contract: Contract,
    seed: int = 0,
) -> NewColumns:
    """The same with shares. `models` are the names of candidate and champion in `answers`.

    The candidate is asked again for at most MOST rows, once for those that nobody vouches for and
    once for each of the first ALONE columns.
    """
    candidate = models[0]
    gained = [name for name in SHOWN[contract.target.type] if measured.gain(name, *models).low > 0]
    names = (*new.others, *new.vouched)
    if not names or not gained:
        return new
    draw = np.random.default_rng([seed, 17])
    at = np.arange(len(rows))
    if len(at) > MOST:
        at = np.sort(draw.choice(len(at), MOST, replace=False, shuffle=False))
    some, moved = rows.iloc[at], draw.permutation(len(at))
    tried = {name: (name,) for name in names[:ALONE]} | ({"": new.others} if new.others else {})
    said = {name: answers[name][at] for name in models}
    for about, columns in tried.items():
        anew = {name: some[name].iloc[moved].set_axis(some.index) for name in columns}
        said[f"without {about}"] = ask(some.assign(**anew))
    known = metrics_of(contract)
    found = measure(y[at], said, [known[name] for name in gained], resamples=2, seed=seed)
    best, shares, most = "", dict[str, float](), -np.inf
    for name in gained:
        gain = found.gain(name, *models).value
        whole = gain if gain > 0 else measured.gain(name, *models).value
        lost = {
            about: found.gain(name, candidate, f"without {about}").value / whole for about in tried
        }
        share = lost.get("", max(lost.values()))
        if share > most:
            best, shares, most = name, lost, share
    others = shares.pop("", 0.0)
    return NewColumns(new.vouched, new.others, best, shares, others)
