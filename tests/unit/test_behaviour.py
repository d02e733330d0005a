"""What people expect of a model, and what it costs to run: each rule turns red alone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, Project, make_model, make_rows

from gatewright.adapters.model_file import allowed_types
from gatewright.contract.schema import parse_contract
from gatewright.evaluation import operations, predictions
from gatewright.evaluation.behaviour import requested, share
from gatewright.evaluation.predictions import answer
from gatewright.gate.checks.base import Finding
from gatewright.gate.checks.behaviour import BehaviourCheck, Expectation
from gatewright.gate.checks.operations import OperationsCheck
from gatewright.gate.inputs import Sampling
from gatewright.registry.champion import Champion

BASE = parse_contract(
    CONTRACT
    + "  colour: {type: string, description: Its colour}\n"
    + "  pieces: {type: integer, description: How many, nullable: true, min: 1, max: 9}\n"
)


def some_rows(n: int = 400) -> pd.DataFrame:
    rows = make_rows(n).drop(columns="email")
    rows["colour"] = np.where(rows.index % 3 == 0, "red", "blue")
    rows["pieces"] = rows.index % 9 + 1
    return rows


class Fake:
    """Answers as the heavier the riskier, and as steadily as one lets it."""

    classes_ = np.array([False, True])

    def __init__(self, **faults: bool) -> None:
        self.faults = faults
        self.draw = np.random.default_rng(0)

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        event = 1 / (1 + np.exp(-rows["weight"].fillna(0).astype(float).to_numpy()))
        if self.faults.get("one answer"):
            event = np.full(len(rows), 0.3)
        if self.faults.get("restless"):
            event = event * (1 - 0.01 * self.draw.random())
        if self.faults.get("by batch"):
            event = event * (0.9 if len(rows) == 1 else 1)
        if self.faults.get("by order"):
            event = event * np.linspace(0.9, 1, len(rows))
        if self.faults.get("by size"):
            event = event * (0.9 if len(rows) > 200 else 1)
        if self.faults.get("missing is NaN"):
            event = np.where(rows["weight"].isna(), np.nan, event)
        if self.faults.get("no pieces") and rows["pieces"].isna().any():
            raise ValueError("pieces must be known")
        if self.faults.get("known colours") and not rows["colour"].isin(["red", "blue"]).all():
            raise KeyError("colour")
        if self.faults.get("out of range") and (rows["height"] >= 9).any():
            event = event + 1
        return np.column_stack([1 - event, event])

    def predict(self, rows: pd.DataFrame) -> Any:
        return self.predict_proba(rows)[:, 1] >= 0.5


def ask(model: Any, **settings: Any) -> list[Finding]:
    made = BehaviourCheck.Settings(**settings)
    rows = some_rows()
    if isinstance(model, Fake) and model.faults.get("missing is NaN"):  # only where it is tried
        rows = rows.dropna(subset="weight")
    given = answer(model, rows, BASE, "candidate")
    return list(BehaviourCheck.check(made, BASE, rows, model, given, Sampling()))


def test_a_steady_model_passes() -> None:
    assert [f.status for f in ask(Fake())] == ["pass"]


def test_a_model_that_answers_the_same_for_all_is_refused_in_those_words() -> None:
    steady, finding = ask(Fake(**{"one answer": True}))
    assert (steady.status, finding.status) == ("pass", "refuse")
    assert "answers the same for every test row, so it learnt nothing" in finding.message


STEADY = {
    "restless": "asked twice, get other answers",
    "by batch": "a row alone gets another answer",
    "by order": "another order get other answers",
    "by size": "all rows, asked again in other batches, get other answers",
    "missing is NaN": "with weight missing: ",
    "no pieces": "with pieces missing: ",
    "known colours": "with values never seen: ",
    "out of range": "with the greatest numbers that the contract allows: ",
}


@pytest.mark.parametrize(("fault", "words"), STEADY.items(), ids=STEADY.keys())
def test_an_unsteady_model_is_refused(fault: str, words: str) -> None:
    found = [f.message for f in ask(Fake(**{fault: True})) if f.status == "refuse"]
    assert any(words in message for message in found), found
    if fault in ("by batch", "no pieces", "known colours", "out of range"):
        assert all(words in m or "all that may be missing" in m for m in found)


@pytest.mark.parametrize(
    ("expectation", "status"),
    [
        ({"raise": {"weight": 1}, "then": "rises"}, "pass"),
        ({"raise": {"weight": 1}, "then": "falls"}, "refuse"),
        ({"raise": {"weight": -1}, "then": "falls"}, "pass"),
        ({"raise": {"weight": 1}, "then": "stays"}, "refuse"),
        ({"raise": {"weight": 1}, "then": "stays", "within": 0.3}, "pass"),
        ({"raise": {"pieces": 2}, "then": "stays"}, "pass"),
        ({"change": {"colour": "red"}, "then": "stays"}, "pass"),
        ({"change": {"weight": 5.0}, "then": "stays"}, "refuse"),
        ({"change": {"weight": None}, "then": "stays"}, "refuse"),
        ({"request": {"weight": 3}, "answer": {"min": 0.9}}, "pass"),
        ({"request": {"weight": 3}, "answer": {"max": 0.9}}, "refuse"),
        ({"request": {}, "answer": {"min": 0.4, "max": 0.6}}, "pass"),
        ({"raise": {"size": 1}, "then": "rises"}, "refuse"),
        ({"raise": {"colour": 1}, "then": "rises"}, "refuse"),
        ({"change": {"weight": "heavy"}, "then": "stays"}, "refuse"),
        ({"request": {"weight": "heavy"}, "answer": {"min": 0}}, "refuse"),
    ],
    ids=str,
)
def test_what_people_expect_is_tried(expectation: Any, status: str) -> None:
    _, finding = ask(Fake(), expect=[{"name": "so it is", **expectation}])
    assert (finding.status, finding.subject) == (status, "so it is")


def test_a_share_that_the_rows_cannot_settle_is_doubt() -> None:
    class Mostly(Fake):
        def predict_proba(self, rows: pd.DataFrame) -> Any:
            scores = super().predict_proba(rows)
            return np.where(rows["pieces"].eq(3).to_numpy()[:, None], 1 - scores, scores)

    def said(rows: int, wanted: float) -> Finding:
        expect = [{"name": "x", "raise": {"weight": 1}, "then": "rises", "within": 0.01}]
        found = ask(Mostly(), rows=rows, share=wanted, expect=expect)
        return next(finding for finding in found if finding.subject == "x")

    assert said(400, 0.8).status == "pass"
    assert said(400, 0.99).status == "refuse"
    doubt = said(60, 0.9)
    assert doubt.status == "unsure"
    assert doubt.estimate is not None
    assert doubt.estimate.low < doubt.estimate.value < doubt.estimate.high


def test_a_class_must_be_named_where_there_are_several() -> None:
    text = CONTRACT.replace(
        "{name: broken,", "{name: broken, type: multiclass, classes: [a, b, c],"
    )
    contract = parse_contract(text)

    class Three:
        classes_ = np.array(["a", "b", "c"])

        def predict_proba(self, rows: pd.DataFrame) -> Any:
            up = 1 / (1 + np.exp(-rows["height"].to_numpy(dtype=float)))
            return np.column_stack([up / 2, up / 2, 1 - up])

        def predict(self, rows: pd.DataFrame) -> Any:
            return self.classes_[self.predict_proba(rows).argmax(axis=1)]

    said = {
        name: next(
            f.status
            for f in BehaviourCheck.check(
                BehaviourCheck.Settings.model_validate(
                    {"expect": [{"name": "x", "raise": {"height": 1}, "then": "rises", **more}]}
                ),
                contract,
                some_rows(),
                Three(),
                answer(Three(), some_rows(), contract, "candidate"),
                Sampling(),
            )
            if f.subject == "x"
        )
        for name, more in (("a", {"class": "a"}), ("c", {"class": "c"}), ("none", {}))
    }
    assert said == {"a": "pass", "c": "refuse", "none": "refuse"}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no form": ({}, "give one of change, raise and request"),
    "two forms": (
        {"raise": {"a": 1}, "change": {"a": 1}, "then": "stays"},
        "give one of change, raise and request",
    ),
    "no then": ({"raise": {"a": 1}}, "need `then`"),
    "then of a request": (
        {"request": {"a": 1}, "answer": {"min": 0}, "then": "stays"},
        "a request has none",
    ),
    "no answer": ({"request": {"a": 1}}, "a request has an answer"),
    "contradiction": ({"request": {"a": 1}, "answer": {"min": 1, "max": 0}}, "lies above max"),
    "no range": ({"request": {"a": 1}, "answer": {}}, "give min, max or both"),
    "unknown then": ({"raise": {"a": 1}, "then": "grows"}, "rises"),
    "negative tolerance": ({"raise": {"a": 1}, "then": "stays", "within": -1}, "greater than or"),
}


@pytest.mark.parametrize(("words", "why"), BAD.values(), ids=BAD.keys())
def test_an_expectation_that_could_be_misread_is_refused(words: Any, why: str) -> None:
    with pytest.raises(ValueError, match=r"validation error") as error:
        Expectation(name="x", **words)
    assert why in str(error.value)


def test_two_expectations_of_one_name_are_refused() -> None:
    one = {"name": "x", "raise": {"a": 1}, "then": "rises"}
    with pytest.raises(ValueError, match="two expectations have one name: x"):
        BehaviourCheck.Settings.model_validate({"expect": [one, one]})


def test_what_is_not_named_is_typical() -> None:
    row = requested(some_rows(), {"weight": 2}, BASE)
    assert row["weight"].item() == 2.0
    assert row["colour"].item() == "blue"
    assert row["pieces"].item() == 5
    assert row["height"].item() == pytest.approx(some_rows()["height"].median())


def test_the_interval_of_a_share_holds_at_its_ends() -> None:
    assert share(1000, 1000, 0.95).low > 0.99
    assert share(0, 1000, 0.95).high < 0.01
    assert share(50, 100, 0.95).low == pytest.approx(0.404, abs=1e-3)


def test_the_whole_gate_asks_for_each_row_at_most_eight_times(
    released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Candidate, baseline and champion, by all checks: a row asked for is a row of an answer."""
    rows = make_rows(57_049, first=10_000).drop(columns="email")
    released.put_test_rows(rows)
    released.commit("Other data alone")  # what nobody committed would judge nothing
    asked: list[int] = []
    ask = predictions._raw

    def counted(model: Any, inputs: pd.DataFrame, *about: Any) -> Any:
        asked.append(len(inputs))
        return ask(model, inputs, *about)

    monkeypatch.setattr(predictions, "_raw", counted)
    verdict = released.ask("gate", "--env", "production", expect=1)  # the test rows are others
    assert "could not be measured" not in str(verdict)
    assert sum(asked) <= 8 * len(rows)
    assert len(asked) <= 60


# Operations


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    import skops.io

    from gatewright.adapters.model_file import seal

    paths = tmp_path / "candidate.skops", tmp_path / "champion.skops"
    for path in paths:
        skops.io.dump(make_model(), path)
        seal(path)
    return paths


PARCELS = parse_contract(CONTRACT)


def cost(candidate: Path, champion: Path | None, **settings: Any) -> dict[str, Finding]:
    live = Champion("1.0.0", champion, PARCELS) if champion else None
    made = OperationsCheck.Settings(**settings)
    rows = make_rows(300).drop(columns="email")
    findings = OperationsCheck.check(made, PARCELS, rows, candidate, allowed_types(), live)
    return {finding.subject: finding for finding in findings}


TIMES = {"loading", "batch of 1", "batch of 100", "batch of 10,000"}


def statuses(found: dict[str, Finding], status: str) -> set[str]:
    return {subject for subject, finding in found.items() if finding.status == status}


def test_the_same_model_costs_the_same(files: tuple[Path, Path]) -> None:
    """Whatever the machine does meanwhile: CPU time that seems longer would be a warning."""
    found = cost(*files)
    assert set(found) == {"size", "memory"} | TIMES
    assert not {*statuses(found, "refuse"), *statuses(found, "unsure")}
    assert gc.isenabled(), "only while it is measured there is no collector"
    assert found["size"].message.startswith("0.0")
    assert "(the champion against itself: 1.0" in found["memory"].message


def test_without_a_champion_the_figures_are_told(files: tuple[Path, Path]) -> None:
    found = cost(files[0], None)
    assert set(found) == {"size", "memory"} | TIMES
    assert statuses(found, "pass") == set(found)
    assert "nothing to compare with" in found["batch of 1"].message


def test_a_file_that_is_too_large_is_refused(files: tuple[Path, Path]) -> None:
    assert statuses(cost(*files, max_mb=0.001), "refuse") == {"size"}


class Clock:
    """CPU time that passes only where somebody lets it, and a millisecond whenever it is read."""

    now = 0.0

    def process_time(self) -> float:
        self.now += 0.001
        return self.now


class Slow:
    """A model that takes its time, on an odd turn `jitter` times as much."""

    def __init__(self, model: Any, clock: Clock, seconds: float, jitter: float = 1) -> None:
        self.model, self.clock, self.seconds = model, clock, seconds
        self.turns = cycle((jitter, 1))
        self.classes_ = model.classes_

    def predict_proba(self, rows: Any) -> Any:
        self.clock.now += self.seconds * next(self.turns)
        return self.model.predict_proba(rows)

    def predict(self, rows: Any) -> Any:
        return self.model.predict(rows)


OpenedAs = Callable[[Callable[[Path, Any, Clock], Any]], None]


@pytest.fixture
def opened_as(monkeypatch: pytest.MonkeyPatch) -> OpenedAs:
    """Let models be opened as what a function makes of path, model and clock."""

    def use(made_of: Callable[[Path, Any, Clock], Any]) -> None:
        load, clock = operations.load_model, Clock()
        monkeypatch.setattr(operations, "time", clock)
        monkeypatch.setattr(
            operations, "load_model", lambda path, types: made_of(path, load(path, types), clock)
        )

    return use


def test_a_slower_model_is_a_warning_and_no_more(
    files: tuple[Path, Path], opened_as: OpenedAs
) -> None:
    opened_as(lambda path, model, clock: Slow(model, clock, 0.06 if path == files[0] else 0.005))
    found = cost(*files)
    assert statuses(found, "warn") == TIMES - {"loading"}
    assert statuses(found, "pass") == {"size", "memory", "loading"}
    assert cost(*files, ignore_ms=1000)["batch of 1"].status == "pass"
    assert cost(*files, max_ratio=100)["batch of 1"].status == "pass"


def test_a_machine_that_stutters_slows_nobody(
    files: tuple[Path, Path], opened_as: OpenedAs
) -> None:
    """One turn in two takes ten times as long: the least of the turns does not."""
    opened_as(
        lambda path, model, clock: Slow(model, clock, 0.006, jitter=10 if path == files[0] else 1)
    )
    assert statuses(cost(*files), "pass") == {"size", "memory"} | TIMES


def test_what_the_champion_differs_from_itself_is_no_slowness(
    files: tuple[Path, Path], opened_as: OpenedAs
) -> None:
    seconds = iter((0.06, 0.005, 0.03))  # champion, champion again, candidate: loaded backwards
    opened_as(lambda path, model, clock: Slow(model, clock, next(seconds)))
    found = cost(*files)
    assert statuses(found, "pass") == {"size", "memory"} | TIMES
    assert "(the champion against itself: 10" in found["batch of 1"].message


def test_a_hungrier_model_is_refused(files: tuple[Path, Path], opened_as: OpenedAs) -> None:
    class Hungry:
        def __init__(self, model: Any) -> None:
            self.model, self.classes_ = model, model.classes_

        def predict(self, rows: Any) -> Any:
            return self.model.predict(rows)

        def predict_proba(self, rows: Any) -> Any:
            return self.model.predict_proba(rows) + 0 * np.ones((len(rows), 2, 2000)).sum(axis=2)

    opened_as(lambda path, model, clock: Hungry(model) if path == files[0] else model)
    assert statuses(cost(*files), "refuse") == {"memory"}
    assert statuses(cost(*files, ignore_mb=1000), "pass") == {"size", "memory"} | TIMES
    assert statuses(cost(*files, max_ratio=1e6), "pass") == {"size", "memory"} | TIMES
