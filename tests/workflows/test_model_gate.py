"""Pull requests walk up to the model gate, good and bad, through the workflow itself.

By `act` each of its paths once, with the flights that are good. By the same steps in this process
the flights that overfit and that are poisoned, and every other kind of bad around a tiny project.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from acting import GitHubActions, Walk, on_github
from parcels import make_model, make_rows
from projects import ASKED, Parcels, Project, change_library, copy
from published import Description
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

pytestmark = pytest.mark.slow


@pytest.fixture
def github(live: Parcels, published: Description) -> Iterator[GitHubActions]:
    """1.0.0 is live everywhere; a branch is checked out for a pull request."""
    with on_github(live, published, act=False) as github:
        github.branch("change")
        yield github


@pytest.fixture
def flights_github(flights_live: Project, published: Description) -> Iterator[GitHubActions]:
    """As `github` with the flights."""
    with on_github(flights_live, published, act=False) as github:
        github.branch("change")
        yield github


@pytest.fixture(scope="session")
def _worse(_live: Parcels, shared: Callable[..., Path]) -> Parcels:
    def make(folder: Path) -> None:
        project = copy(_live, folder)
        project.worsen()
        retrain(project)

    return Parcels(shared("worse", make) / "parcels", _live.venv)


@pytest.fixture
def worse(_worse: Parcels, published: Description, tmp_path: Path) -> Iterator[GitHubActions]:
    """As `github`, with a worse model, trained and stored."""
    with on_github(copy(_worse, tmp_path), published, act=False) as github:
        github.branch("change")
        yield github


WORSE = ("champion", "slices")


def said(walk: Walk) -> str:
    """Everything that the verdict says."""
    return json.dumps(walk.verdict, ensure_ascii=False)


def let_in(walk: Walk) -> None:
    assert walk.status == 0, walk.end
    assert walk.jobs == dict.fromkeys(("candidate", "model-gate"), "success")
    assert walk.verdict["decision"] == "yes"


def refused(walk: Walk, *checks: str) -> None:
    assert walk.status != 0, walk.end
    assert walk.jobs["model-gate"] == "failure", walk.end
    assert walk.verdict["decision"] == "no"
    red = {
        answer["check"]
        for answer in walk.verdict["answers"]
        if any(finding["status"] != "pass" for finding in answer["findings"])
    }
    assert red == set(checks), said(walk)
    assert "REFUSED" in walk.summary


def retrain(project: Project) -> None:
    project.inside("run")
    project.inside("push")


# Good ones


def test_one_that_touches_no_model_is_let_in_and_pulls_nothing(github: GitHubActions) -> None:
    (github.project.root / "docs/notes.md").write_text("Words.\n")
    github.act = True
    walk = github.pull_request()
    let_in(walk)
    assert walk.verdict["sentence"] == "Yes: this touches no model."
    assert "Yes: this touches no model." in walk.summary
    assert "Running stage" not in walk.log
    assert ".dvc-storage" not in walk.log
    assert walk.noted("installed") == ["candidate ./uv.lock", "model-gate base/uv.lock"]


def test_a_good_model_is_let_in_with_figures_slices_and_a_chart(
    flights_github: GitHubActions,
) -> None:
    github = flights_github
    github.project.edit("params.yaml", "max_iter: 100", "max_iter: 110")
    retrain(github.project)
    github.act = True
    walk = github.pull_request()
    let_in(walk)
    assert walk.verdict["champion"] == "1.0.0"
    assert walk.verdict["notes"] == []
    assert "Running stage" not in walk.log, "what was trained and stored is not trained again"
    for part in (
        "Yes: the model may enter dev and holds against 1.0.0.",
        "| metric | candidate | baseline | champion | gain over baseline | gain over",
        "## By origin",
        "```mermaid",
        '"EWR", "JFK", "LGA"',
    ):
        assert part in walk.summary
    for github.act in (True, False):
        assert github.completed(walk).status == 0
    (comment,) = github.hub.comments
    assert "Yes: the model may enter dev and holds against 1.0.0." in comment["body"]
    assert comment["body"].count("```mermaid") == len(walk.verdict["slices"])


def test_new_data_is_let_in(github: GitHubActions) -> None:
    github.parcels.add_rows()
    retrain(github.project)
    let_in(github.pull_request())


def test_the_merge_queue_is_answered(github: GitHubActions) -> None:
    github.parcels.parameter(0.5)
    retrain(github.project)
    walk = github.merge_queue()
    let_in(walk)
    assert "Running stage" not in walk.log, "what was trained and stored is not trained again"
    assert "Yes: the model may enter dev and holds against 1.0.0." in walk.summary


def test_outputs_that_are_not_stored_are_built_and_must_be_the_same(github: GitHubActions) -> None:
    """As from a fork, whose author may not write to the storage."""
    github.parcels.parameter(0.5)
    github.project.mlops("run")
    github.act = True
    walk = github.pull_request(fork=True)
    let_in(walk)
    assert "CI built the same bytes" in said(walk)
    assert github.hub.requests == [], "a fork's run asks GitHub nothing"
    assert github.completed(walk, fork=True).status == 0
    (comment,) = github.hub.comments
    assert "CI built the same bytes" in comment["body"]


# Bad ones


def test_a_worse_model_is_refused(flights_github: GitHubActions) -> None:
    """It overfits, and looks like progress on the training rows."""
    github = flights_github
    github.project.overfit()
    retrain(github.project)
    walk = github.pull_request()
    refused(walk, "champion", "behaviour", "baseline", "bounds")
    assert "worse than 1.0.0" in walk.verdict["sentence"]
    assert github.completed(walk).status == 0
    assert "No: the model may not enter dev." in github.hub.comments[0]["body"]


def test_poisoned_labels_are_refused(flights_github: GitHubActions) -> None:
    flights_github.project.poison()
    retrain(flights_github.project)
    refused(flights_github.pull_request(), "champion", "data")


def test_a_doctored_metric_decides_nothing(worse: GitHubActions) -> None:
    """reports/metrics.json and dvc.lock agree on a figure that nobody measured."""
    worse.parcels.add_card()  # it stands on that figure, so the lock is stale
    path = worse.project.root / "reports/metrics.json"
    metrics = json.loads(path.read_text())
    for entry in metrics["metrics"].values():
        entry["candidate"] = dict.fromkeys(("value", "low", "high"), 0.98765)
    path.write_text(json.dumps(metrics))
    worse.parcels.dvc("commit", "--force", "evaluate")
    worse.project.mlops("push")
    walk = worse.pull_request()
    refused(walk, "lock", *WORSE)
    assert "0.98765" not in said(walk)


def test_thresholds_lowered_in_the_same_pull_request_do_not_count(worse: GitHubActions) -> None:
    worse.project.edit("gates.yaml", "roc_auc: 0.01, brier_score: 0.005", "roc_auc: 0.5")
    walk = worse.pull_request()
    refused(walk, *WORSE)
    assert "**It changes the policy, gates.yaml: checks.champion.metrics" in walk.summary
    assert "0.01 -&gt; 0.5" in walk.summary or "0.01 -\\> 0.5" in walk.summary


def test_a_gate_edited_to_say_yes_is_not_asked(worse: GitHubActions) -> None:
    """In the library, as a team changes it: another wheel, and the lock that names it."""
    before = "sha256:" + hashlib.sha256(wheel(worse.project).read_bytes()).hexdigest()
    change_library(
        worse.project,
        "gate/verdict.py",
        '    if "refuse" in statuses:\n        return "no"\n',
        '    return "yes"\n',
    )
    after = "sha256:" + hashlib.sha256(wheel(worse.project).read_bytes()).hexdigest()
    worse.act = True
    walk = worse.pull_request()
    refused(walk, *WORSE)
    told = f"gatewright 0.2.0 ({before}) -> 0.2.0+ours ({after})"
    assert f"It changes the library that judges: {told}" in walk.verdict["notes"]
    assert "**It changes the library that judges: gatewright" in walk.summary
    assert "vendor/gatewright-0.2.0+ours-py3-none-any.whl" in said(walk)
    assert walk.noted("installed") == ["candidate ./uv.lock", "model-gate base/uv.lock"]


def wheel(project: Project) -> Path:
    (path,) = (project.root / "vendor").glob("*.whl")
    return path


def test_test_rows_that_were_removed_are_missed(github: GitHubActions) -> None:
    """Some of the broken ones go; what is left looks easy."""
    path = github.project.root / "data/raw/2026-01.parquet"
    rows = pd.read_parquet(path)
    hard = rows["broken"] & (rows["number"] % 6 == 1)
    rows[~hard].to_parquet(path)
    retrain(github.project)
    walk = github.pull_request()
    refused(walk, "holdout")
    assert "known test rows are gone" in said(walk)
    assert "**It changes the test set:" in walk.summary


def test_training_on_test_rows_is_refused(github: GitHubActions) -> None:
    github.project.edit("src/parcels.py", 'rows["number"] % 2 == 0', 'rows["number"] % 4 < 3')
    retrain(github.project)
    walk = github.pull_request()
    refused(walk, "holdout", "leakage")
    assert "test rows were trained on" in said(walk)


def test_a_stale_lock_is_refused_and_the_mended_one_is_offered(github: GitHubActions) -> None:
    github.parcels.parameter(0.5)
    walk = github.pull_request()
    refused(walk, "lock")
    assert "it is stale: train" in said(walk)
    mended = walk.artifacts / "claims/dvc.lock"
    assert "C: 0.5" in mended.read_text()
    shutil.copy(mended, github.project.root / "dvc.lock")
    github.project.mlops("run")
    assert github.project.git("status", "--porcelain", "dvc.lock", "reports") != ""
    let_in(github.pull_request())


def test_outputs_that_nobody_can_build_are_refused(github: GitHubActions) -> None:
    """dvc.lock names a model that is neither stored nor what training gives."""
    lock = github.project.root / "dvc.lock"
    text = lock.read_text()
    (model,) = set(re.findall(r"path: model/model.skops\n\s+hash: md5\n\s+md5: (\w+)", text))
    lock.write_text(text.replace(model, "ab" * 16))
    walk = github.pull_request()
    assert walk.jobs["model-gate"] == "failure"
    assert "model/model.skops is not in storage" in said(walk)
    assert "model/model.skops is not what train gives: built again, it is" in said(walk)
    assert model in (walk.artifacts / "claims/dvc.lock").read_text()


def test_a_forged_model_is_built_again_and_refused(github: GitHubActions) -> None:
    """It learnt the test rows by heart, and stands under dvc.lock with every digest right."""
    rows = pd.read_parquet(github.project.root / "data/split/test.parquet")
    forest = RandomForestClassifier(10, max_depth=6, random_state=0)
    model = make_pipeline(SimpleImputer(), forest)
    github.parcels.swap(model.fit(rows[["weight", "height"]], rows["broken"]))
    github.parcels.dvc("repro", "--quiet", "evaluate")
    github.project.mlops("push")
    walk = github.pull_request()
    assert walk.jobs == dict.fromkeys(("candidate", "model-gate"), "failure")
    assert "its outputs do not follow from its inputs: model/model.skops is not what" in said(walk)
    assert walk.verdict["metrics"]["roc_auc"]["candidate"]["value"] > 0.9


def test_data_that_nobody_stored_is_told_how_to_store(github: GitHubActions) -> None:
    github.parcels.add_rows()
    github.project.mlops("run")
    walk = github.pull_request()
    refused(walk, "lock", "files", "rows", "holdout", "data", *ASKED)
    assert "run `uv run mlops push` on the machine that has it" in walk.log


def test_predictions_that_are_nan_are_refused(github: GitHubActions) -> None:
    github.parcels.swap(make_model(math.nan, 1.0))
    github.project.mlops("push")
    walk = github.pull_request()
    refused(walk, "lock", *ASKED)
    assert "are missing or no numbers" in said(walk)


def test_a_crashed_evaluation_is_refused(github: GitHubActions) -> None:
    """A model for other columns: asked for an answer, it raises."""
    rows = make_rows(300)
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    github.parcels.swap(model.fit(rows[["weight"]], rows["broken"]))
    github.project.mlops("push")
    walk = github.pull_request()
    refused(walk, "lock", *ASKED)
    assert "The candidate fails on the test rows" in said(walk)


def test_a_job_that_failed_or_was_skipped_is_no_success(github: GitHubActions) -> None:
    """What judges runs all the same, and its last step asks how the candidate's job went."""
    (github.project.root / "docs/notes.md").write_text("Words.\n")
    github.project.edit(
        ".github/workflows/model-gate.yml", "  candidate:\n", "  candidate:\n    if: ${{ false }}\n"
    )
    github.act = True
    walk = github.pull_request()
    assert walk.jobs["model-gate"] == "failure"
    assert walk.status != 0


# Others


def test_another_environment_scores_for_itself_in_its_own_job(github: GitHubActions) -> None:
    github.project.edit("pyproject.toml", '"numpy>=2.3,<3"', '"numpy>=2.3.0,<3"')
    github.project.run("uv", "lock", "--quiet")
    walk = github.pull_request()
    let_in(walk)
    assert "**It changes the environment" in walk.summary
    assert (walk.artifacts / "claims/predictions.parquet").exists()


def test_thresholds_alone_are_let_in_and_shown(github: GitHubActions) -> None:
    github.project.edit("gates.yaml", "roc_auc: 0.01, ", "roc_auc: 0.05, ")
    walk = github.pull_request()
    let_in(walk)
    (note,) = walk.verdict["notes"]
    assert note.startswith(
        "It changes the policy, gates.yaml: checks.champion.metrics.roc_auc: 0.01 "
    )
