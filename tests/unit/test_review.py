"""A candidate's checkout is judged by the base branch's, and the smoke check by golden rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from parcels import ANOTHER, Project, red
from reviews import Review

from gatewright.gate.inputs import GateInputs, Unavailable
from gatewright.paths import MODEL, TEST, TRAIN
from gatewright.pipeline.changes import settings_changes
from gatewright.release import smoke_test as smoke


@pytest.fixture
def review(released: Project) -> Review:
    return Review(released)


def test_what_touches_no_model_is_let_in_without_storage(review: Review) -> None:
    (review.candidate.root / "docs/notes.md").write_text("Words.\n")
    assert review.prove() == {
        "affects_model": False,
        "unlisted_code": [],
        "stale_stages": [],
        "missing_outputs": [],
        "not_reproduced": [],
        "reproduced": [],
    }
    assert review.judge()["sentence"] == "Yes: this touches no model."
    assert not (review.candidate.root / ".dvc-storage").exists()


def test_a_stored_model_is_judged_as_it_is(review: Review) -> None:
    review.retrain(0.5)
    review.candidate.mlops("push")
    assert review.prove()["missing_outputs"] == []
    verdict = review.judge()
    assert (verdict["decision"], verdict["champion"]) == ("yes", "1.0.0")
    assert set(verdict["slices"]["shop"]) == {"north", "south"}
    assert not (review.claims / "files").exists()


def test_what_is_not_stored_is_built_in_the_candidates_job(review: Review) -> None:
    review.retrain(0.5)
    assert MODEL in review.prove()["missing_outputs"]
    assert "CI built the same bytes" in json.dumps(review.judge())


def test_a_build_that_is_other_bytes_is_no_build(review: Review) -> None:
    review.retrain(0.5)
    review.prove()
    (review.claims / "files" / MODEL).write_bytes(b"other")
    verdict = review.judge(expect=1)
    assert "is not in storage" in verdict["sentence"]


@pytest.mark.parametrize(
    "spoil",
    [
        ("params.yaml", "1.0", "0.5"),
        ("src/parcels.py", "sort_values", "sort_values  "),
        ("contract.yaml", "arrives broken?", "arrives broken, or not?"),
        ("dvc.yaml", "python src", "python  src"),
    ],
    ids=lambda spoil: spoil[0],
)
def test_a_stale_lock_is_refused_and_mended(spoil: tuple[str, str, str], review: Review) -> None:
    review.candidate.edit(*spoil)
    assert review.prove(expect=1)["stale_stages"]
    assert red(review.judge(expect=1)) >= {"lock"}
    mended = yaml.safe_load((review.claims / "dvc.lock").read_text())
    review.run()
    assert yaml.safe_load((review.candidate.root / "dvc.lock").read_text()) == mended


def test_other_data_than_the_lock_says_is_stale(review: Review) -> None:
    path = review.candidate.root / "data/raw.dvc"
    review.candidate.mlops("setup")
    raw = review.candidate.root / "data/raw/2026-01.parquet"
    pd.read_parquet(raw).head(1900).to_parquet(raw)
    review.candidate.dvc("add", "--quiet", "data/raw")
    review.candidate.dvc("push", "--quiet")
    review.candidate.mlops("push")
    assert path.read_text() != review.candidate.git("show", "HEAD:data/raw.dvc")
    assert "check" in review.prove(expect=1)["stale_stages"]


def test_without_a_proof_nothing_is_let_in(review: Review) -> None:
    review.retrain(0.5)
    review.candidate.mlops("push")
    review.candidate.commit()
    verdict = review.judge(expect=1)
    assert "the candidate's own job told nothing" in verdict["sentence"]


@pytest.mark.parametrize("text", ["", "[]", '{"stale_stages": [1]}', '{"affects_model": "yes"}'])
def test_claims_that_are_none_claim_nothing(text: str, review: Review) -> None:
    review.retrain(0.5)
    review.candidate.mlops("push")
    review.prove()
    (review.claims / "claims.json").write_text(text)
    assert red(review.judge(expect=1)) == {"lock"}


def test_the_base_branch_s_policy_counts(review: Review) -> None:
    review.train(ANOTHER.format(weight=1.6, height=0.5))
    review.candidate.edit("gates.yaml", "roc_auc: 0.01, brier", "roc_auc: 0.9, brier")
    review.prove()
    verdict = review.judge(expect=1)
    assert "champion" in red(verdict)
    assert "checks.champion.metrics.roc_auc: 0.01 -> 0.9" in verdict["notes"][0]


def test_the_base_branch_s_test_rows_count(review: Review) -> None:
    """The candidate's own test set is an easier one; the lock is honest about it."""
    script = review.candidate.root / "src/parcels.py"
    code = script.read_text().replace(
        "train.to_parquet", "test = test[(test['weight'] > 0) == test['broken']]\ntrain.to_parquet"
    )
    script.write_text(code)
    review.run()
    review.candidate.mlops("push")
    review.prove()
    verdict = review.judge(expect=1)
    assert red(verdict) == {"holdout"}
    assert "It changes the test set:" in verdict["notes"][-1]
    auc = verdict["metrics"]["roc_auc"]
    assert auc["candidate"]["value"] == pytest.approx(auc["champion"]["value"], abs=0.02)


def test_another_environment_answers_for_itself(review: Review) -> None:
    (review.candidate.root / "uv.lock").write_text("version = 1\n")
    review.prove()
    verdict = review.judge()
    assert "It changes the environment" in verdict["notes"][0]
    table = pd.read_parquet(review.claims / "predictions.parquet")
    told = [f"{model}{what}" for model in ("candidate", "baseline") for what in ("", " recommends")]
    assert list(table) == ["row number", *told], "no key and no label leaves the job"
    table.loc[3, "candidate"] = float("nan")
    table.to_parquet(review.claims / "predictions.parquet")
    assert red(review.judge(expect=1)) == {
        *("contract", "bounds", "baseline", "champion"),
        *("cost", "slices", "fairness", "leakage"),
    }


def test_what_only_the_model_itself_could_answer_is_doubt_where_it_does_not_load(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the candidate's scikit-learn is another than the judge's."""
    (review.candidate.root / "uv.lock").write_text("version = 1\n")
    review.prove()

    unavailable = property(lambda _: Unavailable("made by another scikit-learn"))
    monkeypatch.setattr(GateInputs, "candidate", unavailable)
    verdict = review.judge(expect=2)
    assert red(verdict) == {"contract", "behaviour"}
    assert "the model is of another Python environment; registering asks this there" in str(verdict)


def test_predictions_hold_no_value_of_a_key_and_are_found_by_it(review: Review) -> None:
    """Keys far from the rows' numbers; then the known rows in another order."""
    script = review.candidate.root / "src/parcels.py"
    code = script.read_text()
    other = "test = test[::-1].assign(number=lambda t: t['number'] + {})\ntrain.to_parquet"
    script.write_text(code.replace("train.to_parquet", other.format(7_000_000)))
    review.run()
    review.candidate.mlops("push")
    (review.candidate.root / "uv.lock").write_text("version = 1\n")
    review.prove()
    path, rows = review.claims / "predictions.parquet", review.candidate.test_rows
    table = pd.read_parquet(path)
    assert rows["number"].min() >= 7_000_000
    assert len(table) == len(rows)
    assert not set(table.to_numpy().ravel()) & set(rows["number"])
    assert not {str(number) for number in rows["number"]} & set(table.astype(str).stack())

    script.write_text(code.replace("train.to_parquet", other.format(0)))
    review.run()
    review.candidate.mlops("push")
    review.prove()
    auc = review.judge()["metrics"]["roc_auc"]
    assert auc["candidate"]["value"] == auc["champion"]["value"]


def numbered(change: Callable[[Any], Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A table whose rows have other numbers."""
    return lambda table: table.assign(**{"row number": change(table["row number"])})


ONCE = "does not answer once for each row of the test set"
PREDICTIONS: dict[str, tuple[Any, str]] = {
    "rows are left out": (lambda table: table.iloc[1:], ONCE),
    "a row stands twice": (lambda table: pd.concat([table, table.head(1)]), ONCE),
    "a row stands for another": (lambda table: pd.concat([table.iloc[1:], table.tail(1)]), ONCE),
    "a row of no test set": (numbered(lambda numbers: numbers + 1), ONCE),
    "rows by name": (numbered(lambda _: "one"), ONCE),
    "no row is named": (
        lambda table: table.drop(columns="row number"),
        "predictions lacks the columns row number",
    ),
    "no probability": (lambda table: table.assign(candidate=1.5), "are missing or no numbers"),
    "words": (lambda table: table.assign(candidate="yes"), ""),
    "a column is left out": (
        lambda table: table.drop(columns="baseline"),
        "predictions lacks the columns baseline",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), PREDICTIONS.values(), ids=PREDICTIONS.keys())
def test_predictions_that_cannot_be_right_are_refused(
    spoil: Any, words: str, review: Review
) -> None:
    (review.candidate.root / "uv.lock").write_text("version = 1\n")
    review.prove()
    path = review.claims / "predictions.parquet"
    spoil(pd.read_parquet(path)).to_parquet(path)
    verdict = review.judge(expect=1)
    assert {"bounds", "champion"} <= red(verdict)
    assert words in str(verdict)


LOCKED = """\
version = 1
[[package]]
name = "gatewright"
version = "{version}"
source = {{ path = "vendor/gatewright-{version}-py3-none-any.whl" }}
wheels = [{{ filename = "gatewright-{version}-py3-none-any.whl", hash = "sha256:{digest}" }}]
"""


def test_a_library_that_changes_is_told_of(review: Review) -> None:
    lock = review.base.root / "uv.lock"
    lock.write_text(LOCKED.format(version="0.2.0", digest="aa"))
    review.base.commit("Lock")
    review.base.git("push", "--quiet")
    review.candidate.git("pull", "--quiet", "--rebase", "origin", "main")
    (review.candidate.root / "uv.lock").write_text(LOCKED.format(version="0.2.0", digest="bb"))
    (review.candidate.root / "vendor").mkdir()
    (review.candidate.root / "vendor/gatewright-0.2.0-py3-none-any.whl").write_bytes(b"other")
    review.prove()
    notes = review.judge()["notes"]
    assert "It changes what judges: vendor/gatewright-0.2.0-py3-none-any.whl" in notes
    told = "It changes the library that judges: gatewright 0.2.0 (sha256:aa) -> 0.2.0 (sha256:bb)"
    assert told in notes


def test_a_test_set_that_is_not_stored_cannot_judge(review: Review) -> None:
    review.retrain(0.5)
    review.candidate.mlops("push")
    review.prove()
    place = review.base.stored("1.0.0", "dev", TEST)
    review.base.change_branch("dvc-storage", lambda tree: (tree / place).unlink())
    said = review.base.mlops(
        *("review", str(review.candidate.root), "--claims", str(review.claims)), expect=1
    )
    assert "is missing from the storage of dev" in said.err


def test_settings_are_compared_key_by_key() -> None:
    assert settings_changes("a: {b: 1, c: 2}", "a: {b: 3}\nd: [1]", "x") == [
        "a.b: 1 -> 3",
        "a.c: 2 -> not set",
        "d: not set -> [1]",
    ]
    assert "cannot be read" in settings_changes("a: 1", "a: [", "x")[0]
    assert settings_changes(None, "a: 1", "x") == ["a: not set -> 1"]


# The smoke check


def test_what_is_live_answers_as_registered(released: Project) -> None:
    said = released.mlops("smoke", "production").out
    assert said == "1.0.0 in production answers 10 golden rows as registered.\n"


@pytest.mark.parametrize("path", [TRAIN, TEST])
def test_a_personal_column_that_the_code_lets_in_is_refused(path: str, review: Review) -> None:
    """The team's code does not drop it any more, and builds what a version would be stored with."""
    part, ends = Path(path).stem, 1 if path == TEST else 0
    old = 'rows = rows.drop(columns="email")'
    review.candidate.edit("src/parcels.py", old, f"everything = rows\n{old}")
    keep = f'{part} = {part}.merge(everything[["number", "email"]], on="number")'
    review.candidate.edit("src/parcels.py", "strength =", f"{keep}\nstrength =")
    review.candidate.mlops("setup")
    review.candidate.mlops("run", expect=ends)  # the stage `evaluate` reads the test rows only
    assert "email" in pd.read_parquet(review.candidate.root / path)
    review.candidate.mlops("push")
    review.candidate.commit()
    claims = ("--base", "origin/main", "--out", str(review.claims))
    review.candidate.mlops("prove", *claims, expect=ends)
    words = json.dumps(review.judge(expect=1))
    assert f"{path} has the columns email, which the contract calls personal" in words
    assert "@example.com" not in words


def test_golden_rows_hold_nothing_personal(released: Project) -> None:
    pairs = released.record("1.0.0")["golden"]
    assert len(pairs) == 10
    assert all(set(pair["request"]) == {"weight", "height"} for pair in pairs)


def another_answer(folder: Path, pairs: Any, contract: Any, allowed: Any) -> int:
    shifted = [pair | {"answer": pair["answer"] + 0.01} for pair in pairs]
    return checked(folder, shifted, contract, allowed)


checked = smoke.check_golden


@pytest.fixture
def failing(second: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr("gatewright.release.smoke_test.check_golden", another_answer)
    return second


def test_another_answer_rolls_back_and_fails_loudly(failing: Project) -> None:
    said = failing.mlops("smoke", "dev", "--roll-back", expect=1)
    assert "1.1.0 in dev fails its smoke check: golden row 1 is answered with" in said.err
    assert "Rolled back: dev is back on 1.0.0 (was 1.1.0)." in said.err
    assert failing.live()["dev"] == "1.0.0"
    (event,) = failing.ask("history", "dev")[-1:]
    assert event["reason"].startswith("smoke check: golden row 1")


def test_another_recommendation_for_the_same_score_fails_too(
    second: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(folder: Path, pairs: Any, *more: Any) -> int:
        return checked(folder, [pair | {"recommends": "neither"} for pair in pairs], *more)

    monkeypatch.setattr("gatewright.release.smoke_test.check_golden", another)
    assert "golden row 1 is recommended" in second.mlops("smoke", "dev", expect=1).err


def test_without_the_word_nothing_is_rolled_back(failing: Project) -> None:
    assert "mlops rollback dev" in failing.mlops("smoke", "dev", expect=1).err
    assert failing.live()["dev"] == "1.1.0"


def test_where_nothing_was_before_the_failure_says_so(failing: Project) -> None:
    said = failing.mlops("smoke", "staging", "--roll-back", expect=1)
    assert "AND THE ROLLBACK FAILED: No earlier version" in said.err


def test_a_damaged_file_fails_the_smoke_check(second: Project) -> None:
    place = second.stored("1.1.0", "dev")
    second.change_branch("dvc-storage", lambda tree: (tree / place).unlink())
    said = second.mlops("smoke", "dev", "--roll-back", expect=1)
    assert "is missing from the storage of dev" in said.err
    assert second.live()["dev"] == "1.0.0"


def test_nothing_live_nothing_to_try(trained: Project) -> None:
    assert "Nothing is live in dev" in trained.mlops("smoke", "dev", expect=1).err


# An older version is no promotion


def test_an_older_version_does_not_replace_a_newer_one(third: Project) -> None:
    third.mlops("promote", "1.2.0", "--to", "staging")
    said = third.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "1.2.0, which is newer than 1.1.0, is live in staging" in said.err
    assert "mlops rollback staging --to 1.1.0" in said.err


# What a workflow's next job learns


def outputs(path: Path) -> list[str]:
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_a_workflow_learns_what_to_release(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(told))
    clone = trained.clone()
    clone.mlops("register", "--build")
    assert outputs(told) == ["version=1.0.0"]
    clone.mlops("register", "--build")
    assert outputs(told) == ["version="], "nothing new, nothing to release"
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    clone.mlops("register", "--build")
    assert outputs(told) == ["version=1.0.0"], "a run that is tried again goes on"
    for _ in range(2):
        clone.mlops("promote", "1.0.0", "--to", "dev")
        assert outputs(told) == ["live=true"]
    clone.edit("gates.yaml", "{min: 0.70}", "{min: 0.95}")
    clone.merge("Ask for more")
    clone.mlops("promote", "1.0.0", "--to", "staging", expect=1)
    assert outputs(told) == ["live=false"]


def test_what_was_trained_comes_home_to_its_branch(trained: Project) -> None:
    said = trained.mlops("deliver", expect=1)
    assert "is not delivered to main" in said.err
    trained.git("checkout", "--quiet", "-b", "change")
    (trained.root / "params.yaml").write_text("train: {C: 0.5}\n")
    trained.commit()
    assert "has what was trained already" in trained.mlops("deliver").out
    trained.mlops("run")
    assert "are committed to change" in trained.mlops("deliver").out
    assert trained.git("diff", "--stat", "origin/change", "HEAD") == ""
    assert trained.git("status", "--porcelain", "--untracked-files=no") == ""


REFUSES = (
    "def heavy():\n    'Is it right about heavy ones?'\n    yield 'refuse', 'not on this branch'\n"
)


def test_a_check_of_the_team_is_the_base_branchs(released: Project) -> None:
    """In a process of its own, as in its workflow: a module is imported once a process."""
    (released.root / "src/team_checks.py").write_text(REFUSES)
    own = "own_checks: {heavy: {function: team_checks:heavy}}\n"
    released.edit("gates.yaml", "checks:\n", f"{own}checks:\n")
    released.commit()
    released.git("push", "--quiet")
    review = Review(released)
    path = review.candidate.root / "src/team_checks.py"
    path.write_text(REFUSES.replace("'refuse', 'not", "'pass', 'all is well"))
    review.retrain(0.5)
    review.candidate.mlops("push")
    review.prove()
    command = [sys.executable, "-m", "gatewright", "review", str(review.candidate.root)]
    command += ["--claims", str(review.claims), "--json"]
    done = subprocess.run(command, cwd=released.root, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout)
    assert red(verdict) == {"heavy"}
    assert verdict["answers"][-1]["question"] == "Is it right about heavy ones?"
    assert [later["decision"] for later in verdict["outlook"]] == ["no", "no"]


def _no_code(project: Project) -> None:
    (project.root / "src/parcels.py").unlink()


def _no_stage(project: Project) -> None:
    (project.root / "dvc.yaml").write_text("stages: {}\n")


def _nothing_at_all(project: Project) -> None:
    _no_stage(project)
    (project.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")


def _a_stage_less(project: Project) -> None:
    path = project.root / "dvc.yaml"
    head, _, tail = path.read_text().partition("  train:\n")
    path.write_text(head + tail[tail.index("  evaluate:\n") :])


@pytest.mark.parametrize("spoil", [_no_code, _no_stage, _nothing_at_all, _a_stage_less])
def test_a_lock_without_what_it_speaks_of_is_refused(spoil: Any, review: Review) -> None:
    spoil(review.candidate)
    review.candidate.commit()
    words = ("--base", "origin/main", "--out", str(review.claims))
    review.candidate.mlops("prove", *words, expect=1)
    candidate = str(review.candidate.root)
    review.base.mlops("review", candidate, "--claims", str(review.claims), expect=1)
    assert review.candidate.mlops("prove", expect=1).err


def test_a_lock_that_is_a_link_to_itself_is_no_lock(trained: Project) -> None:
    lock = trained.root / "dvc.lock"
    lock.unlink()
    lock.symlink_to("dvc.lock")
    assert "dvc.lock cannot be read" in trained.mlops("prove", expect=1).err


def test_what_dvc_says_is_no_part_of_the_answer(trained: Project) -> None:
    """By a process: DVC's stages write to its streams."""
    clone = trained.clone()
    command = [sys.executable, "-m", "gatewright", "register", "--build", "--json"]
    done = subprocess.run(command, cwd=clone.root, capture_output=True, text=True)
    assert json.loads(done.stdout)["version"] == "1.0.0"
    assert "Data and pipelines are up to date" in done.stderr
