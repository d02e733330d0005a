"""All that is guessed of a table before anything is written. Each guess has its evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gatewright.contract.schema import PERIODS, Task
from gatewright.errors import Misuse, Refused
from gatewright.sources.guess_roles import (
    Guess,
    alone,
    are_amounts,
    guess_group,
    guess_key,
    guess_leaks,
    guess_people,
    guess_personal,
    guess_time,
    guess_withheld,
)
from gatewright.sources.guess_target import TargetGuess, guess_target
from gatewright.sources.guess_types import TypeGuess, guess_type
from gatewright.sources.recipe import (
    DIGEST,
    ColumnRecipe,
    Derived,
    Part,
    Recipe,
    part_of,
    read_table,
    row_digests,
)

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST = 40  # rows; of fewer, no part can both teach and test
SHARE = 0.2  # of the rows that test
ROW_ID = "row_id"
SLICED = (2, 12)  # values of a column that is worth a slice
SLICE_SHARE = 0.05
CLOSED = 50  # values of a category that the contract can list


@dataclass(frozen=True)
class Profile:
    """A table, read, and what each of its columns is.

    rows: as they go into data/raw, the personal columns included (they are dropped on writing).
    types, roles: the guesses by column. holdout: the window that tests, where there is a time.
    """

    recipe: Recipe
    target: TargetGuess
    rows: pd.DataFrame
    types: dict[str, TypeGuess]
    roles: dict[str, tuple[str, Guess]]
    key: tuple[str, ...]
    time: str | None
    group: str | None
    features: tuple[str, ...]
    personal: tuple[str, ...]
    people: tuple[str, ...]
    slices: tuple[str, ...]
    baseline: tuple[str, ...]
    holdout: tuple[str, str] | None
    notes: tuple[str, ...] = ()
    test_rows: int = 0
    fewest_of_a_class: int = 0
    test_groups: int | None = None
    evidence: dict[str, Guess] = field(default_factory=dict)

    @property
    def is_number(self) -> bool:
        return self.target.task == "regression"


def profile(table: pa.Table, target: str, task: Task | None = None) -> Profile:
    """Guess what a table is about. Raises Refused where nothing can be learnt of it."""
    if target not in table.column_names:
        shown = ", ".join(table.column_names[:40])
        raise Misuse(f"There is no column '{target}' in the table. There are: {shown}.")
    if table.num_columns < 2:
        raise Refused(
            f"The table has the column '{target}' and no other, so there is nothing to predict it "
            "from. Name a file with more columns."
        )
    known = guess_target(table.column(target), target, task)
    names = [name for name in table.column_names if name != target]
    types = {name: guess_type(table.column(name), name) for name in names}
    left_out = {name: guess.evidence for name, guess in types.items() if guess.how is None}
    columns = {name: guess.how for name, guess in types.items() if guess.how is not None}
    if not columns:
        raise Refused("No column but the target says anything that differs between the rows.")
    recipe = Recipe(columns={**columns, target: known.how}, left_out=left_out, target=target)
    rows, unread = read_table(table, recipe)
    for name in [n for n in columns if columns[n].type == "integer" and are_amounts(rows[n], n)]:
        columns[name] = columns[name].model_copy(update={"type": "number"})
        types[name] = TypeGuess(columns[name], "whole numbers that hardly repeat: amounts")
        rows[name] = rows[name].astype("float64")
    recipe = recipe.model_copy(update={"columns": {**columns, target: known.how}})
    labelled = rows[target].notna()
    notes = [f"{len(found.rows):,} values of {found.column} are no values" for found in unread]
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows without a value of '{target}' are left out")
        rows = rows[labelled].reset_index(drop=True)
    if known.task == "binary":
        rows[target] = rows[target].astype(bool)
    if len(rows) < FEWEST:
        raise Refused(
            f"The table has {len(rows)} rows with a value of '{target}'. At least {FEWEST} are "
            "needed to learn from some and test on others; to judge a model, some hundreds. Bring "
            "more rows."
        )
    return _Roles(rows, columns, known, recipe, types, notes).found()


class _Roles:
    """The roles, found one after the other: each leaves fewer columns to the next."""

    def __init__(
        self,
        rows: pd.DataFrame,
        columns: dict[str, ColumnRecipe],
        target: TargetGuess,
        recipe: Recipe,
        types: dict[str, TypeGuess],
        notes: list[str],
    ) -> None:
        self.rows, self.target, self.recipe, self.types = rows, target, recipe, types
        self.names = list(columns)
        self.notes = notes
        self.roles: dict[str, tuple[str, Guess]] = {}
        self.evidence: dict[str, Guess] = {}

    def found(self) -> Profile:
        rows, name = self.rows, self.recipe.target
        is_number = self.target.task == "regression"
        personal = guess_personal(rows, self.names)
        self._say("personal", personal)
        open_names = [n for n in self.names if n not in personal]
        key, why = guess_key(rows, open_names)
        self.evidence["key"] = why
        derived: dict[str, Derived] = {}
        if not key:
            key = (ROW_ID,)
            derived[ROW_ID] = Derived(of="*", part="digest of the row", without=tuple(personal))
            names = [n for n in self.recipe.columns if n not in personal]
            rows.insert(0, ROW_ID, row_digests(rows, names))
        time = guess_time(rows, open_names)
        group = guess_group(rows, open_names, key)
        self._say("withheld", guess_withheld(rows, open_names))
        for of in (*key, *([group.value] if group else [])):
            if of in self.names and self._is_identifier(of, key):
                self._say("withheld", {of: Guess("an identifier", "tells rows or owners apart")})
        for of in open_names:
            if rows[of].dtype.kind == "M":
                derived |= self._parts(of)
        asked = [n for n in open_names if n not in self.roles]
        leaks, strong = guess_leaks(rows, asked, rows[name], is_number)
        self._say("leak", leaks)
        self._say("strong", strong)
        inputs = [n for n in asked if n not in leaks]
        inputs += [n for n, d in derived.items() if d.part != DIGEST and rows[n].nunique() > 1]
        if not inputs:
            told = "; ".join(f"{n}: {g.value}" for n, (_, g) in self.roles.items())
            raise Refused(f"No column is left that a model could learn from ({told[:600]}).")
        holdout = self._window(time.value) if time else None
        if time and holdout is None:
            self.notes.append(
                f"{time.value} does not divide the rows well, so rows are split by key"
            )
            time = None
        period = self._period(time.value, holdout) if time and holdout else None
        if time:
            self.evidence["time"] = time
        if group:
            self.evidence["group"] = group
        elif period:
            words = f"rows of one {period} may share what nobody recorded"
            self.evidence["group"] = Guess(period, words)
        tested = self._tested(time.value if time else None, holdout)
        counts = rows.loc[tested, name].value_counts() if not is_number else None
        return Profile(
            recipe=self.recipe.model_copy(update={"derived": derived}),
            target=self.target,
            rows=rows,
            types=self.types,
            roles=self.roles,
            key=key,
            time=time.value if time else None,
            group=group.value if group else period,
            features=tuple(inputs),
            personal=tuple(personal),
            people=guess_people(inputs),
            slices=self._slices(inputs),
            baseline=self._baseline(inputs, is_number),
            holdout=holdout,
            notes=tuple(self.notes),
            test_rows=int(tested.sum()),
            fewest_of_a_class=int(counts.min()) if counts is not None and len(counts) else 0,
            evidence=self.evidence,
        )

    def _say(self, role: str, guesses: dict[str, Guess]) -> None:
        for name, guess in guesses.items():
            self.roles.setdefault(name, (role, guess))

    def _is_identifier(self, name: str, key: tuple[str, ...]) -> bool:
        values = self.rows[name]
        if values.dtype.kind == "M":
            return False
        return len(key) == 1 or values.nunique() > 50

    def _parts(self, name: str) -> dict[str, Derived]:
        """Numbers of a date that models can use, put into the rows."""
        moments = self.rows[name]
        found = {}
        parts: list[Part] = ["month", "weekday"]
        if (moments.dropna() != moments.dropna().dt.normalize()).any():
            parts.append("hour")
        for part in parts:
            new = f"{name}_{part}"
            if new in self.rows:
                continue
            self.rows[new] = part_of(moments, part)
            found[new] = Derived(of=name, part=part)
        return found

    def _window(self, time: str) -> tuple[str, str] | None:
        """The last fifth of the rows by time, from the first moment of a day on."""
        moments = self.rows[time]
        start = pd.Timestamp(moments.quantile(1 - SHARE)).normalize()
        end = pd.Timestamp(moments.max()).normalize() + pd.Timedelta(days=1)
        inside = moments >= start
        share = float(inside.mean())
        if not 0.05 <= share <= 0.5:
            return None
        told = self.rows[self.recipe.target]
        if self.target.task != "regression" and (
            told[inside].nunique() < told.nunique() or told[~inside].nunique() < told.nunique()
        ):
            return None
        return f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"

    def _period(self, time: str, holdout: tuple[str, str]) -> str | None:
        """The shortest of day, week and month of which each holds more than single rows."""
        moments = self.rows[time]
        inside = moments[moments >= pd.Timestamp(holdout[0])]
        for period, letter in PERIODS.items():
            count = inside.dt.to_period(letter).nunique()
            # A column of that name would be meant.
            if period not in self.rows and count >= 20 and len(inside) >= 1.5 * count:
                return period
        return None

    def _tested(self, time: str | None, holdout: tuple[str, str] | None) -> pd.Series:
        """Which rows test, about: without a time the stage `split` draws them, by a hash."""
        if time and holdout:
            return self.rows[time] >= pd.Timestamp(holdout[0])
        draw = np.random.default_rng(0).random(len(self.rows))
        return pd.Series(draw < SHARE)

    def _slices(self, inputs: list[str]) -> tuple[str, ...]:
        """Columns of few values, each of them frequent enough to be looked at by itself."""
        found = []
        for name in inputs:
            values = self.rows[name]
            if values.dtype.kind == "f" or str(values.dtype).startswith("datetime"):
                continue
            counts = values.value_counts(normalize=True)
            if SLICED[0] <= len(counts) <= SLICED[1] and counts.iloc[1] >= SLICE_SHARE:
                if values.dtype.kind in "iu" and len(counts) > 5:
                    continue
                found.append((float(counts.iloc[-1]), name))
        return tuple(name for _, name in sorted(found, reverse=True)[:4])

    def _baseline(self, inputs: list[str], is_number: bool) -> tuple[str, ...]:
        """The two columns that tell most by themselves; what people look at first."""
        at = np.random.default_rng(1).permutation(len(self.rows))[:20_000]
        told = self.rows[self.recipe.target].iloc[at]
        scores = []
        for name in inputs:
            values = self.rows[name].iloc[at]
            if str(values.dtype) == "str" and values.nunique() > 30:
                continue
            score = alone(values, told, is_number)
            scores.append((score if score is not None else -1.0, name))
        best = sorted(scores, key=lambda pair: -pair[0])[:2]
        return tuple(name for _, name in best) or (inputs[0],)
