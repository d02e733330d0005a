"""Which test rows judge, who brought them, and how much of them is used up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, Project, make_rows
from reviews import Review

from gatewright.adapters.git import Git
from gatewright.contract.schema import parse_contract
from gatewright.errors import Undecided
from gatewright.evaluation.holdout import lacking, waiting
from gatewright.evaluation.intervals import reach
from gatewright.evaluation.leakage import repeated
from gatewright.gate.verdict import judge
from gatewright.paths import MODEL, TEST
from gatewright.pipeline.dvc_lock import parse_lock
from gatewright.pipeline.holdout_history import (
    Asked,
    Step,
    asked_of,
    available,
    made_by_data_alone,
    step_to,
    steps_since,
)
from gatewright.release import backtest, workspace

TAG = "refs/mlops/origin/tags/v1.0.0^{commit}"
KNOWN, NEW = 2000, 250  # test rows of the first two months, and of a new file


def bring(project: Project, first: int = 4000, flattering: bool = False) -> None:
    """500 more rows, half of them test rows; flattering ones say what a model says already."""
    rows = make_rows(500, first)
    if flattering:
        rows["broken"] = rows["weight"].fillna(0) > 0
    rows.to_parquet(project.root / f"data/raw/{first}.parquet")


def finding(verdict: Any, check: str, subject: str) -> Any:
    (answer,) = (a for a in verdict["answers"] if a["check"] == check)
    return next(f for f in answer["findings"] if f["subject"] == subject)


def rows_judged(verdict: Any) -> int:
    return int(finding(verdict, "rows", "test rows")["message"].split(" ")[0].replace(",", ""))


def registered(project: Project, strength: float) -> Any:
    project.retrain(strength)
    project.mlops("push")
    return project.ask("register")["verdict"]


# Rows that somebody brought with the model that they judge


def test_rows_that_come_with_a_model_judge_nobody_on_the_way_to_production(
    released: Project,
) -> None:
    bring(released, flattering=True)
    assert rows_judged(registered(released, 0.5)) == KNOWN
    verdict = released.ask("promote", "1.1.0", "--to", "dev")["verdict"]
    assert rows_judged(verdict) == KNOWN
    assert rows_judged(registered(released, 0.25)) == KNOWN, "the next model is no better off"
    note = f"{NEW} test rows judge nothing until a merged change of data alone brings them"
    assert note in str(verdict["notes"])


def test_rows_first_and_the_model_second_judge_nobody_either(released: Project) -> None:
    """The first pull request changes the model a little and brings the rows."""
    review = Review(released)
    review.candidate.mlops("setup")
    bring(review.candidate, flattering=True)
    review.retrain(0.5)
    review.candidate.mlops("push")
    review.prove()
    verdict = review.judge()
    assert rows_judged(verdict) == KNOWN
    (note,) = (note for note in verdict["notes"] if "judge nothing" in note)
    assert f"{NEW} test rows" in note
    was, now = (
        float(part.split(",")[0]) for part in note.partition("roc_auc ")[2].split(" -> ")[:2]
    )
    assert float(now) > float(was) + 0.003, "they flatter what is live too, and that is shown"
    released.git("fetch", "--quiet", str(review.candidate.root), "change")
    released.git("merge", "--quiet", "--no-ff", "-m", "Merge", "FETCH_HEAD")
    released.git("push", "--quiet")
    review.candidate.git("checkout", "--quiet", "-b", "second")
    review.retrain(0.25)
    review.candidate.mlops("push")
    review.prove()
    assert rows_judged(review.judge()) == KNOWN


def test_rows_that_a_change_of_data_alone_brought_judge_the_next_model(released: Project) -> None:
    bring(released)
    assert rows_judged(registered(released, 1.0)) == KNOWN + NEW
    verdict = registered(released, 0.5)
    assert rows_judged(verdict) == KNOWN + NEW
    assert "judge nothing" not in str(verdict["notes"])


@pytest.mark.parametrize("times", [1, 20])
def test_copies_of_easy_test_rows_are_refused(times: int, released: Project) -> None:
    """A change of data alone, so that they would judge the next model: moved a little each."""
    review, draw = Review(released), np.random.default_rng(0)
    project = review.candidate
    project.mlops("setup")
    project.dvc("pull", "--quiet", "data/raw")
    rows = pd.concat(map(pd.read_parquet, sorted((project.root / "data/raw").glob("*.parquet"))))
    sure = (1.6 * rows["weight"] + 1.2 * rows["height"]).abs() > 2.5
    easy = rows[(rows["number"] % 2 == 1) & sure].head(400 // times)
    easy = pd.concat([easy] * times, ignore_index=True)
    moved = (easy["height"] + draw.uniform(-1e-3, 1e-3, len(easy))).clip(-9, 9)
    easy = easy.assign(number=10_001 + 2 * np.arange(len(easy)), height=moved)
    easy.to_parquet(project.root / "data/raw/2026-03.parquet")
    project.mlops("run")
    project.mlops("push")
    review.prove()
    verdict = review.judge(expect=1)
    (answer,) = (a for a in verdict["answers"] if a["check"] == "holdout")
    (found,) = (f for f in answer["findings"] if f["status"] == "refuse")
    assert found["subject"] == "new test rows"
    assert "repeat another test row under their own key" in found["message"]


def test_honest_rows_of_coarse_features_are_no_copies() -> None:
    """They repeat, whoever brought them, and the more the more there are."""
    contract = parse_contract(CONTRACT)
    for seed in range(20):
        judged, new = (
            make_rows(n, first, seed).round({"weight": 0, "height": 0})
            for n, first in ((500, 0), (500 * (1 + seed % 3), 9000))
        )
        assert repeated(judged, new, contract)[1] <= 0.05


def test_data_alone_settles_its_own_rows_and_no_others(released: Project) -> None:
    bring(released, flattering=True)
    registered(released, 0.5)
    bring(released, first=6000)
    assert rows_judged(registered(released, 0.5)) == KNOWN + NEW


def test_the_policy_may_say_that_the_rows_of_a_version_are_right(released: Project) -> None:
    bring(released)
    registered(released, 0.5)
    released.edit("gates.yaml", "checks:\n", "checks:\n  holdout: {settled: 1.1.0}\n")
    assert rows_judged(released.ask("gate")) == KNOWN + NEW
    released.edit("gates.yaml", "settled: 1.1.0", "settled: 9.9.9")
    assert "There is no version 9.9.9" in released.mlops("gate", expect=1).err
    released.edit("gates.yaml", "settled: 9.9.9", "settled: newest")
    assert "String should match pattern" in released.mlops("gate", expect=1).err


def test_rows_that_nobody_merged_judge_nothing(released: Project) -> None:
    bring(released)
    released.mlops("run")
    assert rows_judged(released.ask("gate")) == KNOWN
    released.commit("More data")
    assert rows_judged(released.ask("gate")) == KNOWN + NEW


def test_before_the_first_version_all_rows_judge(trained: Project) -> None:
    bring(trained)
    trained.train(0.5)
    assert rows_judged(trained.ask("gate")) == KNOWN + NEW


def test_a_row_that_may_change_judges_once_a_version_is_live_with_it(released: Project) -> None:
    released.edit("gates.yaml", "checks:\n", "checks:\n  holdout: {may_change: true}\n")
    rows = released.test_rows
    changed = np.arange(len(rows)) < 300
    released.put_test_rows(rows.assign(broken=rows["broken"] ^ changed))
    verdict = released.ask("gate")
    assert rows_judged(verdict) == KNOWN - 300
    assert "300 known test rows have other values" in str(verdict)


def test_an_earlier_test_set_that_is_gone_settles_nothing(released: Project) -> None:
    for first, strength in ((4000, 0.5), (6000, 0.25)):
        bring(released, first)
        released.retrain(strength)
    released.mlops("push")
    assert rows_judged(released.ask("register")["verdict"]) == KNOWN


def test_in_a_shallow_clone_nobody_knows_who_brought_the_rows(released: Project) -> None:
    released.retrain(0.5)
    place = released.root.parent / "shallow"
    released.git("clone", "--quiet", "--depth", "1", f"file://{released.origin}", str(place))
    with pytest.raises(Undecided, match="fetch-depth: 0"):
        steps_since(Git(place), "HEAD", "HEAD")


def test_a_lock_that_names_no_test_set_hides_no_step(released: Project) -> None:
    start, lock = released.git("rev-parse", "HEAD"), released.root / "dvc.lock"
    text = lock.read_text()
    old = parse_lock(text).outs[TEST]
    new = "a" * 32

    def step(change: str) -> list[Step]:
        lock.write_text(change)
        released.commit()
        return steps_since(Git(released.root), start, "HEAD")

    assert step(text.replace(old, new)) == [Step(old, new, True)]
    assert step(text.replace(TEST, "data/split/other.parquet")) == [Step(old, new, True)]
    assert step(text) == [Step(old, new, True), Step(new, old, False)]
    assert step("stages: [") == [Step(old, new, True), Step(new, old, False)]
    assert step(text.replace(old, new))[2:] == [Step(old, new, False)]
    (released.root / "uv.lock").write_text("version = 1\n")
    assert step(text)[3:] == [Step(new, old, False)], "another environment is no data"


@pytest.mark.parametrize("path", ["params.yaml", "dvc.yaml", "src/helper.py", "README.md"])
def test_rows_beside_what_no_lock_knows_of_are_no_data_alone(path: str, released: Project) -> None:
    """A parameter that no stage names any more changes, and dvc.lock says nothing of it."""
    start, lock = released.git("rev-parse", "HEAD"), released.root / "dvc.lock"
    text = lock.read_text()
    lock.write_text(text.replace(parse_lock(text).outs[TEST], "a" * 32))
    with (released.root / path).open("a") as file:
        file.write("# more\n")
    released.commit()
    (step,) = steps_since(Git(released.root), start, "HEAD")
    assert step.data_alone == (path == "README.md")


# The rules, from plain data

LOCK = """\
schema: '2.0'
stages:
  split:
    cmd: mlops split
    deps:
    - {{path: data/raw, hash: md5, md5: {raw}.dir}}
    - {{path: src/split.py, hash: md5, md5: {code}}}
    params:
      params.yaml:
        train.C: {strength}
    outs:
    - path: data/split/test.parquet
      hash: md5
      md5: {test}
    - path: model/model.skops
      hash: md5
      md5: {model}
  evaluate:
    cmd: {cmd}
    deps:
    - {{path: data/split/test.parquet, hash: md5, md5: {test}}}
"""
SAME = {
    **{
        name: letter * 32
        for name, letter in zip(("raw", "code", "test", "model"), "abcd", strict=True)
    },
    **{"strength": "1.0", "cmd": "mlops evaluate"},
}


@pytest.mark.parametrize(
    ("other", "alone"),
    [
        ({"raw": "e" * 32, "test": "f" * 32, "model": "1a" * 16}, True),
        ({"raw": "e" * 32, "test": "f" * 32, "code": "1a" * 16}, False),
        ({"raw": "e" * 32, "test": "f" * 32, "strength": "2.0"}, False),
        ({"raw": "e" * 32, "test": "f" * 32, "cmd": "mlops evaluate "}, True),
        ({"raw": "e" * 32, "test": "f" * 32, "cmd": "mlops evaluate --all"}, False),
    ],
)
def test_data_alone_is_told_by_the_lock(other: dict[str, str], alone: bool) -> None:
    before, after = LOCK.format(**SAME), LOCK.format(**SAME | other)
    assert made_by_data_alone(before, after) is alone


def keys(*numbers: int) -> pd.DataFrame:
    return pd.DataFrame({"number": numbers, "more": 0})


def test_what_waits_is_what_came_with_a_model_and_not_with_data_since() -> None:
    one, two, three = keys(1, 2), keys(1, 2, 3, 4), keys(1, 2, 3, 4, 5)

    def waits(*steps: tuple[pd.DataFrame, pd.DataFrame, bool]) -> list[int]:
        found = waiting(steps, ["number"])
        return [] if found is None else sorted(found["number"])

    assert waits() == waits((one, two, True)) == []
    assert waits((one, two, False)) == [3, 4]
    assert waits((one, two, False), (two, three, True)) == [3, 4]
    assert waits((one, two, True), (two, three, False)) == [5]
    assert waits((one, two, False), (two, one, False), (one, three, True)) == []
    assert list(lacking(one, three, ["number"])) == [False, False, True, True, True]


def test_over_a_test_set_that_is_gone_nothing_was_data_alone() -> None:
    steps = [Step("a", "b", True), Step("b", "c", True), Step("c", "d", True)]
    assert available(steps, lambda _: True) == steps
    assert available(steps, lambda md5: md5 != "b") == [Step("a", "c", False), steps[2]]
    assert available(steps, lambda md5: md5 in "ad") == [Step("a", "d", False)]
    assert step_to("a", "a") == step_to(None, "a") == []
    assert step_to("a", "b") == [Step("a", "b", False)]


# Asking until the answer is yes


def ask_often(project: Project, times: int, branch: str = "shopping") -> None:
    """Pull requests with a model each, which became nothing."""
    text = (project.root / "dvc.lock").read_text()
    model = parse_lock(text).outs[MODEL]
    project.git("checkout", "--quiet", "-b", branch)
    for number in range(times):
        (project.root / "dvc.lock").write_text(text.replace(model, f"a{number:031x}"))
        project.commit(f"Seed {number}")
    project.git("checkout", "--quiet", "main")


def test_who_asks_often_is_judged_by_wider_intervals(released: Project) -> None:
    review = Review(released)
    review.retrain(0.5)
    review.candidate.mlops("push")
    review.prove()
    before = review.judge()
    ask_often(released, 30)
    after = review.judge()
    gains = [v["metrics"]["roc_auc"]["gain over champion"] for v in (before, after)]
    wider = reach(0.95, 30)
    assert gains[1]["value"] == gains[0]["value"]
    low = [gain["value"] - gain["low"] for gain in gains]
    assert low[1] == pytest.approx(wider * low[0])
    told = finding(after, "holdout", "questions")["message"]
    assert told.startswith("these rows judged 1 models that became versions and 30 that did not")
    assert f"{wider:.2f} times as wide" in told
    assert "is used up" not in str(before)


def test_pull_requests_of_github_are_counted_wherever_they_were_closed(
    released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_often(released, 7)
    released.git("push", "--quiet", "origin", "shopping:refs/pull/7/head")
    released.git("branch", "--quiet", "-D", "shopping")
    assert "is used up" not in str(released.ask("gate"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    said = finding(released.ask("gate"), "holdout", "questions")["message"]
    assert "and 7 that did not" in said


def test_the_same_model_again_is_no_other_question() -> None:
    asked = Asked(frozenset("ab"), frozenset("cd"))
    assert asked.without("c") == Asked(frozenset("ab"), frozenset("d"))
    assert asked.without("a") == Asked(frozenset("b"), frozenset("cd"))
    assert asked.without(None) == asked


def test_rows_that_came_by_data_alone_were_asked_nothing_yet(released: Project) -> None:
    ask_often(released, 5)
    git = Git(released.root)
    commits = [released.git("rev-parse", TAG)]
    asked = asked_of(git, "HEAD", commits)
    assert (len(asked.passed), len(asked.failed)) == (1, 5)
    bring(released)
    released.retrain(1.0)
    asked = asked_of(git, "HEAD", commits)
    assert (len(asked.passed), len(asked.failed)) == (0, 1), "but for the model of that change"


def test_rows_that_came_with_a_model_make_no_new_test_set(released: Project) -> None:
    ask_often(released, 5)
    bring(released)
    released.retrain(0.5)
    asked = asked_of(Git(released.root), "HEAD", [released.git("rev-parse", TAG)])
    assert (len(asked.passed), len(asked.failed)) == (1, 6)


def test_an_interval_reaches_farther_the_more_was_asked() -> None:
    assert reach(0.95, 0) == reach(0.95, 1) == reach(0.95, 2) == 1
    assert reach(0.95, 5) == pytest.approx(2.326 / 1.960, abs=1e-3)
    assert list(np.diff([reach(0.95, n) for n in range(2, 200)]) > 0) == [True] * 197


def test_a_replay_judges_as_the_gate_did(released: Project) -> None:
    """By the rows that judged then, and with what they had been asked until then."""
    asked: list[tuple[int, int]] = []

    def seen(policy: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        asked.append((len(inputs.rows.need()), inputs.questions))
        return judge(policy, inputs, *rest, **more)

    bring(released, flattering=True)
    for strength in (0.7, 0.8, 0.9):
        released.retrain(strength)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace, "judge", seen)
        registered(released, 0.5)
        # Dates of Git have no parts of a second: this is after the version in any case.
        patch.setenv("GIT_COMMITTER_DATE", "2040-01-01T00:00:00Z")
        registered(released, 0.4)
        then, _ = asked
        asked.clear()
        patch.setattr(backtest, "judge", seen)
        released.ask("policy", "test")
    assert asked[:2] == [(KNOWN, 1), then]
    assert then[0] == KNOWN
    assert then[1] > 2
