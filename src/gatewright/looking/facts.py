"""What can be seen of each column of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

BINS = 24
MOST_VALUES = 12  # of a category that are drawn; the others are one bar
PERIODS = 24
FAR_AWAY = 5.0  # interquartile ranges from the middle


@dataclass(frozen=True)
class Bar:
    """One bar of a distribution: rows in it, and the target's mean there (NaN where none is)."""

    label: str
    rows: int
    target: float


@dataclass(frozen=True)
class Facts:
    """Of one column of n rows.

    kind: number, category or date. distinct: different values. quantiles: at 0, 1, 25, 50, 75, 99
    and 100 per cent, of a number. over_time: for each period its missing share and, of a number,
    its mean. new_values: categories that come in the last third of the time alone.
    others: rows of a category that has no bar of its own.
    """

    name: str
    kind: str
    rows: int
    missing: int
    distinct: int
    bars: tuple[Bar, ...]
    most_common: tuple[str, int]
    quantiles: tuple[float, ...] = ()
    missing_over_time: tuple[float, ...] = ()
    mean_over_time: tuple[float, ...] = ()
    new_values: tuple[str, ...] = ()
    others: int = 0

    @property
    def missing_share(self) -> float:
        return self.missing / max(self.rows, 1)


def facts_of(
    name: str,
    values: pd.Series,
    target: NDArray[np.float64] | None,
    period: NDArray[np.int64] | None,
) -> Facts:
    """Look at one column. target: a number for each row. period: which of PERIODS it is of."""
    missing = values.isna().to_numpy(dtype=bool)
    kind = _kind(values)
    counts = values.value_counts()
    common = (str(counts.index[0]), int(counts.iloc[0])) if len(counts) else ("", 0)
    told: dict[str, Any] = {}
    if kind == "category":
        bars = _category_bars(values, counts, target)
        told["others"] = int(counts.iloc[MOST_VALUES:].sum())
        if period is not None:
            told["new_values"] = _new_values(values, period)
    else:
        numbers = _numbers(values)
        bars = _number_bars(numbers, target, kind)
        known = numbers[np.isfinite(numbers)]
        if kind == "number" and len(known):
            at = [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1]
            told["quantiles"] = tuple(float(q) for q in np.quantile(known, at))
        if kind == "number" and period is not None and len(known):
            # Without what lies far away, which is told by itself.
            q1, q3 = np.quantile(known, [0.25, 0.75])
            near = np.abs(numbers - (q1 + q3) / 2) <= FAR_AWAY * max(q3 - q1, 1e-12)
            told["mean_over_time"] = _by_period(np.where(near, numbers, np.nan), period)
    if period is not None:
        told["missing_over_time"] = _by_period(missing.astype(float), period)
    return Facts(name, kind, len(values), int(missing.sum()), len(counts), bars, common, **told)


def _kind(values: pd.Series) -> str:
    if values.dtype.kind == "M":
        return "date"
    return "number" if values.dtype.kind in "iuf" and values.nunique() > 2 else "category"


def _numbers(values: pd.Series) -> NDArray[np.float64]:
    if values.dtype.kind == "M":
        found = values.to_numpy(dtype="datetime64[s]").astype(float)
        found[values.isna().to_numpy(dtype=bool)] = np.nan
        return np.asarray(found, dtype=float)
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan))


def _number_bars(
    numbers: NDArray[np.float64], target: NDArray[np.float64] | None, kind: str
) -> tuple[Bar, ...]:
    """Bins of equal width between the 1st and the 99th per cent; what lies outside is in the end
    ones.
    """
    finite = np.isfinite(numbers)
    known = numbers[finite]
    if not len(known):
        return ()
    low, high = (float(q) for q in np.quantile(known, [0.01, 0.99]))
    if low == high:
        low, high = float(known.min()), float(known.max())
    edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low, low + 1])
    at = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 2)
    rows = np.bincount(at, minlength=len(edges) - 1)
    means = _means(at, target[finite] if target is not None else None, len(rows))
    labels = [_edge(edge, kind) for edge in edges]
    return tuple(
        Bar(f"{labels[n]} to {labels[n + 1]}", int(rows[n]), means[n]) for n in range(len(rows))
    )


def _edge(edge: float, kind: str) -> str:
    return str(np.datetime64(int(edge), "s"))[:10] if kind == "date" else number(edge)


def number(value: float) -> str:
    """A number as people write it, to four digits or to the one."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _category_bars(
    values: pd.Series, counts: pd.Series, target: NDArray[np.float64] | None
) -> tuple[Bar, ...]:
    shown = list(counts.index[:MOST_VALUES])
    place = {value: at for at, value in enumerate(shown)}
    known = values.notna().to_numpy(dtype=bool)
    at = values[known].map(place).fillna(len(shown)).to_numpy(dtype=np.int64)
    size = len(shown) + (len(counts) > len(shown))
    rows = np.bincount(at, minlength=size)
    means = _means(at, target[known] if target is not None else None, size)
    labels = [str(value) for value in shown]
    if size > len(shown):
        labels.append(f"{len(counts) - len(shown):,} others")
    return tuple(Bar(labels[n], int(rows[n]), means[n]) for n in range(size))


def _means(at: NDArray[np.int64], target: NDArray[np.float64] | None, size: int) -> list[float]:
    if target is None:
        return [float("nan")] * size
    known = np.isfinite(target)
    sums = np.bincount(at[known], weights=target[known], minlength=size)
    counts = np.bincount(at[known], minlength=size)
    return [float(s / c) if c else float("nan") for s, c in zip(sums, counts, strict=True)]


def _by_period(numbers: NDArray[np.float64], period: NDArray[np.int64]) -> tuple[float, ...]:
    known = np.isfinite(numbers) & (period >= 0)
    sums = np.bincount(period[known], weights=numbers[known], minlength=PERIODS)
    counts = np.bincount(period[known], minlength=PERIODS)
    return tuple(float(s / c) if c else float("nan") for s, c in zip(sums, counts, strict=True))


def _new_values(values: pd.Series, period: NDArray[np.int64]) -> tuple[str, ...]:
    late = period >= PERIODS * 2 // 3
    before, after = set(values[~late].dropna()), values[late].value_counts()
    return tuple(str(value) for value, count in after.items() if value not in before and count > 1)


def periods_of(times: pd.Series) -> NDArray[np.int64]:
    """Which of PERIODS stretches of equal length each moment is of, shape (n,); -1 for none."""
    moments = _numbers(times)
    known = np.isfinite(moments)
    found = np.full(len(moments), -1, dtype=np.int64)
    if known.any():
        low, high = moments[known].min(), moments[known].max()
        width = max(high - low, 1.0)
        found[known] = np.minimum((moments[known] - low) / width * PERIODS, PERIODS - 1)
    return found
