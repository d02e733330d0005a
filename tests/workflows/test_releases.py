"""Releases, promotions and rollbacks, through the workflows themselves.

Each path of a workflow is walked by `act` once, the way of a merge to production in
`test_steps.py`; the rest, and every bad day of GitHub, by the same steps in this process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from acting import GitHubActions, Walk, on_github, shown, went_well
from parcels import make_model
from projects import Parcels, Project, change_library, owned
from published import Description

from gatewright.errors import Refused

pytestmark = pytest.mark.slow
OPENS = "can_approve_pull_request_reviews"  # whether workflows may open pull requests


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process GitHub is asked again at once; how long we wait is tests/unit's affair."""
    monkeypatch.setattr("gatewright.adapters.github.PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture
def merged(trained: Parcels, published: Description) -> Iterator[GitHubActions]:
    """The first model is about to be merged; the settings are applied."""
    owned(trained)
    with on_github(trained, published, act=False) as github:
        github.apply_settings()
        yield github


@pytest.fixture
def bare(staged: Parcels, published: Description) -> Iterator[GitHubActions]:
    """1.0.0 and 1.0.1 were in staging; nobody has applied any settings."""
    with on_github(staged, published, act=False) as github:
        yield github


@pytest.fixture
def guarded(bare: GitHubActions) -> GitHubActions:
    """As `bare`, with the settings applied."""
    bare.apply_settings()
    return bare


@contextmanager
def by_act(github: GitHubActions) -> Iterator[None]:
    """What is walked here is walked by `act`."""
    github.act = True
    yield
    github.act = False


def promote(github: GitHubActions, version: str, **more: Any) -> Walk:
    inputs = {"version": version, "environment": "production"}
    return github.dispatch("promote.yml", inputs, **more)


# Releases


def test_production_takes_only_what_is_vouched_for_where_it_demands_it(
    guarded: GitHubActions,
) -> None:
    """1.0.0 and 1.0.1 were registered on a laptop, before there was a key."""
    for demanded in ("signature", "attestation"):
        text = (guarded.project.root / "gates.yaml").read_text()
        (guarded.project.root / "gates.yaml").write_text(
            re.sub(r"protection: .*", f"protection: {{production: [{demanded}]}}", text)
        )
        guarded.merge()
        walk = promote(guarded, "1.0.0", approved_by="ada")
        assert walk.status != 0
        assert f"1.0.0 has no {demanded}, and production demands it" in walk.log
        assert guarded.project.live()["production"] is None


def test_before_the_first_model_there_is_nothing_to_release(
    project: Project, published: Description
) -> None:
    project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
    project.git("remote", "add", "origin", str(project.origin))
    project.git("push", "--quiet", "--no-verify", "-u", "origin", "main", "dvc-storage")
    with on_github(project, published, act=False) as github:
        github.variables["MLOPS_APPLIED"] = "true"
        walk = github.pushed()
        went_well(walk, "register")
        assert "no model is committed yet" in walk.log
    assert github.hub.deployments == []


def test_an_unprotected_repository_releases_nothing_and_says_so(
    trained: Parcels, published: Description
) -> None:
    """The first push comes before the settings: it must not make environments without rules."""
    with on_github(trained, published, act=False) as github:
        github.merge()
        walk = github.pushed()
        went_well(walk, "unprotected")
        assert "Run mlops github apply --yes once" in walk.summary
        assert github.project.live()["dev"] is None


FORGED = """\
name: model-gate
on: pull_request
jobs:
  model-gate:
    runs-on: ubuntu-latest
    steps:
      - run: "true"
"""


def test_a_check_that_a_pull_request_forged_is_found_at_registration(
    merged: GitHubActions,
) -> None:
    """On `pull_request` its own workflow files run, so it can say of itself what it likes."""
    merged.branch("forged")
    (merged.project.root / ".github/workflows/model-gate.yml").write_text(FORGED)
    merged.parcels.swap(make_model(-1.0, 1.0))
    merged.parcels.dvc("repro", "--quiet", "evaluate")
    merged.project.mlops("push")
    went_well(merged.pull_request(), "model-gate")
    merged.merge()
    walk = merged.pushed()
    assert walk.jobs == {"register": "failure"}, walk.end
    assert "Not registered. No: the model may not enter dev. " in walk.log
    assert merged.project.live()["dev"] is None


def test_a_second_release_does_not_push_a_waiting_one_aside(merged: GitHubActions) -> None:
    """Both wait for their approval: no job is held here, the last is walked when it comes."""
    project = merged.project
    merged.merge()
    first = merged.pushed(until="staging")
    assert isinstance(project, Parcels)
    project.add_rows()
    project.mlops("run")
    project.mlops("push")
    merged.merge("Add the parcels of March")
    second = merged.pushed(until="staging")
    for walk in (first, second):
        went_well(walk, "register", "promote")
    assert project.live() == {"dev": "1.0.1", "staging": "1.0.1", "production": None}
    for version, walk in (("1.0.0", first), ("1.0.1", second)):
        went_well(promote(merged, version, again=walk.run_id, approved_by="ada"), "promote")
        assert project.live()["production"] == version


def test_what_was_approved_too_late_does_not_replace_what_is_newer(guarded: GitHubActions) -> None:
    went_well(promote(guarded, "1.0.1", approved_by="ada"), "promote")
    walk = promote(guarded, "1.0.0", approved_by="ada")
    assert walk.status != 0
    assert "1.0.1, which is newer than 1.0.0, is live in production" in walk.log
    assert guarded.project.live()["production"] == "1.0.1"


def test_a_failed_smoke_check_rolls_back_and_fails_loudly(guarded: GitHubActions) -> None:
    went_well(promote(guarded, "1.0.0", approved_by="ada"), "promote")
    broken = 'allclose(np.add(found["answer"], 0.01),'
    smoke_test = "release/smoke_test.py"
    change_library(guarded.project, smoke_test, 'allclose(found["answer"],', broken)
    guarded.merge("Break the scoring")
    with by_act(guarded):
        walk = promote(guarded, "1.0.1", approved_by="ada")
    assert walk.jobs == {"promote": "failure"}, walk.end
    assert "1.0.1 in production fails its smoke check: golden row 1" in walk.log, walk.end
    assert "Rolled back: production is back on 1.0.0 (was 1.0.1)." in walk.log
    assert guarded.project.live()["production"] == "1.0.0"
    assert shown(guarded) == [("production", "v1.0.0")] * 2, "what failed is not shown as live"
    (issue,) = guarded.hub.issues
    assert issue["title"].startswith("production went back to 1.0.0 on ")


def test_a_rollback_by_hand(guarded: GitHubActions) -> None:
    for version in ("1.0.0", "1.0.1"):
        went_well(promote(guarded, version, approved_by="ada"), "promote")
    inputs = {"environment": "production", "version": "", "reason": "$(touch ran) `touch ran`"}
    with by_act(guarded):
        walk = guarded.dispatch("rollback.yml", inputs)
    went_well(walk, "rollback")
    assert guarded.project.live()["production"] == "1.0.0"
    event = guarded.project.ask("history", "production")[-1]
    assert (event["event"], event["reason"]) == ("roll back", inputs["reason"])
    assert shown(guarded)[-1] == ("production", "v1.0.0")
    went_well(promote(guarded, "1.0.1", approved_by="ada"), "promote")
    assert guarded.project.live()["production"] == "1.0.1", "the way forward stays open"


# Approval


def test_a_version_is_retired_by_a_workflow(guarded: GitHubActions) -> None:
    """By hand nobody could: the registry is closed."""
    inputs = {"version": "1.0.0", "reason": "$(touch ran) bad labels"}
    assert (
        "rule violations"
        in guarded.project.mlops("retire", "1.0.0", "--reason", "x", expect=2).stderr
    )
    went_well(guarded.dispatch("retire.yml", inputs), "retire")
    walk = promote(guarded, "1.0.0", approved_by="ada")
    assert walk.status != 0
    assert "1.0.0 was retired" in walk.log
    assert inputs["reason"] in walk.log


def test_nobody_writes_the_registry_by_hand(guarded: GitHubActions) -> None:
    project = guarded.project
    done = project.mlops("rollback", "staging", expect=2)
    assert "Repository rule violations found for refs/heads/registry" in done.stderr
    guarded.secrets.clear()
    walk = promote(guarded, "1.0.0", approved_by="ada")
    assert walk.status != 0
    assert "Repository rule violations" in walk.log
    assert project.live()["production"] is None


def test_where_no_reviewer_can_be_asked_the_promotion_is_a_pull_request(
    bare: GitHubActions,
) -> None:
    bare.hub.lacks.add("reviewers")
    bare.apply_settings()
    walk = promote(bare, "1.0.0")
    went_well(walk, "promote")
    assert bare.project.live()["production"] is None
    assert shown(bare) == []
    pull = bare.merge_proposal("ada")
    for part in ("**1.0.0** into **production**", "it has no required reviewers", "| champion |"):
        assert part in pull["body"]
    with by_act(bare):
        walk = bare.schedule("settle.yml")
    went_well(walk, "settle")
    assert bare.project.live()["production"] == "1.0.0"
    assert shown(bare) == [("production", "v1.0.0")]
    assert bare.hub.releases[0]["tag_name"] == "v1.0.0"


def test_a_merged_promotion_that_fails_its_smoke_check_is_rolled_back(
    guarded: GitHubActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_well(promote(guarded, "1.0.0", approved_by="ada"), "promote")
    guarded.hub.permissions[OPENS] = True
    promote(guarded, "1.0.1")
    guarded.merge_proposal("ada")

    def fail(*_: object) -> int:
        raise Refused("golden row 1 is answered with another figure")

    monkeypatch.setattr("gatewright.release.smoke_test.check_golden", fail)
    walk = guarded.dispatch("settle.yml")
    assert walk.jobs == {"settle": "failure"}
    assert guarded.project.live()["production"] == "1.0.0"


def test_a_proposal_that_was_closed_settles_nothing(guarded: GitHubActions) -> None:
    guarded.hub.permissions[OPENS] = True
    promote(guarded, "1.0.0")
    guarded.hub.pulls[0]["state"] = "closed"
    walk = guarded.dispatch("settle.yml")
    went_well(walk, "settle")
    assert "Nothing is left to try or to show." in walk.log
    walk = guarded.schedule("settle.yml")
    assert walk.jobs == {}, "where runs are approved no minute is spent"
    assert guarded.project.live()["production"] is None


def test_without_any_protection_production_takes_nothing(bare: GitHubActions) -> None:
    walk = promote(bare, "1.0.0")
    assert walk.status != 0
    assert "not permitted to create" in walk.log
    assert bare.project.live()["production"] is None
    bare.hub.permissions[OPENS] = True
    went_well(promote(bare, "1.0.0"), "promote")
    assert [pull["base"]["ref"] for pull in bare.hub.pulls] == ["registry"]
    assert bare.project.live()["production"] is None


def test_the_doctor_sees_what_protects_and_what_does_not(guarded: GitHubActions) -> None:
    went_well(promote(guarded, "1.0.0", approved_by="ada"), "promote")
    assert "Everything that was asked for protects." in guarded.doctor()
    assert guarded.doctor().count("1.0.0 was approved by ada, as GitHub remembers") == 1
    guarded.hub.approvals.clear()
    assert "nobody approved its run" in guarded.doctor(expect=1)


# GitHub's bad days

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "403": ({"status": 403, "message": "Resource not accessible"}, "did not allow it"),
    "404": ({"status": 404, "message": "Not Found"}, "knows no such thing"),
    "422": ({"status": 422, "message": "Validation Failed"}, "422, Validation Failed"),
    "429": ({"status": 429, "headers": {"Retry-After": "999"}}, "answered 429"),
    "500": ({"status": 500}, "answered 500"),
}


@pytest.mark.parametrize("status", ["403", "404", "500"])
def test_where_nobody_can_be_asked_nothing_enters(status: str, guarded: GitHubActions) -> None:
    fault, words = FAULTS[status]
    guarded.hub.fault("/approvals", **fault)
    before = guarded.project.git("ls-remote", "origin")
    walk = promote(guarded, "1.0.0", approved_by="ada")
    assert walk.status != 0
    assert words in walk.log
    assert guarded.project.git("ls-remote", "origin") == before
    guarded.hub.faults.clear()
    went_well(promote(guarded, "1.0.0", again=walk.run_id), "promote")
    assert shown(guarded) == [("production", "v1.0.0")]


@pytest.mark.parametrize("status", ["403", "422", "429"])
def test_what_could_not_be_shown_is_shown_by_running_again(
    status: str, guarded: GitHubActions
) -> None:
    fault, words = FAULTS[status]
    guarded.hub.fault("POST .*/deployments$", **fault)
    walk = promote(guarded, "1.0.0", approved_by="ada")
    assert walk.status != 0
    assert words in walk.log
    assert (guarded.project.live()["production"], shown(guarded)) == ("1.0.0", [])
    guarded.hub.faults.clear()
    went_well(promote(guarded, "1.0.0", again=walk.run_id), "promote")
    assert shown(guarded) == [("production", "v1.0.0")]
    assert len(guarded.hub.releases) == 1


def test_a_slow_github_is_waited_for(guarded: GitHubActions) -> None:
    guarded.hub.fault("/approvals", None, delay=1)
    went_well(promote(guarded, "1.0.0", approved_by="ada"), "promote")


def test_a_github_that_is_down_is_no_approval(guarded: GitHubActions) -> None:
    down = {"GITHUB_API_URL": "http://127.0.0.1:9"}
    walk = promote(guarded, "1.0.0", approved_by="ada", env=down)
    assert walk.status != 0
    assert "GitHub could not be asked" in walk.log
    assert guarded.project.live()["production"] is None
