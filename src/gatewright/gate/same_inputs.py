"""Whether two sets of inputs are the same but for where the files lie: measured once, then."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.gate.inputs import GateInputs, Input, Loaded
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.registry.champion import Champion

if TYPE_CHECKING:
    import pandas as pd


def are_same(one: GateInputs, other: GateInputs) -> bool:
    """Whether whatever is measured of the one would be measured of the other.

    All that is asked for is equal, the champion too, and the files are the same, byte for byte.
    """
    return (
        _placeless(one) == _placeless(other)
        and _same_rows(one.waiting, other.waiting)
        and all(map(_same_bytes, _files(one), _files(other)))
    )


def _placeless(inputs: GateInputs) -> GateInputs:
    champion = _without_files(inputs.champion)
    waiting = Loaded[None](None)
    return replace(inputs, root=Path(), champion=champion, known_test=None, waiting=waiting)


def _without_files(champion: Champion | None) -> Champion | None:
    if champion is None:
        return None
    best, rule = _without_files(champion.best), _without_files(champion.rule)
    return replace(champion, model=Path(), train=None, baseline=None, best=best, rule=rule)


def _same_rows(one: Input[pd.DataFrame | None], other: Input[pd.DataFrame | None]) -> bool:
    """Rows that could not be had are not known to be the same."""
    if not (isinstance(one, Loaded) and isinstance(other, Loaded)):
        return False
    if one.value is None or other.value is None:
        return one.value is other.value
    return bool(one.value.equals(other.value))


def _files(inputs: GateInputs) -> Iterator[Path | None]:
    yield from (inputs.root / path for path in (MODEL, BASELINE, TRAIN, TEST))
    yield inputs.known_test
    if (live := inputs.champion) is not None:
        yield from (live.model, live.train, live.baseline)
        yield from (other.model if other else None for other in (live.best, live.rule))


def _same_bytes(one: Path | None, other: Path | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
