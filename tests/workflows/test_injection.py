"""Names, titles, artifacts and records that a shell would run: through the workflows, none is.

Each payload would leave a mark, whichever way of quoting it meets. Bash reads the words, by `act`
or in this process; what a pull request and a registry say is walked by `act`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from acting import GitHubActions, Walk, on_github
from projects import Parcels
from published import Description

pytestmark = pytest.mark.slow


MARK = "marked-by-payload"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / MARK
    found = [folder for folder, _, names in os.walk(tmp_path) if MARK in names]
    kept = ("/refs/", "/logs/")  # Git keeps a branch in a file of its name
    assert [folder for folder in found if not any(k in folder for k in kept)] == []


@pytest.fixture
def github(live: Parcels, published: Description) -> Iterator[GitHubActions]:
    with on_github(live, published, act=False) as github:
        yield github


def payload(mark: Path) -> str:
    """Where a space may stand."""
    return f"x\"; touch {mark}; echo '; touch {mark}; `touch {mark}` $(touch {mark}) ${{{{ 1 }}}}"


def branch(mark: Path) -> str:
    """Git takes no space, colon or asterisk in a name."""
    touch = f"touch${{IFS}}{mark}"
    return f'x;{touch};";{touch};`{touch}`$({touch})&{touch}'


def ran(walk: Walk, **jobs: str) -> None:
    assert walk.jobs == jobs, walk.end


def test_names_and_titles_of_a_pull_request_are_words(github: GitHubActions, mark: Path) -> None:
    github.act = True
    github.branch(branch(mark))
    root = github.project.root
    for name in (payload(Path(MARK)), branch(Path(MARK))):
        (root / "docs" / name).write_text("Words.\n")
    walk = github.pull_request(title=payload(mark))
    ran(walk, candidate="success", **{"model-gate": "success"})
    ran(github.completed(walk), comment="success")


def test_what_an_artifact_holds_is_words(github: GitHubActions, mark: Path) -> None:
    """The run of a fork wrote it."""
    github.branch("change")
    (github.project.root / "docs/notes.md").write_text("Words.\n")
    walk = github.pull_request(fork=True)
    told = walk.artifacts / "gate/gate.json"
    verdict = json.loads(told.read_text())
    verdict |= {"sentence": payload(mark), "environment": payload(mark), "notes": [payload(mark)]}
    told.write_text(json.dumps(verdict))
    ran(github.completed(walk, fork=True), comment="success")
    told.write_text(payload(mark))
    ran(github.completed(walk, fork=True), comment="success")


def test_a_branch_that_is_trained_is_a_word(github: GitHubActions, mark: Path) -> None:
    name = branch(mark)
    github.branch(name)
    github.push("Change")
    github.act = True
    walk = github.dispatch("train.yml", {"branch": name})
    ran(walk, train="success")
    assert walk.status == 0


@pytest.mark.parametrize("workflow", ["promote", "retire", "rollback"])
def test_what_somebody_types_is_a_word(workflow: str, github: GitHubActions, mark: Path) -> None:
    inputs = {"environment": "dev", "version": payload(mark), "reason": payload(mark)}
    walk = github.dispatch(f"{workflow}.yml", inputs)
    ran(walk, **{workflow: "failure"})
    assert github.project.live()["dev"] == "1.0.0"


def test_what_the_registry_and_tags_say_is_words(github: GitHubActions, mark: Path) -> None:
    project = github.project
    tree = project.clone("stranger")
    tree.git("push", "--quiet", "origin", f"HEAD:refs/tags/v{branch(mark)}")
    went = github.dispatch("rollback.yml", {"environment": "dev", "version": "1.0.0"})
    assert set(went.jobs) == {"rollback"}, went.end
    tree.git("checkout", "--quiet", "registry")
    path = tree.root / "environments/dev.yaml"
    text = path.read_text().replace("previous: null", "previous: 1.0.0")  # so that it fits
    version = json.dumps(payload(mark) + "\n::error::obeyed")
    path.write_text(text.replace("version: 1.0.0", f"version: {version}"))
    tree.git("commit", "--quiet", "--no-verify", "-am", payload(mark))
    tree.git("push", "--quiet", "--no-verify", "origin", "registry")
    github.act = True
    walk = github.dispatch("rollback.yml", {"environment": "dev", "version": ""})
    github.act = False
    ran(walk, rollback="success")
    assert ": :error::obeyed" in walk.log, "the runner is told nothing"
    assert project.live()["dev"] == "1.0.0"
    github.variables["MLOPS_APPLIED"] = "true"
    ran(github.pushed(), register="success")
