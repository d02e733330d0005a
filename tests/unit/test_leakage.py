"""Each way in which an answer leaks is found alone; honest rows leak nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, make_rows

from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import measure
from gatewright.evaluation.leakage import find_leakage
from gatewright.evaluation.metrics import chosen
from gatewright.evaluation.new_columns import NewColumns
from gatewright.evaluation.predictions import Answers
from gatewright.gate.checks.base import Finding
from gatewright.gate.checks.leakage import LeakageCheck
from gatewright.paths import MODEL, TEST
from gatewright.pipeline.dvc_lock import Lock

LABEL = "  label: {type: string, description: Its label}\n"
PIECES = "  pieces: {type: integer, description: How many}\n"
BASE = parse_contract(CONTRACT + LABEL + PIECES)


class Split:
    """Training and test rows of a honest split by time."""

    def __init__(self, n: int = 4000, seed: int = 0) -> None:
        rows = make_rows(n, seed=seed).drop(columns="email")
        draw = np.random.default_rng(seed)
        rows["label"] = draw.choice(["red", "blue", "green"], n)
        rows["pieces"] = draw.integers(1, 9, n)
        self.train, self.test = rows[: n // 2].copy(), rows[n // 2 :].copy()
        self.contract: Contract = BASE
        self.lock = Lock({}, {}, {}, {MODEL: ("data/split/train.parquet",)})
        self.scores = draw.random(n - n // 2)

    def ask(self, **settings: Any) -> list[Finding]:
        truth = self.test["broken"].to_numpy(dtype=bool)
        said = {"candidate": Answers(self.scores, (self.scores > 0.5).astype(int))}
        metrics = chosen(self.contract, (), {})
        return list(
            LeakageCheck.check(
                LeakageCheck.Settings(**settings),
                find_leakage(self.train, self.test, self.contract),
                self.contract,
                self.lock,
                measure(truth, said, metrics, resamples=200),
                None,
                None,
                NewColumns(),
            )
        )


def reveal(split: Split) -> None:
    for side in (split.train, split.test):
        side["height"] = side["broken"] + np.random.default_rng(1).normal(0, 0.1, len(side))


def reveal_by_category(split: Split) -> None:
    for side in (split.train, split.test):
        side["label"] = np.where(side["broken"], "returned", "kept")


def number_the_rows(split: Split) -> None:
    for side in (split.train, split.test):
        side["label"] = "parcel " + side["number"].astype(str)


def count_the_rows(split: Split) -> None:
    for side in (split.train, split.test):
        side["pieces"] = side["number"]


def use_the_key(split: Split) -> None:
    split.contract = parse_contract(
        (CONTRACT + LABEL + PIECES).replace("Its number, min: 0, feature: false", "Its number")
    )


def repeat_test_rows(split: Split) -> None:
    copies = split.test.head(100).assign(number=lambda rows: rows["number"] + 10_000)
    split.train = pd.concat([split.train, copies.assign(sent=split.train["sent"].iloc[0])])


def repeat_them_nearly(split: Split) -> None:
    copies = split.test.head(400).assign(number=lambda rows: rows["number"] + 10_000)
    copies["height"] += 0.001
    split.train = pd.concat([split.train, copies.assign(sent=split.train["sent"].iloc[0])])


def train_on_later_rows(split: Split) -> None:
    split.train, split.test = split.test, split.train


def train_on_the_test_set(split: Split) -> None:
    split.lock = Lock({}, {}, {}, {MODEL: (TEST,)})


def be_too_good(split: Split) -> None:
    split.scores = np.where(split.test["broken"], 0.9, 0.1)


WAYS: dict[str, tuple[Callable[[Split], None], str, str]] = {
    "a number that tells": (reveal, "height", "tells the target by itself"),
    "a category that tells": (reveal_by_category, "label", "tells the target by itself"),
    "text that names rows": (number_the_rows, "label", "names rows"),
    "a number that names rows": (count_the_rows, "pieces", "names rows"),
    "the key": (use_the_key, "number", "names rows"),
    "the same rows": (repeat_test_rows, "duplicates", "the same features and label"),
    "nearly the same rows": (repeat_them_nearly, "duplicates", "them within 0.05"),
    "later rows": (train_on_later_rows, "sent", "later than the first test row"),
    "a stage that reads the test set": (train_on_the_test_set, "dvc.lock", f"reads {TEST}"),
    "too good": (be_too_good, "roc_auc", "better than anybody believes"),
}


@pytest.mark.parametrize(("leak", "subject", "words"), WAYS.values(), ids=WAYS.keys())
def test_each_leak_is_found_alone(leak: Callable[[Split], None], subject: str, words: str) -> None:
    split = Split()
    leak(split)
    refused = [f for f in split.ask(too_good={"roc_auc": 0.98}) if f.status == "refuse"]
    assert {f.subject for f in refused} == {subject}
    assert words in refused[0].message


@pytest.mark.parametrize("seed", range(10))
def test_honest_rows_leak_nothing(seed: int) -> None:
    findings = Split(seed=seed).ask(too_good={"roc_auc": 0.98})
    assert [f.status for f in findings] == ["pass"]
    assert "no column tells the target; the strongest" in findings[0].message


def test_the_policy_may_allow_later_rows() -> None:
    split = Split()
    train_on_later_rows(split)
    findings = split.ask(time_order="allow")
    assert {f.status for f in findings} == {"pass"}
    assert "leakage.time_order allows it" in findings[0].message


def test_a_number_is_told_by_r2() -> None:
    split = Split()
    text = CONTRACT.replace("{name: broken,", "{name: broken, type: regression,")
    text = text.replace("it arrives broken.}", "it arrives broken., min: -9, max: 9}", 1)
    split.contract = parse_contract(text + LABEL + PIECES)
    for side in (split.train, split.test):
        side["broken"] = side["broken"].astype(float) + side["height"]
    honest = find_leakage(split.train, split.test, split.contract)
    assert honest.alone["height"] < 0.95
    for side in (split.train, split.test):
        side["height"] = side["broken"]
    assert find_leakage(split.train, split.test, split.contract).alone["height"] > 0.99


def test_one_class_cannot_be_tried() -> None:
    split = Split()
    split.train["broken"] = True
    assert "cannot be tried" in next(f.message for f in split.ask() if f.status == "refuse")


def test_a_column_that_is_known_afterwards_is_no_feature() -> None:
    late = "  refunded: {type: boolean, description: Money went back, afterwards: true}\n"
    with pytest.raises(Refused, match=r"line \d+: columns.refunded: .*needs `feature: false`"):
        parse_contract(CONTRACT + late)
    allowed = parse_contract(CONTRACT + late.replace("afterwards", "feature: false, afterwards"))
    assert "refunded" not in allowed.features


@pytest.mark.parametrize("limit", [{"brier_score": 0.1}, {"auc": 0.9}])
def test_too_good_is_for_metrics_that_rise(limit: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"too_good is for metrics that rise|unknown metrics"):
        LeakageCheck.Settings(too_good=limit)
