"""What another set of training rows changes, and whether its labels look tampered with.

Labels are doubted by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning:
Estimating Uncertainty in Dataset Labels", JAIR 70): rows get probabilities from a model that did
not see them; the threshold of class j is the mean probability of j among the rows labelled j; a
row disagrees if, of the classes at or above their thresholds, the most probable is not its own.

How it is set up was chosen on a table that grows by the month, honest and with labels flipped:

- One cross-validation over the champion's rows and the touched ones together. A model of the
  champion's rows alone takes a new season for wrong labels.
- Thresholds are those of the set itself: wrong labels lower them, and so count twice, while a
  season that has more of one class does not matter.
- The champion's rows are also cut into stretches of time. What these differ by is usual, and only
  the disagreement beyond it counts. Log loss and ROC AUC told poison from seasons less well.
- A slice is held against the rest of its rows, so that a season, which all slices share, cancels.

Intervals take the thresholds and the model for known, so with few rows they are too narrow: by a
third with 1,400 new ones of a noisy target (benchmarks/poisoning.md of the template).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.contract.schema import Contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.intervals import mean_error, normal

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

CONFIDENCE = 0.99  # as this is asked at each update
SMALLEST = 200  # rows; a share of fewer says nothing
FOLDS = 3
FITTED = 60_000  # rows that the models learn from, each fold's from all but its own
SCORED = 40_000  # rows of either side that get a prediction
STEPS = 40  # of boosting
RARE = 50  # a category with fewer rows than this shares one code with the other rare ones
STRETCHES = 8  # of time, into which the champion's rows are cut
STRETCH = 500  # rows; what shorter ones differ by is chance
SPREAD, SPREAD_OF_PARTS = 1.0, 2.5  # standard deviations that are usual; of many, one is farther


@dataclass(frozen=True)
class LabelDoubt:
    """The label disagreement of a part of the touched rows.

    share: of the part's rows whose label disagrees; usual: of such rows of the champion.
    spread: what stretches of time differ by. excess: how far the share lies beyond the usual one
    and the spread; for a slice after taking off how far its rest does.
    """

    name: str
    rows: int
    share: float
    usual: float
    spread: float
    excess: Estimate


@dataclass(frozen=True)
class Outside:
    """Touched rows whose value in a column the champion never saw, and how many such values."""

    column: str
    rows: int
    values: int


@dataclass(frozen=True)
class Change:
    """What the candidate's training rows change, as counts, shares and estimates.

    before: how many rows the champion trained on, None if there is no champion.
    touched: rows that are new, relabelled or altered.
    balance: share of the event among the new rows less that among the champion's; of many classes
    the one that moved most; of a number the difference of the means in standard deviations.
    duplicates: new rows with inputs and label of another row; odd_duplicates: their share of the
    new rows beyond what is usual among the champion's, and beyond chance.
    disagreement: of all touched rows; parts: by label and slice, with intervals after Holm.
    untold: why there is no disagreement. doubtful: without a champion, the share of all rows.
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
    new_categories: tuple[Outside, ...] = ()
    out_of_range: tuple[Outside, ...] = ()
    columns_gone: tuple[str, ...] = ()
    columns_new: tuple[str, ...] = ()
    disagreement: LabelDoubt | None = None
    parts: tuple[LabelDoubt, ...] = ()
    untold: str = ""
    doubtful: float | None = None


def compare_training(
    before: pd.DataFrame | None, now: pd.DataFrame, contract: Contract, seed: int = 0
) -> Change:
    """Compare the candidate's training rows with the champion's, by the contract's key.

    Columns that the contract marks as personal are not looked at. The same rows and seed give
    the same answer; memory is linear in the rows.
    """
    _whole(now, "candidate", contract)
    if before is None:
        rows = _Rows.read(now.iloc[:0], now, contract)
        return Change(rows=len(now), doubtful=_doubtful(rows, contract, seed))
    _whole(before, "champion", contract)
    rows = _Rows.read(before, now, contract)
    match = _matches(rows, contract)
    same = len(before) + np.flatnonzero(match >= 0)
    twins = match[match >= 0]
    relabelled = rows.label[same] != rows.label[twins]
    altered = np.zeros(len(same), dtype=bool)
    for codes in rows.codes.values():
        altered |= codes[same] != codes[twins]
    new = len(before) + np.flatnonzero(match < 0)
    touched = np.union1d(new, same[relabelled | altered])
    duplicates, odd = _duplicates(rows, new, contract)
    told = _disagreement(rows, touched, contract, seed)
    disagreement, parts, untold = (None, (), told) if isinstance(told, str) else (*told, "")
    visible = [name for name, column in contract.columns.items() if not column.personal]
    return Change(
        rows=len(now),
        before=len(before),
        gone=len(before) - len(same),
        relabelled=int(relabelled.sum()),
        altered=int(altered.sum()),
        new=len(new),
        touched=len(touched),
        is_number=contract.target.type == "regression",
        balance=_balance(rows, new, contract),
        duplicates=duplicates,
        odd_duplicates=odd,
        new_categories=tuple(_outside(rows, touched, contract, text=True)),
        out_of_range=tuple(_outside(rows, touched, contract, text=False)),
        columns_gone=tuple(name for name in visible if name in before and name not in now),
        columns_new=tuple(name for name in visible if name in now and name not in before),
        disagreement=disagreement,
        parts=parts,
        untold=untold,
    )


def _whole(rows: pd.DataFrame, whose: str, contract: Contract) -> None:
    needed = [*contract.key, contract.target.name]
    if absent := [name for name in needed if name not in rows]:
        raise Refused(
            f"The {whose}'s training rows lack the columns {', '.join(absent)}, so it cannot be "
            "told what became of which row. Let the split keep the contract's key and target."
        )


@dataclass(frozen=True)
class _Rows:
    """The champion's rows, the first `old`, and after them the candidate's; all of shape (n,).

    codes: of the columns that both have; equal where the values are, -1 where missing.
    numbers: the same columns, unless they are text; texts: what the codes of a text mean.
    label: the target as codes. told: the target as a number, that is the code of its class in
    `classes` or the number itself; NaN if missing.
    """

    old: int
    codes: dict[str, Integers]
    numbers: dict[str, Floats]
    texts: dict[str, list[str]]
    label: Integers
    told: Floats
    classes: tuple[str, ...]

    @staticmethod
    def read(before: pd.DataFrame, now: pd.DataFrame, contract: Contract) -> _Rows:
        def both(name: str, kind: str) -> pd.Series:
            return pd.concat([_typed(t[name], kind) for t in (before, now)], ignore_index=True)

        codes, numbers, texts = {}, {}, {}
        for name, column in contract.columns.items():
            if column.personal or name not in before or name not in now:
                continue
            values = both(name, column.type)
            found, meant = pd.factorize(values)
            codes[name] = found.astype(np.int64)
            if column.type == "string":
                texts[name] = list(map(str, meant))
            else:
                numbers[name] = values.to_numpy(dtype=float)
        task = contract.target.type
        values = both(contract.target.name, "string" if task == "multiclass" else "number")
        label, found = pd.factorize(values, sort=True)
        if task == "multiclass":
            told, classes = np.where(label < 0, np.nan, label), tuple(map(str, found))
        else:
            told = values.to_numpy(dtype=float)
            classes = ("False", "True") if task == "binary" else ()
        return _Rows(len(before), codes, numbers, texts, label.astype(np.int64), told, classes)

    def matrix(self, at: Integers, contract: Contract) -> NDArray[np.float32]:
        """Inputs for trees: numbers as they are, categories as codes, of what varies at all."""
        columns = []
        for name in contract.features:
            if name not in self.codes:
                continue
            codes = self.codes[name]
            if name in self.numbers:
                column = self.numbers[name][at]
            else:
                often = np.bincount(codes + 1) >= RARE
                ranks = np.where(often, np.cumsum(often), 0.0)
                ranks[0] = np.nan  # missing
                column = ranks[codes[at] + 1]
            if len(np.unique(codes[at])) > 1:
                columns.append(np.where(np.isfinite(column), column, np.nan))
        return np.array(columns, dtype=np.float32).reshape(-1, len(at)).T


def _typed(values: pd.Series, kind: str) -> pd.Series:
    """The values as the contract means them, however a file stores them."""
    if kind == "string":
        if isinstance(values.dtype, pd.StringDtype):
            return values
        return values.astype(object).map(str, na_action="ignore")
    if kind == "datetime":
        times = pd.to_datetime(values, errors="coerce", utc=True).astype("datetime64[ns, UTC]")
        return times.astype("int64").astype(float).where(times.notna())
    plain = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
    return pd.to_numeric(plain, errors="coerce").astype("Float64").astype(float)


def _combined(columns: list[Integers], rows: int) -> Integers:
    """One code for what several columns say together."""
    total = np.zeros(rows, dtype=np.int64)
    for codes in columns:
        total = pd.factorize(total * (codes.max(initial=0) + 2) + codes + 1)[0].astype(np.int64)
    return total


def _matches(rows: _Rows, contract: Contract) -> Integers:
    """For each row of the candidate the champion's row of the same key, or -1."""
    keys = _combined([rows.codes[name] for name in contract.key], len(rows.label))
    for whose, part in (("champion", keys[: rows.old]), ("candidate", keys[rows.old :])):
        if len(np.unique(part)) < len(part):
            raise Refused(
                f"The key {', '.join(contract.key)} stands more than once in the {whose}'s "
                "training rows, so it cannot be told what became of which row. Mend the split."
            )
    where = np.full(len(keys) + 1, -1)
    where[keys[: rows.old]] = np.arange(rows.old)
    return where[keys[rows.old :]]


def _balance(rows: _Rows, new: Integers, contract: Contract) -> Estimate | None:
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
    """Of two shares."""
    return normal(a.mean() - b.mean(), float(np.hypot(_error(a), _error(b))), CONFIDENCE)


def _error(flags: Flags, groups: Integers | None = None) -> float:
    """The standard error of a share; not zero when none or all of the rows have it."""
    share = (flags.sum() + 1) / (len(flags) + 2)
    alone = float(np.sqrt(share * (1 - share) / max(len(flags), 1)))
    return alone if groups is None else max(alone, mean_error(flags.astype(float), groups))


def _duplicates(rows: _Rows, new: Integers, contract: Contract) -> tuple[int, float]:
    """New rows like another row of the candidate but for the key, and how many are too many."""
    names = [n for n in contract.features if n in rows.codes and n not in contract.key]
    if not len(new) or not names:
        return 0, 0.0
    alike = _combined([*(rows.codes[name] for name in names), rows.label], len(rows.label))
    old, now = alike[: rows.old], alike[rows.old :]
    copies = np.bincount(now)[alike[new]] > 1
    usual = np.bincount(old)[old] > 1
    if not len(old):
        return int(copies.sum()), float(copies.mean())
    chance = NormalDist().inv_cdf(0.99) * float(np.hypot(_error(copies), _error(usual)))
    return int(copies.sum()), max(0.0, float(copies.mean() - usual.mean()) - chance)


def _outside(
    rows: _Rows, touched: Integers, contract: Contract, *, text: bool
) -> Iterator[Outside]:
    """By column: categories that the champion never saw, or numbers outside the range it saw."""
    for name in dict.fromkeys([*contract.features, *contract.slices]):
        if name not in rows.codes or (name in rows.numbers) == text:
            continue
        codes = rows.codes[name]
        if text:
            known = np.zeros(codes.max(initial=0) + 2, dtype=bool)
            known[codes[: rows.old]] = known[-1] = True  # -1 is missing, no category
            beyond = ~known[codes[touched]]
        else:
            seen = rows.numbers[name][: rows.old]
            seen = seen[~np.isnan(seen)]
            if not len(seen):
                continue
            told = rows.numbers[name][touched]
            beyond = (told < seen.min()) | (told > seen.max())
        if beyond.any():
            yield Outside(name, int(beyond.sum()), len(np.unique(codes[touched][beyond])))


def _doubtful(rows: _Rows, contract: Contract, seed: int) -> float | None:
    """The share of all rows whose label disagrees with a cross-validated prediction."""
    at = np.flatnonzero(np.isfinite(rows.told))
    if len(at) < SMALLEST:
        return None
    scored = np.sort(np.random.default_rng(seed).permutation(at)[:SCORED])
    predicted = _predicted(rows, scored, at, contract, seed)
    if predicted is None:
        return None
    return float(_doubts(rows.told[scored], predicted, rows).mean())


def _predicted(
    rows: _Rows, scored: Integers, pool: Integers, contract: Contract, seed: int
) -> Floats | None:
    """Out-of-fold probabilities (n, classes) or numbers (n,) for the n rows at `scored`.

    Models learn from rows of `pool`, all chosen at the same rate, so that no side is learnt
    better; rows of one group share a fold. None if there is nothing to learn from.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng([seed, 1])
    learnt = np.sort(random.permutation(pool)[:FITTED])
    used = np.union1d(learnt, scored)
    inputs, told = rows.matrix(used, contract), rows.told[used]
    if not inputs.shape[1] or len(np.unique(told[np.isin(used, learnt)])) < 2:
        return None
    if contract.group in rows.codes:
        groups = rows.codes[contract.group][used]
        fold = random.integers(FOLDS, size=groups.max() + 2)[groups]
    else:
        fold = random.permutation(len(used)) % FOLDS
    learns, asked = np.isin(used, learnt), np.isin(used, scored)
    shape = (len(used), len(rows.classes)) if rows.classes else (len(used),)
    predicted = np.zeros(shape)
    steps = max(8, 2 * STEPS // max(len(rows.classes), 2))
    kind = HistGradientBoostingClassifier if rows.classes else HistGradientBoostingRegressor
    for number in range(FOLDS):
        inside, ask = learns & (fold != number), asked & (fold == number)
        if not inside.any() or not ask.any():
            return None
        if len(np.unique(told[inside])) < 2:  # a model needs two
            only = told[inside][0]
            predicted[ask] = np.eye(len(rows.classes))[int(only)] if rows.classes else only
            continue
        model = kind(max_iter=steps, learning_rate=0.2, early_stopping=False, random_state=seed)
        # One thread: as fast on so little, and processes side by side do not wait for each other.
        with threadpool_limits(1, user_api="openmp"):
            model.fit(inputs[inside], told[inside])
        if rows.classes:
            columns = model.classes_.astype(int)
            predicted[np.ix_(ask, columns)] = model.predict_proba(inputs[ask])
        else:
            predicted[ask] = model.predict(inputs[ask])
    return predicted[asked]


def _doubts(told: Floats, predicted: Floats, rows: _Rows, limit: float | None = None) -> Flags:
    """Which of n labels disagree with their prediction.

    predicted: shape (n, classes). For a number, shape (n,): the residual is above the limit.
    """
    if not rows.classes:
        away = np.abs(told - predicted)
        return np.asarray(away > (np.quantile(away, 0.99) if limit is None else limit))
    label = told.astype(np.int64)
    own = predicted[np.arange(len(label)), label]
    counts = np.bincount(label, minlength=len(rows.classes))
    sums = np.bincount(label, weights=own, minlength=len(rows.classes))
    # Nothing can be said to be as sure as a class that has no rows.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    sure = np.where(predicted >= thresholds, predicted, -1.0)
    return np.asarray((sure.max(axis=1) >= 0) & (sure.argmax(axis=1) != label))


@dataclass(frozen=True)
class _Side:
    """Rows with a prediction: where they stand, which are doubted, their groups and direction.

    direction: the label, or for a number whether it lies above its prediction.
    """

    at: Integers
    doubted: Flags
    groups: Integers | None
    direction: Integers

    def contrast(self, inside: Flags, rest: Flags | None) -> tuple[float, float]:
        """The share of doubted rows, less that of the rest if given, and its standard error."""
        share, error = self._share(inside)
        if rest is None:
            return share, error
        other, error_of_other = self._share(rest)
        return share - other, float(np.hypot(error, error_of_other))

    def _share(self, inside: Flags) -> tuple[float, float]:
        groups = None if self.groups is None else self.groups[inside]
        return float(self.doubted[inside].mean()), _error(self.doubted[inside], groups)


@dataclass(frozen=True)
class _Question:
    """A part by its rows on either side. Parts of one family share their spread."""

    name: str
    family: str
    touched: Flags
    old: Flags
    against_rest: bool = False

    def sides(self, inside: Flags, among: Flags | None = None) -> tuple[Flags, Flags | None]:
        """The part's rows and, if it is held against it, its rest; only `among` these rows."""
        within = np.full(len(inside), True) if among is None else among
        return inside & within, ~inside & within if self.against_rest else None


def _disagreement(
    rows: _Rows, touched: Integers, contract: Contract, seed: int
) -> tuple[LabelDoubt, tuple[LabelDoubt, ...]] | str:
    """The disagreement of the touched rows and of their parts, or why there is none."""
    labelled = np.isfinite(rows.told)
    touched, old = touched[labelled[touched]], np.flatnonzero(labelled[: rows.old])
    if min(len(touched), len(old)) < SMALLEST:
        return f"that needs {SMALLEST} labelled rows on either side"
    pool = np.union1d(old, touched)
    random = np.random.default_rng(seed)
    old, touched = (np.sort(random.permutation(at)[:SCORED]) for at in (old, touched))
    scored = np.concatenate([old, touched])
    predicted = _predicted(rows, scored, pool, contract, seed)
    if predicted is None:
        return "the label has one value, or no column that both have tells anything of it"
    told, is_old = rows.told[scored], np.arange(len(scored)) < len(old)
    of_time = _stretches(rows, old, contract)
    limit = None
    if not rows.classes:
        limit = float(np.quantile(np.abs(told - predicted)[is_old], 0.99))
    doubted = np.zeros(len(scored), dtype=bool)
    for alike in (*(np.flatnonzero(of_time == n) for n in np.unique(of_time)), ~is_old):
        doubted[alike] = _doubts(told[alike], predicted[alike], rows, limit)
    direction = (told if rows.classes else told > predicted).astype(np.int64)
    groups = None
    if contract.group in rows.codes:
        groups = rows.codes[contract.group][scored] + 1
    new_side, old_side = (
        _Side(scored[at], doubted[at], None if groups is None else groups[at], direction[at])
        for at in (~is_old, is_old)
    )
    everything = _Question("", "", np.full(len(touched), True), np.full(len(old), True))
    (whole,) = _parts([everything], new_side, old_side, of_time, SPREAD)
    questions = list(_questions(rows, new_side, old_side, contract))
    least = whole.spread / SPREAD  # a part is not steadier than the whole
    return whole, _parts(questions, new_side, old_side, of_time, SPREAD_OF_PARTS, least)


def _stretches(rows: _Rows, old: Integers, contract: Contract) -> Integers:
    """Each old row's stretch of time, of about the same number of rows; one if there is no time."""
    count = min(STRETCHES, len(old) // STRETCH)
    if contract.time not in rows.numbers or count < 3:
        return np.zeros(len(old), dtype=np.int64)
    order = np.argsort(rows.numbers[contract.time][old], kind="stable")
    stretch = np.empty(len(old), dtype=np.int64)
    stretch[order] = np.arange(len(old)) * count // len(old)
    return stretch


def _questions(rows: _Rows, touched: _Side, old: _Side, contract: Contract) -> Iterator[_Question]:
    """By direction of the label, and by slice: all that have enough rows on either side."""
    families = {"label": (touched.direction, old.direction)}
    for column in contract.slices:
        if column in rows.codes:
            families[column] = rows.codes[column][touched.at], rows.codes[column][old.at]
    for family, (of_touched, of_old) in families.items():
        for code in np.flatnonzero(np.bincount(of_touched + 1) >= SMALLEST) - 1:
            inside, before = of_touched == code, of_old == code
            against_rest = family in rows.codes
            counted = [before, *([~inside, ~before] if against_rest else [])]
            if code < 0 or min(map(np.count_nonzero, counted)) < SMALLEST:
                continue
            if family in rows.texts:
                name = rows.texts[family][code]
            elif family in rows.numbers:
                name = f"{rows.numbers[family][touched.at[inside][0]]:g}"
            else:
                name = rows.classes[code] if rows.classes else ("too low", "too high")[code]
            yield _Question(f"{family} {name}", family, inside, before, against_rest)


def _parts(
    questions: list[_Question],
    touched: _Side,
    old: _Side,
    stretches: Integers,
    times: float,
    least: float = 0.0,
) -> tuple[LabelDoubt, ...]:
    """Answers, after what is usual: `times` the deviation between stretches, or `least` if more."""
    spreads = {
        family: times * max(least, _deviation(questions, family, old, stretches))
        for family in {question.family for question in questions}
    }
    values, errors = [], []
    for question in questions:
        now, error_now = touched.contrast(*question.sides(question.touched))
        then, error_then = old.contrast(*question.sides(question.old))
        values.append(now - then - spreads[question.family])
        errors.append(float(np.hypot(error_now, error_then)))
    return tuple(
        LabelDoubt(
            name=question.name,
            rows=int(question.touched.sum()),
            share=float(touched.doubted[question.touched].mean()),
            usual=float(old.doubted[question.old].mean()),
            spread=spreads[question.family],
            excess=excess,
        )
        for question, excess in zip(questions, _after_holm(values, errors), strict=True)
    )


def _deviation(questions: list[_Question], family: str, old: _Side, stretches: Integers) -> float:
    """The standard deviation between stretches of time, beyond chance.

    Pooled over the parts of a family, because one part has few stretches to tell it from.
    """
    count = int(stretches.max()) + 1
    variances = []
    for question in (q for q in questions if q.family == family):
        found = []
        for number in range(count):
            inside, rest = question.sides(question.old, stretches == number)
            if min(inside.sum(), len(inside) if rest is None else rest.sum()) >= RARE:
                found.append(old.contrast(inside, rest))
        if len(found) > 2:
            values, errors = np.array(found).T
            # Of a chi-squared variable: chance alone often gives that much.
            chance = np.square(errors).mean() * (1 + np.sqrt(2 / (len(found) - 1)))
            variances.append(values.var(ddof=1) - chance)
    between = max(0.0, float(np.mean(variances))) if variances else 0.0
    return float(np.sqrt(between * (1 + 1 / count)))


def _after_holm(values: list[float], errors: list[float]) -> list[Estimate]:
    """Intervals whose lower end is above zero where Holm (1979) rejects that nothing is there.

    Steps down from the largest value in units of its error; from the first that is not rejected
    on, all keep its width.
    """
    order = sorted(range(len(values)), key=lambda at: -values[at] / errors[at])
    found = dict[int, Estimate]()
    rank, going = 0, True
    for at in order:
        confidence = 1 - (1 - CONFIDENCE) / (len(values) - rank)
        found[at] = normal(values[at], errors[at], confidence)
        going = going and found[at].low > 0
        rank += going
    return [found[at] for at in range(len(values))]
