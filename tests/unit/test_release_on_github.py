"""Releases on GitHub: in the order of merges, tried, told of, and held up by nothing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hub import Hub
from parcels import Project
from runs import RUN, Runs, approved_once
from runs import as_app as use_app

from gatewright.adapters.app_token import as_app
from gatewright.adapters.deploy_key import registry_key
from gatewright.adapters.github import GitHub
from gatewright.errors import Refused
from gatewright.release import smoke_test


@pytest.fixture
def runs(made_approved: Project, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """1.1.0 is in staging; 1.0.0 was approved for production by ada in run 1."""
    return approved_once(made_approved.copy(tmp_path), hub, monkeypatch)


# The order of merges


def test_an_older_merge_does_not_overtake_a_newer_one(second: Project) -> None:
    """Its run was late: its number would be the highest, and it would go live over the newer."""
    second.git("checkout", "--quiet", "-b", "late", "HEAD~1")
    second.train(0.25)
    second.commit("Merged before, released after")
    before = second.registry()
    said = second.mlops("register", expect=1)
    newest = second.record("1.1.0")["commit"]
    assert f"1.1.0, the newest version, was made from commit {newest[:12]}" in said.err
    assert second.registry() == before
    second.git("merge", "--quiet", "--strategy", "ours", "-m", "Passed by", newest)
    assert "Registered 1.2.0" in second.mlops("register").out, "what the sentence says mends it"


@pytest.mark.parametrize(
    ("workflow", "fields", "cancelled"),
    [
        ("release.yml", {}, True),
        ("promote.yml", {"display_title": "promote 1.0.0 to production"}, True),
        ("promote.yml", {"display_title": "promote 1.2.0 to production"}, False),
        ("ci.yml", {}, False),
    ],
)
def test_a_newer_promotion_cancels_the_run_that_waits_with_an_older_version(
    workflow: str, fields: dict[str, str], cancelled: bool, runs: Runs, tmp_path: Any
) -> None:
    """It would hold the queue for up to 30 days, and be refused then."""
    runs.project.mlops("status")
    made = runs.project.record("1.0.0")["commit"]
    runs.hub.run(8, workflow, head_sha=made, status="waiting", **fields)
    runs.hub.pending[8] = ["production"]
    runs.start(9)
    summary = tmp_path / "summary"
    runs.patch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    said = runs.project.mlops("supersede", "1.1.0").out
    assert (runs.hub.runs[8]["conclusion"] == "cancelled") is cancelled
    if cancelled:
        assert "Run 8, which waited with 1.0.0 for production, is cancelled: 1.1.0 comes" in said
        assert summary.read_text() == said
    else:
        assert said == "No run waits with an older version.\n"


# Settling


def test_what_a_proposal_let_in_is_tried_and_shown_once(runs: Runs) -> None:
    runs.start(2)
    runs.promote("1.1.0", "--propose")
    runs.merge()
    assert "was let in and not tried yet" in runs.project.mlops("doctor", expect=1).out
    runs.start(3, "settle.yml")
    said = runs.project.mlops("settle").out
    assert "1.1.0 in production answers" in said
    assert "1.1.0 in production is published" in said
    before = len(runs.hub.requests)
    assert runs.project.mlops("settle").out == "Nothing is left to try or to show.\n"
    assert {method for method, _, _ in runs.hub.requests[before:]} == {"GET"}
    assert "not tried yet" not in runs.project.mlops("doctor", expect=1).out


def test_what_a_proposal_let_in_and_does_not_answer_is_rolled_back_and_told(runs: Runs) -> None:
    runs.start(2)
    runs.promote("1.1.0", "--propose")
    runs.merge()

    def fail(*_: object) -> int:
        raise Refused("golden row 1 is answered with another figure")

    runs.patch.setattr(smoke_test, "check_golden", fail)
    runs.start(3, "settle.yml")
    assert "Rolled back: production is back on 1.0.0" in runs.project.mlops("settle", expect=1).err
    assert runs.project.live()["production"] == "1.0.0"
    (issue,) = runs.hub.issues
    assert issue["title"].startswith("production went back to 1.0.0 on ")
    assert runs.project.mlops("settle").out == "Nothing is left to try or to show.\n"


# Rollback


def test_a_rollback_waits_for_nobody_and_everybody_is_told(runs: Runs) -> None:
    runs.start(2, approved_by="ada")
    runs.promote("1.1.0")
    runs.start(3, "rollback.yml")
    runs.project.mlops("rollback", "production", "--reason", "[wrong](http://evil) @all")
    for _ in range(2):
        assert "Told in https://github.com/" in runs.project.mlops("publish", "production").out
    (issue,) = runs.hub.issues
    assert "It was on 1.1.0. By octocat" in issue["body"]
    assert "[wrong](" not in issue["body"]


def test_where_issues_are_switched_off_a_rollback_is_published_all_the_same(runs: Runs) -> None:
    runs.start(2, approved_by="ada")
    runs.promote("1.1.0")
    runs.start(3, "rollback.yml")
    runs.project.mlops("rollback", "production")
    runs.hub.fault("POST .*/issues$", 410, message="Issues are disabled for this repo")
    said = runs.project.mlops("publish", "production").out
    assert "1.0.0 in production is published" in said
    assert "No issue tells of it" in said


def test_a_promotion_that_nobody_approved_says_so(runs: Runs) -> None:
    """Who works alone: `approval: []` in gates.yaml."""
    runs.project.edit("gates.yaml", "approval: [production]", "approval: []")
    runs.project.commit("Alone")
    runs.project.git("push", "--quiet", "origin", "HEAD")
    runs.start(2)
    runs.promote("1.1.0")
    runs.project.mlops("publish", "production")
    assert "promote, production, approved by nobody" in runs.hub.releases[-1]["body"]
    assert runs.hub.deployments[-1]["description"] == "promote: 1.1.0, approved by nobody"
    assert "approved by nobody" in runs.project.mlops("history", "production").out


# What runs by schedule


def test_a_scheduled_run_that_fails_has_one_issue_until_it_is_green(runs: Runs) -> None:
    def alarm(results: str) -> str:
        return str(runs.project.mlops("alarm", "watch", "--results", results).out)

    runs.start(2, "watch.yml")
    assert alarm("success success") == "watch is green.\n"
    assert runs.hub.issues == []
    for number, result in ((3, "failure success"), (4, "success cancelled")):
        runs.start(number, "watch.yml")
        assert alarm(result).startswith("watch fails: ")
    (issue,) = runs.hub.issues
    assert (issue["title"], issue["state"]) == ("watch fails", "open")
    assert f"{RUN}3" in issue["body"]
    assert [f"{RUN}4" in c["body"] for c in runs.hub.comments] == [True]
    runs.start(5, "watch.yml")
    assert "green again" in alarm("success")
    assert issue["state"] == "closed"
    alarm("failure")
    assert len(runs.hub.issues) == 2, "what is closed stays closed"


# A GitHub App


@pytest.fixture
def app(runs: Runs) -> Runs:
    """An App takes the place of the deploy key."""
    use_app(runs.hub, runs.patch)
    return runs


def test_the_app_asks_with_a_signed_request_of_minutes(app: Runs) -> None:
    github = GitHub.of(app.project.root)
    assert github
    assert as_app(github).token == "ghs_app"
    bearer = next(sent for sent in app.hub.tokens if sent and sent.count(".") == 2)
    head, claims, signature = bearer.removeprefix("Bearer ").split(".")

    def decoded(part: str) -> bytes:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))

    app.hub.app_public.verify(
        decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    told = json.loads(decoded(claims))
    assert told["iss"] == "4711"
    assert told["exp"] - told["iat"] <= 600
    assert "ghs_app" not in repr(as_app(github))


def test_the_app_writes_the_registry_and_opens_the_proposal(app: Runs) -> None:
    app.patch.setenv("REGISTRY_KEY", "no key, and it is not asked")
    with registry_key(app.project.root) as env:
        assert any("AUTHORIZATION: basic " in value for value in env.values())
        assert "GIT_SSH_COMMAND" not in env
    app.start(2)
    app.promote("1.1.0", "--propose")
    assert app.hub.pulls[-1]["user"]["login"] == "flights[bot]"
    app.merge()
    app.start(3)
    assert app.promote("1.1.0").out == "1.1.0 is live in production already.\n"


def test_a_key_of_an_app_that_is_none_is_a_sentence(app: Runs) -> None:
    app.patch.setenv("APP_KEY", "-----BEGIN")
    app.start(2, approved_by="ada")
    assert "APP_KEY holds no RSA key" in app.promote("1.1.0", expect=1).err


def test_the_app_starts_the_checks_of_what_was_trained(app: Runs) -> None:
    """What it opens again is an event of the pull request, whose checks count."""
    assert "Open a pull request of change" in app.project.mlops("recheck", "change").out
    app.hub.head_sha = lambda _: "a" * 40
    number = app.hub.open("Change", None, "change", "main")
    assert "The checks of change are started." in app.project.mlops("recheck", "change").out
    sent = [r.body["state"] for r in app.hub.requests if r[1].endswith(f"/pulls/{number}") and r[2]]
    assert sent == ["closed", "open"]
    app.patch.delenv("APP_KEY")
    said = app.project.mlops("recheck", "change", expect=1).err
    assert "There is no GitHub App here" in said


def test_without_an_app_the_run_says_who_has_to_press_what(runs: Runs) -> None:
    """A check that was started by name would not count, so none is."""
    runs.project.git("checkout", "--quiet", "-b", "change")
    runs.project.train(0.25)
    said = runs.project.mlops("deliver").out
    assert "Open a pull request of change: its checks start with it." in said
    runs.hub.open("Change", None, "change", "main")
    said = runs.project.mlops("deliver").out
    assert (
        "presses `Approve workflows to run` at https://github.com/acme/late-flights/pull/" in said
    )
    assert runs.hub.dispatches == []
