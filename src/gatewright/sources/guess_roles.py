"""What a column is for: key, time, group, personal, too good to be true, or an input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

ASKED = 20_000  # rows, drawn at random, for what need not look at all of them
LEAK, STRONG = 0.98, 0.92  # of a column alone: ROC AUC, or the share of a number's variance
FEWEST_GROUPS = 8
ROWS_OF_A_GROUP = 60
# Runs of rows that share a value: so many rows on average, so many values, so many runs of each.
ROWS_OF_A_RUN, MANY_GROUPS, RUNS_OF_A_VALUE = 3, 30, 4
TEXTS = 60  # categories; a text column of more, most of them rare, is no category
_KEY = r"(^|[_ .-])(id|key|uuid|guid|no|nr|num|number|index|idx|rowname|rownames|row)$|^unnamed|id$"
_WHO = (  # somebody or something that has rows of its own, by the whole name of a column
    r"^(the_)?(customer|client|user|member|patient|subject|person|respondent|participant|player|"
    r"employee|student|household|family|account|card|device|machine|unit|sensor|engine|store|shop|"
    r"school|company|firm|merchant|driver|vehicle|plot|site|station|animal|chick|rat|group|cluster)"
    r"s?([_ .-]?(id|no|nr|num|number|key|code|name|uuid))?$"
)
_WHEN = r"date|time|day|month|timestamp|moment|created|at$|when|start|period|datum|zeit"
_BIRTH = r"birth|dob|geburt|born"
_NAMED = {  # by the name of a column
    "a name": r"(^|[_ .-])((first|last|full|sur|given|family|middle|customer|patient|user|person)"
    r"[_ .-]?)?name$|^(surname|forename|vorname|nachname|lastname|firstname|username|login)$",
    "an e-mail address": r"(^|[_ .-])e[-_ ]?mail",
    "a telephone number": r"phone|telefon|(^|[_ .-])(tel|fax|mobile)([_ .-]?(no|nr|number))?$",
    "an address": r"street|address|adresse|strasse|straße|postcode|postal|(^|[_ .-])zip",
    "a number of a person": r"ssn|social.?security|passport|iban|credit.?card|tax.?id|national.?id|"
    r"license.?plate|insurance.?(no|number|id)",
    "a date of birth": _BIRTH,
    "an address on the net": r"(^|[_ .-])ip([_ .-]|$)|ip.?address|mac.?address",
    "a place on the map": r"^(lat|lon|long|lng|latitude|longitude)$|gps",
}
_WRITTEN = {  # by what most values look like
    "an e-mail address": r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}",
    "a telephone number": r"\+?\(?\d{2,4}\)?([ /-]\(?\d{2,5}\)?){2,}",
    "an address on the net": r"\d{1,3}(\.\d{1,3}){3}",
    "a number of a person": r"\d{3}-\d{2}-\d{4}|[A-Z]{2}\d{2}[A-Z0-9]{11,30}",
}
_GROUPS_OF_PEOPLE = (
    r"^(sex|gender|geschlecht|race|ethnic\w*|religion|nationality|disab\w*|age.?group|"
    r"marital.?status|foreign.?worker|native.?country)$"
)


@dataclass(frozen=True)
class Guess:
    """What was guessed, by what evidence. matters: a person should confirm it."""

    value: str
    evidence: str
    matters: bool = False


@dataclass(frozen=True)
class Roles:
    """The roles of a table's columns. `withheld`: columns that the model does not get, and why."""

    key: tuple[str, ...]
    digest: bool  # the key is a digest of the row
    time: str | None
    group: str | None
    why: dict[str, Guess] = field(default_factory=dict)  # of key, time, group
    personal: dict[str, Guess] = field(default_factory=dict)
    leaks: dict[str, Guess] = field(default_factory=dict)
    withheld: dict[str, Guess] = field(default_factory=dict)
    strong: dict[str, Guess] = field(default_factory=dict)
    people: tuple[str, ...] = ()  # columns of groups of people


def _matches(pattern: str, name: str) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)  # customerID, dateOfBirth
    return bool(re.search(pattern, spaced.casefold()))


def guess_personal(rows: pd.DataFrame, names: Iterable[str]) -> dict[str, Guess]:
    """Columns that probably tell who a person is, by their names or by what they hold."""
    found = {}
    for name in names:
        values = rows[name]
        for what, pattern in _NAMED.items():
            if _matches(pattern, name) and _could_be(what, values):
                found[name] = Guess("personal", f"its name says {what}", True)
        if values.dtype != object and str(values.dtype) != "str":
            continue
        texts = values.dropna().astype("str")
        texts = texts.sample(min(len(texts), 500), random_state=0)
        for what, pattern in _WRITTEN.items():
            if len(texts) and texts.str.fullmatch(pattern).mean() > 0.8:
                found[name] = Guess("personal", f"its values look like {what}", True)
    return found


def _could_be(what: str, values: pd.Series) -> bool:
    """Whether the values could be what the name says: a name is a text, and one of many."""
    is_text = str(values.dtype) in ("str", "object")
    if what == "a name":
        return is_text and values.nunique() > max(20, 0.1 * len(values))
    if what == "a date of birth":
        return values.dtype.kind == "M" or is_text
    return bool(values.nunique() > 20)


def guess_people(names: Iterable[str]) -> tuple[str, ...]:
    """Columns that name groups of people."""
    return tuple(name for name in names if _matches(_GROUPS_OF_PEOPLE, name))


def guess_key(rows: pd.DataFrame, names: Sequence[str]) -> tuple[tuple[str, ...], Guess]:
    """The columns that tell rows apart; none if only the whole row does."""
    whole = [
        name for name in names if rows[name].dtype.kind in "iuMO" or str(rows[name].dtype) == "str"
    ]
    whole = [name for name in whole if not rows[name].isna().any()]
    counts = {name: rows[name].nunique() for name in whole}
    single = [name for name in whole if counts[name] == len(rows)]
    named = [name for name in single if _matches(_KEY, name)]
    rest = [name for name in single if name not in named and _is_label(rows[name])]
    for name in (*named, *rest):
        return (name,), Guess(name, "no two rows have the same value")
    hinted = [
        name
        for name in whole
        if counts[name] > 1
        and (
            _matches(_KEY, name)
            or _matches(_WHO, name)
            or _matches(_WHEN + "|year|jahr", name)
            or rows[name].dtype.kind == "M"
        )
    ]
    texts = [name for name in whole if str(rows[name].dtype) == "str" and name not in hinted]
    few = sorted(hinted, key=lambda n: -counts[n])[:8] + texts[:3]
    for size in (2, 3):
        for names_of in combinations(few, size):
            if not set(names_of) & set(hinted):
                continue
            if np.prod([float(counts[n]) for n in names_of]) < len(rows):
                continue
            if not rows.duplicated(list(names_of)).any():
                words = f"no two rows have the same {' and '.join(names_of)}"
                return names_of, Guess(", ".join(names_of), words, True)
    words = (
        "no column tells rows apart, so a digest of the row does: a row that comes again is known"
    )
    return (), Guess("row_id", words, True)


def _is_label(values: pd.Series) -> bool:
    """Whether unique values are labels, and not amounts that happen to differ."""
    if values.dtype.kind in "iu":
        return bool(int(values.max()) - int(values.min()) + 1 == len(values))
    if values.dtype.kind == "M":
        return True
    return str(values.dtype) == "str" and float(values.str.len().mean()) < 40


def guess_time(rows: pd.DataFrame, names: Sequence[str]) -> Guess | None:
    """The column that says when a row was; a date of birth does not."""
    dates = [name for name in names if rows[name].dtype.kind == "M" and not _matches(_BIRTH, name)]
    dates = [name for name in dates if not rows[name].isna().any() and rows[name].nunique() >= 20]
    if not dates:
        return None
    best = max(dates, key=lambda n: (_matches(_WHEN, n), rows[n].nunique()))
    low, high = rows[best].min(), rows[best].max()
    others = f"; so could {', '.join(n for n in dates if n != best)}" if len(dates) > 1 else ""
    words = f"from {low:%Y-%m-%d} to {high:%Y-%m-%d}, in every row{others}"
    return Guess(best, words, True)


def guess_group(rows: pd.DataFrame, names: Sequence[str], key: Sequence[str]) -> Guess | None:
    """The column whose rows belong together, like those of one customer."""
    found = []
    for name in names:
        values = rows[name]
        if values.dtype.kind not in "iuO" and str(values.dtype) != "str":
            continue
        if list(key) == [name] or not _matches(f"{_WHO}|(^|[_ .-])(id|uuid|guid|key)$", name):
            continue
        count = values.nunique()
        if values.isna().any() or not FEWEST_GROUPS <= count <= len(rows) / 1.5:
            continue
        if len(rows) > ROWS_OF_A_GROUP * count:
            continue  # a category that a model can learn, like one of nine shops
        found.append((count, name))
    if not found:
        return _group_by_runs(rows, names, key)
    count, name = max(found)
    words = f"{count:,} values in {len(rows):,} rows, and a name like that of somebody or something"
    return Guess(name, words, True)


def _group_by_runs(rows: pd.DataFrame, names: Sequence[str], key: Sequence[str]) -> Guess | None:
    """The column whose values stand together in runs, as the positions of one storm do.

    A table that is only sorted by a column looks so, too. So the values must be many texts, or
    have the name of an identifier, in no order; or another column counts up within each run and
    starts again.
    """
    found = []
    for name in names:
        values = rows[name]
        is_text = str(values.dtype) == "str"
        if list(key) == [name] or values.isna().any() or not (is_text or values.dtype.kind in "iu"):
            continue
        if _matches(_WHEN + "|year|jahr|week|hour", name):
            continue
        count, starts = values.nunique(), (values != values.shift()).to_numpy()
        runs = int(starts.sum())
        if count < FEWEST_GROUPS or runs > RUNS_OF_A_VALUE * count:
            continue
        if not ROWS_OF_A_RUN <= len(rows) / runs <= ROWS_OF_A_GROUP:
            continue
        heads = values[starts]
        in_order = heads.is_monotonic_increasing or heads.is_monotonic_decreasing
        named = is_text or _matches(_KEY, name)
        words = f"{count:,} values in {runs:,} runs of {len(rows) / runs:.0f} rows on average"
        if clock := _starts_again(rows, [n for n in names if n != name], starts):
            found.append((runs, name, f"{words}; in each, {clock} counts up from its start"))
        elif named and count >= MANY_GROUPS and not in_order:
            found.append((runs, name, f"{words}, in no order"))
    if not found:
        return None
    _, name, words = max(found)
    return Guess(name, words, True)


def _starts_again(rows: pd.DataFrame, names: Iterable[str], starts: np.ndarray) -> str | None:
    """The first column of numbers or dates that rises within nearly all runs, and falls between."""
    for name in names:
        values = rows[name]
        if values.dtype.kind not in "iufM" or values.isna().any():
            continue
        numbers = values.astype("int64") if values.dtype.kind == "M" else values
        steps = np.diff(numbers.to_numpy(dtype=float))
        between = starts[1:]
        if (steps[~between] > 0).mean() >= 0.98 and (steps[between] < 0).mean() >= 0.9:
            return name
    return None


def guess_withheld(rows: pd.DataFrame, names: Iterable[str]) -> dict[str, Guess]:
    """Columns that no model should learn by heart: identifiers, prose, dates."""
    found = {}
    for name in names:
        values = rows[name]
        known = values.dropna()
        count = known.nunique()
        if values.dtype.kind == "M":
            found[name] = Guess("a date", "models get its weekday, month and hour")
        elif str(values.dtype) == "str":
            if float(known.str.len().mean()) > 60:
                found[name] = Guess("prose", "texts are not read by these models")
            elif count > TEXTS and count > 0.3 * len(known):
                found[name] = Guess("an identifier", f"{count:,} values in {len(known):,} rows")
        elif values.dtype.kind in "iu" and count > 0.9 * len(known):
            found[name] = Guess("an identifier", f"{count:,} values in {len(known):,} rows")
    return found


def are_amounts(values: pd.Series, name: str) -> bool:
    """Whether whole numbers that hardly repeat are amounts: no names of rows, which lie closely."""
    known = values.dropna()
    if _matches(_KEY, name) or known.nunique() <= 0.9 * len(known):
        return False
    return bool(known.max() - known.min() > 3 * len(known))


def guess_leaks(
    rows: pd.DataFrame, names: Iterable[str], target: pd.Series, is_number: bool
) -> tuple[dict[str, Guess], dict[str, Guess]]:
    """Columns that tell the target all by themselves, and those that nearly do.

    Each is asked alone: a small tree, judged on rows that it did not see.
    """
    at = np.random.default_rng(0).permutation(len(rows))[:ASKED]
    told = target.iloc[at]
    leaks: dict[str, Guess] = {}
    strong: dict[str, Guess] = {}
    for name in names:
        score = alone(rows[name].iloc[at], told, is_number)
        if score is None or score < STRONG:
            continue
        words = "share of the variance" if is_number else "ROC AUC"
        guess = Guess(f"{score:.3f}", f"it alone reaches {score:.3f} ({words})", True)
        (leaks if score >= LEAK else strong)[name] = guess
    return leaks, strong


def alone(values: pd.Series, target: pd.Series, is_number: bool, seed: int = 0) -> float | None:
    """How well one column tells the target: ROC AUC (of many classes the mean, one against the
    rest), or R², of a tree of at most 16 leaves on the third of the rows that it did not see.
    """
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    numbers = as_numbers(values)
    fold = np.random.default_rng(seed).permutation(len(numbers)) % 3
    learn, ask = fold != 0, fold == 0
    if learn.sum() < 30:
        return None
    leaf = max(2, int(learn.sum()) // 200)
    kind = DecisionTreeRegressor if is_number else DecisionTreeClassifier
    tree = kind(max_leaf_nodes=16, min_samples_leaf=leaf, random_state=0)
    inputs = numbers.reshape(-1, 1)
    truth = target.to_numpy()
    try:
        tree.fit(inputs[learn], truth[learn])
        if is_number:
            return float(r2_score(truth[ask], tree.predict(inputs[ask])))
        given = tree.predict_proba(inputs[ask])
        if len(tree.classes_) == 2:
            return float(roc_auc_score(truth[ask], given[:, 1]))
        return float(roc_auc_score(truth[ask], given, multi_class="ovr", labels=tree.classes_))
    except ValueError:  # a class that only one side has
        return None


def as_numbers(values: pd.Series) -> np.ndarray:
    """A column as numbers that a tree can cut; categories ordered by how often they are."""
    if values.dtype.kind in "iuf":
        return np.asarray(values, dtype=float)
    if values.dtype.kind == "M":
        found = values.to_numpy(dtype="datetime64[s]").astype(float)
        return np.where(values.isna(), np.nan, found)
    counts = values.value_counts()
    order = {value: at for at, value in enumerate(counts.index)}
    return np.asarray(values.map(order), dtype=float)
