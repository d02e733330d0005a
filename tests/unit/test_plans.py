"""Every kind of repository on GitHub, from the first push to a rollback: docs/github.md's table."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hub import Hub
from parcels import Project
from plans import FACTS, PLANS, Plan
from runs import Runs, approved_once, as_app
from settings import with_settings

PAGE = (Path(__file__).parents[2] / "docs/github.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_maintainer_sees_what_the_page_says(
    plan: Plan,
    made_approved: Project,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.on(plan)
    project = made_approved.copy(tmp_path)
    with_settings(project, hub)
    runs = approved_once(project, hub, monkeypatch)
    hub.permissions["can_approve_pull_request_reviews"] = False
    if plan.app:
        as_app(hub, monkeypatch)
    if plan.alone:
        project.edit("gates.yaml", "approval: [production]", "approval: []")
    pushed = "nothing is released" if "MLOPS_APPLIED" not in hub.variables else "released"
    applied = apply(project, hub)
    cells = [plan.name, pushed, applied, doctor(project), merge(hub), release(runs), back(runs)]
    row = f"| {' | '.join(cells)} |"
    assert row in PAGE.splitlines(), row


def apply(project: Project, hub: Hub) -> str:
    """What is set; doing it again sets nothing else."""
    project.mlops("github", "apply", "--yes", expect=None)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--allow-empty", "--no-verify", "-m", "The signing key")
    project.git("push", "--quiet", "origin", "HEAD")
    before = held(hub)
    project.mlops("github", "apply", "--yes", expect=None)
    assert held(hub) == before
    names = {ruleset["name"] for ruleset in hub.rulesets}
    app = "APP_ID" in hub.variables
    by = "the App" if app else "the deploy key"
    registry = f"the registry is closed to all but {by}" if "registry" in names else "open registry"
    stored = {name for name, secrets in hub.secrets.items() if "REGISTRY_KEY" in secrets}
    keys = "its key is yours to store" if app else "keys guarded" if stored else "no deploy key"
    return f"{registry}; {keys}"


def held(hub: Hub) -> Any:
    return deepcopy((hub.rulesets, hub.keys, hub.secrets, hub.permissions, hub.variables))


def doctor(project: Project) -> str:
    """After the App's key was stored by hand, where there is one."""
    rows = project.ask("doctor", expect=None)
    bad = sorted({row["subject"] for row in rows if row["state"] == "bad"})
    return "all protects" if not bad else f"lacking: {', '.join(bad)}"


def merge(hub: Hub) -> str:
    """What a pull request needs before it is merged."""
    names = {ruleset["name"] for ruleset in hub.rulesets}
    needed = {"main-checks": "green checks", "main-review": "a review by owners"}
    return " and ".join(words for name, words in needed.items() if name in names) or "nothing"


def release(runs: Runs) -> str:
    """How 1.1.0 comes to production."""
    hub, project = runs.hub, runs.project
    rules = hub.environments["production"]["protection_rules"]
    (reviewers,) = [r for r in rules if r["type"] == "required_reviewers"] or [None]
    alone = reviewers is not None and not reviewers["prevent_self_review"]
    runs.start(2, approved_by="ada" if reviewers and not alone else "")
    said = project.mlops("promote", "1.1.0", "--to", "production", "--propose", expect=None)
    if said.status:
        assert "not permitted to create" in said.err
        assert "a GitHub App opens it" in said.err
        assert project.live()["production"] == "1.0.0"
        hub.permissions["can_approve_pull_request_reviews"] = True  # the owner allows it
        runs.promote("1.1.0", "--propose")
        settle(runs)
        return "once an owner lets Actions open pull requests"
    if project.live()["production"] == "1.1.0":
        project.mlops("publish", "production")
        body = hub.releases[-1]["body"]
        assert f"approved by {'nobody' if alone else 'ada'}" in body
        return "at once, marked `approved by nobody`" if alone else "approved in its run"
    settle(runs)
    return "by a pull request that a person approved"


def settle(runs: Runs) -> None:
    runs.merge()
    runs.start(3, "settle.yml")
    runs.project.mlops("settle")
    assert runs.project.live()["production"] == "1.1.0"


def back(runs: Runs) -> str:
    runs.start(4, "rollback.yml")
    runs.project.mlops("rollback", "production", "--reason", "wrong")
    assert "Told in" in runs.project.mlops("publish", "production").out
    assert runs.project.live()["production"] == "1.0.0"
    rules = runs.hub.environments["rollback"]["protection_rules"]
    assert "required_reviewers" not in {rule["type"] for rule in rules}
    return "at once"


@pytest.mark.parametrize("name", FACTS)
def test_the_page_says_what_github_answers_and_where_that_is_written(name: str) -> None:
    fact = FACTS[name]
    lacking = ", ".join(plan for plan in PLANS if name in PLANS[plan].lacks)
    words = " ".join(filter(None, (fact.message, fact.detail)))
    row = f"| {name} | {fact.asks} | {fact.status}: {words} | {lacking} | {fact.source} |"
    assert row in PAGE.splitlines(), row
