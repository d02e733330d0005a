"""Rows in, answers out; the same for the gate, the reports and, later, the API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatewright.adapters.model_file import Model, allowed_types, load_model
from gatewright.adapters.tables import read_parquet
from gatewright.contract.schema import Column, Contract
from gatewright.errors import Refused
from gatewright.paths import BASELINE, MODEL, TEST

Floats = NDArray[np.float64]
Truth = NDArray[Any]
_KINDS = {"string": "str", "boolean": "bool", "datetime": "datetime64[ms]", "number": float}
NUMBER = "row number"  # in the test set; it stands for the key where others may read
BATCH = 250_000  # rows scored at once, so that memory does not grow with what a model copies


@dataclass(frozen=True)
class Answers:
    """What a model says of n rows.

    scores: shape (n,), the probability of the event or the predicted number; for a multiclass
    target (n, classes), in the contract's order.
    labels: shape (n,), the code of the class that the model recommends (0 and 1 for a binary
    target, with the model's own threshold); for a regression the predicted number.
    """

    scores: Floats
    labels: NDArray[Any]

    def __getitem__(self, rows: Any) -> "Answers":
        return Answers(self.scores[rows], self.labels[rows])

    def copied(self, what: str) -> NDArray[Any]:
        """A copy of `scores` or `labels` for somebody's code; labels as integers to compute with.

        Here they are held in the smallest type, in which 1 - 2 is 255.
        """
        values = np.asarray(getattr(self, what))
        return values.astype(np.int64 if values.dtype.kind in "iu" else values.dtype)


def read_rows(path: Path, contract: Contract) -> pd.DataFrame:
    """Labelled rows with at least the contract's features and target.

    Raises Refused for rows with a column that the contract calls personal: it ends at data/raw.
    Where a gate judges, that is its contract, which the live version's is part of.
    """
    rows = read_parquet(path)
    if personal := [n for n, column in contract.columns.items() if column.personal and n in rows]:
        raise Refused(
            f"{path} has the columns {', '.join(personal)}, which the contract calls personal: "
            "nothing that is stored with a version may hold them. Drop them where the stage that "
            "writes the file reads data/raw, and run `uv run mlops run`."
        )
    return labelled(rows, contract, str(path))


def labelled(rows: pd.DataFrame, contract: Contract, name: str) -> pd.DataFrame:
    """The rows, if they have all that the contract needs to measure a model on them."""
    needed = [*contract.features, contract.target.name]
    if absent := [column for column in needed if column not in rows]:
        raise Refused(f"{name} lacks the columns {', '.join(absent)} of contract.yaml.")
    if rows[contract.target.name].isna().any():
        raise Refused(f"{name} has rows without a label; a model cannot be measured on them.")
    return rows


def truth(rows: pd.DataFrame, contract: Contract) -> Truth:
    """What came true, shape (n,): True for the event, the code of the class, or the number."""
    values = rows[contract.target.name]
    if contract.target.type == "regression":
        return np.asarray(values, dtype=float)
    if contract.target.type == "binary":
        return np.asarray(values, dtype=bool)
    codes = pd.Categorical(values, categories=list(contract.classes)).codes.astype(np.int64)
    if (codes < 0).any():
        raise Refused(f"Labels are not among the classes of contract.yaml: {contract.classes}.")
    return np.asarray(codes)


def answer(model: Model, rows: pd.DataFrame, contract: Contract, name: str) -> Answers:
    """The model's answers for all rows, checked against the contract.

    Raises Refused if it fails, or if an answer is missing, no number or out of range.
    """
    if absent := [column for column in contract.features if column not in rows]:
        raise Refused(
            f"The {name} needs the columns {', '.join(absent)}, which the test set lacks. Keep "
            "them in contract.yaml with `feature: false` until no live model needs them."
        )
    inputs = rows[contract.features]
    starts = range(0, len(rows), BATCH) or [0]
    try:
        parts = [_raw(model, inputs[at : at + BATCH], contract, name) for at in starts]
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"The {name} fails on the test rows: {error}") from error
    scores, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Answers(_allowed(scores, contract, name), labels)


def _raw(
    model: Any, inputs: pd.DataFrame, contract: Contract, name: str
) -> tuple[Floats, NDArray[Any]]:
    if contract.target.type == "regression":
        numbers = np.asarray(model.predict(inputs), dtype=float)
        if numbers.shape != (len(inputs),):
            raise Refused(f"The {name} gives shape {numbers.shape}, not one number a row.")
        return numbers, numbers
    if not hasattr(model, "predict_proba"):
        raise Refused(f"The {name} is no classifier with probabilities; choose one that is.")
    scores = np.asarray(model.predict_proba(inputs), dtype=float)
    wanted = contract.classes
    if scores.shape != (len(inputs), len(wanted)):
        raise Refused(f"The {name} gives shape {scores.shape}, not one probability a class.")
    known = np.asarray(model.classes_)
    if set(known.tolist()) != set(wanted):
        raise Refused(f"The {name} knows the classes {known.tolist()}, not those of contract.yaml.")
    codes = np.array([wanted.index(value) for value in known.tolist()], _code_type(contract))
    scores = scores[:, np.argsort(codes)]
    event = np.ascontiguousarray(scores[:, 1] if len(wanted) == 2 else scores)
    if event.ndim == 1 and (threshold := _threshold(model)) is not None:
        return event, (event >= threshold).astype(codes.dtype)  # without asking it again
    said = np.asarray(model.predict(inputs)).astype(known.dtype)
    return event, codes[np.searchsorted(known, said)]  # classes_ is sorted


def _threshold(model: Any) -> float | None:
    """Where a model cuts its probability of the event, if that is all it does to recommend."""
    from sklearn.model_selection import FixedThresholdClassifier

    plain = isinstance(model, FixedThresholdClassifier) and model.pos_label is None
    if not plain or model.response_method != "predict_proba":
        return None
    return model.threshold if isinstance(model.threshold, float) else None


def offered_answers(answers: Mapping[str, Answers], contract: Contract) -> pd.DataFrame:
    """The answers of `score` by number of the row, not by key: anybody may read an artifact."""
    columns = dict(_flat(answers, contract))
    count = len(next(iter(columns.values())))
    return pd.DataFrame({NUMBER: np.arange(count), **columns})


def in_classes(said: Answers, of: Contract, wanted: Contract, name: str) -> Answers:
    """What a model says, whose contract is `of`, as scores and codes of the classes `wanted`.

    A class that the model does not know has no probability. Raises Refused if it knows another.
    """
    if of.classes == wanted.classes:
        return said
    if not of.classes or set(of.classes) - set(wanted.classes):
        raise Refused(
            f"The {name} tells {', '.join(map(str, of.classes)) or 'a number'}, and contract.yaml "
            f"asks for {', '.join(map(str, wanted.classes)) or 'a number'}, so they cannot be "
            "compared. Keep its classes, or let an exception of gates.yaml say why they go."
        )
    codes = np.array([wanted.classes.index(value) for value in of.classes])
    scores = np.zeros((len(said.scores), len(wanted.classes)))
    scores[:, codes] = said.scores
    return Answers(scores, codes.astype(_code_type(wanted))[said.labels])


def told_answers(
    path: Path, rows: pd.DataFrame, test: pd.DataFrame, contract: Contract, names: tuple[str, ...]
) -> dict[str, Answers]:
    """Answers for the rows, by model, from a table that `offered_answers` made elsewhere.

    `test` is the test set whose rows are numbered in it; `rows` are found there by their keys.
    """
    key, table = list(contract.key), read_parquet(path)
    columns = [column for name in names for column in _columns(name, contract)]
    if absent := [column for column in (NUMBER, *columns) if column not in table]:
        raise Refused(f"The table of predictions lacks the columns {', '.join(absent)}.")
    if not _numbered(table[NUMBER], len(test)):
        raise Refused("The table of predictions does not answer once for each row of the test set.")
    if test.duplicated(key).any():
        raise Refused(
            "The test set holds a key more than once, so nobody knows which was answered."
        )
    names_of_key = range(len(key))  # a column of the key may be called anything
    numbered = test[key].set_axis(names_of_key, axis=1).assign(**{NUMBER: np.arange(len(test))})
    asked = rows[key].set_axis(names_of_key, axis=1)
    at = asked.merge(numbered, on=list(names_of_key), how="left", validate="one_to_one")[NUMBER]
    joined = table.set_index(NUMBER)[columns].reindex(at)
    answers = {}
    for name in names:
        *scores, labels = _columns(name, contract)
        told = joined[scores].to_numpy(dtype=float, na_value=np.nan)
        told = told if len(scores) > 1 else told[:, 0]
        said = joined[labels].to_numpy(dtype=float, na_value=np.nan)
        said = said if contract.target.type == "regression" else _codes(said, contract, name)
        answers[name] = Answers(_allowed(told, contract, name), said)
    return answers


def _numbered(numbers: "pd.Series[Any]", count: int) -> bool:
    """Whether each number of a row stands there once."""
    if not pd.api.types.is_integer_dtype(numbers):
        return False
    found = np.sort(numbers.to_numpy(dtype=float, na_value=np.nan))
    return bool(np.array_equal(found, np.arange(count)))


def _codes(said: Floats, contract: Contract, name: str) -> NDArray[Any]:
    if not np.isin(said, range(len(contract.classes))).all():
        raise Refused(f"The {name} recommends what is no class of the contract, so it is not told.")
    return said.astype(_code_type(contract))


def _code_type(contract: Contract) -> np.dtype[Any]:
    """The smallest type of integers that holds the codes of all classes."""
    return np.min_scalar_type(len(contract.classes))


def _columns(name: str, contract: Contract) -> list[str]:
    """The columns of one model in a table of predictions: its scores, and what it recommends."""
    if contract.target.type == "multiclass":
        return [*(f"{name} {value}" for value in contract.classes), f"{name} recommends"]
    return [name, name if contract.target.type == "regression" else f"{name} recommends"]


def _allowed(scores: Floats, contract: Contract, name: str) -> Floats:
    allowed = contract.prediction
    good = (scores >= allowed.min) & (scores <= allowed.max)
    if wrong := int((~(good if good.ndim == 1 else good.all(axis=1))).sum()):
        raise Refused(
            f"{wrong} of {len(scores)} predictions of the {name} are missing or no numbers between "
            f"{allowed.min:g} and {allowed.max:g}, so it cannot be measured."
        )
    return scores


def score(root: Path, contract: Contract) -> tuple[pd.DataFrame, Mapping[str, Answers]]:
    """The answers of candidate and baseline for the test rows, also as a table with the key."""
    rows, allowed = read_rows(root / TEST, contract), allowed_types(root)
    answers = {
        name: answer(load_model(root / path, allowed), rows, contract, name)
        for name, path in (("candidate", MODEL), ("baseline", BASELINE))
    }
    table = rows[list(contract.key)].assign(**dict(_flat(answers, contract)))
    return table, answers


def _flat(answers: Mapping[str, Answers], contract: Contract) -> Iterable[tuple[str, NDArray[Any]]]:
    for name, said in answers.items():
        columns = _columns(name, contract)
        for at, column in enumerate(columns[:-1]):
            yield column, said.scores if said.scores.ndim == 1 else said.scores[:, at]
        if contract.target.type != "regression":
            yield columns[-1], said.copied("labels")


def request_rows(
    requests: list[dict[str, Any]], contract: Contract, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """A table of requests, shape (n, features) or of the columns `names`, as the contract types it.

    A missing text or truth value is None or nan, as it is in a table that was read, and whole
    numbers of which one is missing are floats: not all models take pandas' own missing value.
    """
    rows = pd.DataFrame(requests, columns=list(names or contract.features))
    gaps = rows.isna().any()
    return rows.astype({n: _kind(contract.columns[n], bool(gaps[n])) for n in rows})


def _kind(column: Column, has_gaps: bool) -> Any:
    if column.type == "boolean" and column.nullable:
        return object
    if column.type == "integer":
        return "float64" if column.nullable and has_gaps else "int64"
    return _KINDS[column.type]
