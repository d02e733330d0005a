"""Whether the labels of training rows look tampered with.

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
third with 1,400 new ones of a noisy target (benchmarks/poisoning.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gatewright.contract.schema import Contract
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.intervals import normal, share_error
from gatewright.evaluation.predictions import Floats
from gatewright.evaluation.training_rows import Flags, Integers, TrainingRows

CONFIDENCE = 0.99  # as this is asked at each update
SMALLEST = 200  # rows; a share of fewer says nothing
FOLDS = 3
FITTED = 60_000  # rows that the models learn from, each fold's from all but its own
SCORED = 40_000  # rows of either side that get a prediction
STEPS = 40  # of boosting
STRETCHES = 8  # of time, into which the champion's rows are cut
STRETCH = 500  # rows; what shorter ones differ by is chance
SPREAD, SPREAD_OF_PARTS = 1.0, 2.5  # standard deviations that are usual; of many, one is farther
FEWEST = 50  # rows of a stretch of time that has a part


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


def doubtful_share(rows: TrainingRows, contract: Contract, seed: int) -> float | None:
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
    rows: TrainingRows, scored: Integers, pool: Integers, contract: Contract, seed: int
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


def _doubts(
    told: Floats, predicted: Floats, rows: TrainingRows, limit: float | None = None
) -> Flags:
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
        return float(self.doubted[inside].mean()), share_error(self.doubted[inside], groups)


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


def label_disagreement(
    rows: TrainingRows, touched: Integers, contract: Contract, seed: int
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


def _stretches(rows: TrainingRows, old: Integers, contract: Contract) -> Integers:
    """Each old row's stretch of time, of about the same number of rows; one if there is no time."""
    count = min(STRETCHES, len(old) // STRETCH)
    if contract.time not in rows.numbers or count < 3:
        return np.zeros(len(old), dtype=np.int64)
    order = np.argsort(rows.numbers[contract.time][old], kind="stable")
    stretch = np.empty(len(old), dtype=np.int64)
    stretch[order] = np.arange(len(old)) * count // len(old)
    return stretch


def _questions(
    rows: TrainingRows, touched: _Side, old: _Side, contract: Contract
) -> Iterator[_Question]:
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
            if min(inside.sum(), len(inside) if rest is None else rest.sum()) >= FEWEST:
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
