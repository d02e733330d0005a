"""Production takes only what somebody approved, and what GitHub remembers counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hub import BOT, Hub
from parcels import Project
from runs import LIVE, RUN, SERVER, Runs, approved_once


@pytest.fixture
def runs(made_approved: Project, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """1.1.0 is in staging; 1.0.0 was approved for production by ada in run 1."""
    return approved_once(made_approved.copy(tmp_path), hub, monkeypatch)


def test_who_approved_the_run_stands_in_the_record(runs: Runs) -> None:
    runs.start(2, approved_by="ada")
    runs.promote("1.1.0")
    record = runs.record()
    assert (record["version"], record["approved_by"], record["by"]) == ("1.1.0", "ada", "octocat")
    assert record["run"].endswith("/actions/runs/2")
    assert runs.promote("1.1.0").out == "1.1.0 is live in production already.\n"


def test_without_an_approval_nothing_enters(runs: Runs) -> None:
    runs.start(2)
    before = runs.project.registry()
    said = runs.promote("1.1.0", expect=1)
    assert "nobody approved run 2 for production" in said.err
    assert "--propose" in said.err
    assert runs.project.registry() == before


def test_a_rejection_and_another_environment_s_approval_do_not_count(runs: Runs) -> None:
    runs.start(2)
    runs.hub.approve(2, "production", "ada", ok=False)
    runs.hub.approve(2, "staging", "ada")
    assert "nobody approved" in runs.promote("1.1.0", expect=1).err


def test_from_a_laptop_production_is_closed(runs: Runs) -> None:
    said = runs.promote("1.1.0", expect=1)
    assert "gh workflow run promote.yml" in said.err


def test_elsewhere_than_on_github_one_s_own_word_has_to_do(second: Project) -> None:
    second.edit("gates.yaml", "sampling:", "approval: [staging]\nsampling:")
    second.merge("Ask for approval")
    second.mlops("promote", "1.1.0", "--to", "staging")
    assert second.live()["staging"] == "1.1.0"


def test_approval_of_an_unknown_environment_is_refused(second: Project) -> None:
    second.edit("gates.yaml", "sampling:", "approval: [prod]\nsampling:")
    assert "approval names no environment of this file: prod" in second.mlops("gate", expect=1).err


@pytest.mark.parametrize("status", [403, 404, 422, 429, 500])
def test_when_github_does_not_answer_nothing_enters_and_running_again_completes(
    status: int, runs: Runs
) -> None:
    runs.start(2, approved_by="ada")
    runs.hub.fault("runs/2/approvals", status)
    before = runs.project.registry()
    runs.promote("1.1.0", expect=2 if status in (429, 500) else 1)
    assert runs.project.registry() == before
    runs.hub.faults.clear()
    runs.promote("1.1.0")
    assert runs.record()["version"] == "1.1.0"


# Records that were slipped in

SLIPPED: dict[str, tuple[dict[str, Any], str]] = {
    "names no run": ({"run": None}, "names no run of this repository"),
    "of another repository": ({"run": f"{SERVER}/x/y/actions/runs/1"}, "names no run of this"),
    "a run that is none": ({"run": f"{RUN}../7"}, "names no run of this repository"),
    "a run that never was": ({"run": f"{RUN}99"}, "which GitHub does not know"),
    "of another workflow": ({"run": f"{RUN}5"}, "is one of ci.yml, which does not promote"),
    "of another branch": ({"run": f"{RUN}9"}, "its run 9 is of the branch mine"),
    "that nobody approved": ({"run": f"{RUN}6"}, "nobody approved its run 6"),
    "another name": (
        {"run": f"{RUN}7", "approved_by": "octocat"},
        "was approved by ada, and its record says octocat",
    ),
    "as a pull request": (
        {"run": f"{RUN}7", "approved_by": "pull request"},
        "no pull request brought its record here",
    ),
    "a run for the second time": ({"since": "2026-02-02"}, "its run 1 stands in 2 records"),
    "a rollback of no such run": (
        {"action": "roll back", "run": f"{RUN}5"},
        "its run 5 is one of ci.yml, which does not roll back",
    ),
    "a rollback to what never was there": (
        {"action": "roll back", "run": f"{RUN}8"},
        "it was never promoted there",
    ),
}


@pytest.mark.parametrize(("fields", "words"), SLIPPED.values(), ids=SLIPPED.keys())
def test_a_record_that_was_slipped_in_is_found(
    fields: dict[str, Any], words: str, runs: Runs
) -> None:
    runs.hub.run(5, "ci.yml")
    runs.hub.run(6, "promote.yml")
    runs.hub.run(7, "promote.yml")
    runs.hub.approve(7, "production", "ada")
    runs.hub.run(8, "rollback.yml")
    runs.hub.run(9, "promote.yml", head_branch="mine")
    runs.slip_in(**fields)
    runs.start(2, approved_by="ada")
    before = runs.project.registry()
    said = runs.promote("1.1.0", expect=1)
    assert words in said.err
    assert runs.project.registry() == before
    assert words in runs.project.mlops("doctor", expect=1).out


def test_a_record_that_fits_another_that_was_slipped_in_is_found(runs: Runs) -> None:
    runs.slip_in("1.1.0", previous="0.9.0")
    runs.slip_in("1.0.0", run=None)
    runs.start(2, approved_by="ada")
    said = runs.promote("1.1.0", expect=1)
    assert "1.0.0 is live in production, but its record names no run" in said.err


def test_an_approved_run_counts_once(runs: Runs) -> None:
    """The record of an old run is used again for another version."""
    runs.start(2, approved_by="ada")
    runs.promote("1.1.0")
    runs.slip_in("1.0.0", since="2026-02-02T00:00:00+00:00")
    runs.start(3, approved_by="ada")
    said = runs.promote("1.1.0", expect=1)
    assert "its run 2 stands in 2 records" in said.err


def test_a_rollback_is_as_good_as_the_promotion_that_it_goes_back_to(runs: Runs) -> None:
    runs.start(2, approved_by="ada")
    runs.promote("1.1.0")
    runs.start(3, "rollback.yml")
    runs.project.mlops("rollback", "production")
    runs.start(4, approved_by="ada")
    runs.promote("1.1.0")
    assert runs.record()["version"] == "1.1.0"


def test_a_rollback_to_what_nobody_approved_is_found(runs: Runs) -> None:
    runs.project.rewrite(LIVE, f"run: {RUN}1", f"run: {RUN}6")
    runs.hub.run(6, "promote.yml")
    runs.hub.run(8, "rollback.yml")
    runs.slip_in("1.1.0", run=f"{RUN}7")
    runs.slip_in("1.0.0", action="roll back", run=f"{RUN}8")
    runs.start(2, approved_by="ada")
    said = runs.promote("1.1.0", expect=1)
    assert "of the promotion that it goes back to: nobody approved its run 6" in said.err


# The promotion as a pull request


def test_where_nobody_can_approve_the_promotion_is_a_pull_request(runs: Runs) -> None:
    runs.start(2)
    said = runs.promote("1.1.0", "--propose")
    (pull,) = runs.hub.pulls
    assert said.out.startswith("1.1.0 is proposed for production; once somebody else approved")
    assert (pull["base"]["ref"], pull["head"]["ref"]) == ("registry", "promotions/production")
    for part in ("**1.1.0** into **production**", "replaces 1.0.0", "| champion | roc_auc | pass"):
        assert part in pull["body"]
    assert runs.project.live()["production"] == "1.0.0"
    runs.merge()
    assert runs.project.live()["production"] == "1.1.0"
    runs.start(3)
    assert runs.promote("1.1.0").out == "1.1.0 is live in production already.\n"


FORGED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "reviewed by nobody": ({}, {"reviewer": ""}, "was approved by no person"),
    "by who asked": ({}, {"reviewer": "octocat"}, "other than who asked for it: octocat"),
    "by who pushed last": ({"pushed": "ada"}, {}, "other than who asked for it: ada, octocat"),
    "by the bot": ({}, {"reviewer": BOT}, "was approved by no person"),
    "asked for changes": ({}, {"state": "CHANGES_REQUESTED"}, "was approved by no person"),
    "of what was not merged": ({}, {"commit_id": "f" * 40}, "on what was merged"),
    "opened by hand": ({"user": "octocat"}, {}, "was opened by octocat, and not by the workflow"),
    "of an App that is not ours": ({"user": "x[bot]"}, {}, "was opened by x[bot], and not by"),
    "of another branch": ({"ref": "mine"}, {}, "came from the branch mine"),
    "of a fork": ({"full_name": "ada/x"}, {}, "came from the branch promotions/production"),
    "with more in it": ({"commits": 2}, {}, "holds more than the one record"),
    "with other files": ({"changed_files": 2}, {}, "holds more than the one record"),
}


@pytest.mark.parametrize(("pull", "review", "words"), FORGED.values(), ids=FORGED.keys())
def test_a_proposal_that_was_forged_is_no_approval(
    pull: dict[str, Any], review: dict[str, Any], words: str, runs: Runs
) -> None:
    """One writer opens a pull request to the registry, lets a bot approve it and merges it."""
    runs.start(2)
    runs.promote("1.1.0", "--propose")
    there, hub = runs.hub.pulls[-1], runs.hub
    runs.merge(**review)
    hub.committers[there["head"]["sha"]] = pull.get("pushed", "octocat")
    if "user" in pull:
        there["user"] = hub.person(pull["user"])
    there["head"] |= {"ref": pull.get("ref", there["head"]["ref"])}
    there["head"]["repo"] |= {"full_name": pull.get("full_name", hub.slug)}
    there |= {key: pull[key] for key in ("commits", "changed_files") if key in pull}
    runs.start(3, approved_by="ada")
    assert words in runs.promote("1.1.0", expect=1).err
    assert words in runs.project.mlops("doctor", expect=1).out


def test_who_asked_is_who_started_the_run_and_not_what_the_record_says(runs: Runs) -> None:
    runs.start(2)
    runs.patch.setenv("GITHUB_ACTOR", "somebody")
    runs.promote("1.1.0", "--propose")
    runs.merge("octocat")
    runs.start(3)
    assert "other than who asked for it: octocat" in runs.promote("1.1.0", expect=1).err


@pytest.mark.parametrize("fields", [{"actor": "ada"}, {"triggering_actor": "ada"}])
def test_who_started_a_run_does_not_approve_it(fields: dict[str, str], runs: Runs) -> None:
    runs.start(2, approved_by="ada")
    runs.hub.run(2, **fields)
    assert "nobody approved run 2" in runs.promote("1.1.0", expect=1).err


def test_a_bot_approves_no_run(runs: Runs) -> None:
    runs.start(2, approved_by=BOT)
    assert "nobody approved run 2" in runs.promote("1.1.0", expect=1).err


def test_the_app_of_the_repository_may_propose(runs: Runs) -> None:
    runs.start(2)
    runs.promote("1.1.0", "--propose")
    runs.hub.pulls[-1]["user"] = runs.hub.person("flights-mlops[bot]")
    runs.hub.apps["flights-mlops"], runs.hub.variables["APP_ID"] = 4711, "4711"
    runs.merge()
    runs.start(3)
    assert runs.promote("1.1.0").out == "1.1.0 is live in production already.\n"


def test_a_proposal_is_renewed_and_not_doubled(runs: Runs) -> None:
    for number in (2, 3):
        runs.start(number)
        runs.promote("1.1.0", "--propose")
    (pull,) = runs.hub.pulls
    assert "/actions/runs/3" in pull["body"]


def test_a_doubt_can_be_settled_by_a_pull_request(runs: Runs) -> None:
    runs.project.rewrite(LIVE, f"run: {RUN}1", "run: null")
    runs.start(2, approved_by="ada")
    runs.promote("1.1.0", "--propose")
    (pull,) = runs.hub.pulls
    assert "1.0.0 is live in production, but its record names no run" in pull["body"]
    assert runs.project.live()["production"] == "1.0.0"


def test_a_proposal_that_github_refuses_is_told_and_completed_later(runs: Runs) -> None:
    runs.start(2)
    runs.hub.fault("POST .*/pulls$", 403, message="GitHub Actions is not permitted to create")
    said = runs.promote("1.1.0", "--propose", expect=1)
    assert "not permitted to create" in said.err
    runs.hub.faults.clear()
    runs.promote("1.1.0", "--propose")
    assert len(runs.hub.pulls) == 1


# What GitHub shows


def test_a_promotion_is_shown_as_release_and_deployment(runs: Runs) -> None:
    project, hub = runs.project, runs.hub
    runs.start(2, approved_by="ada")
    assert "1.1.0 in staging is published" in project.mlops("publish", "staging").out
    (release,) = hub.releases
    assert (release["tag_name"], release["prerelease"]) == ("v1.1.0", True)
    runs.promote("1.1.0")
    for _ in range(2):
        project.mlops("publish", "production")
    (release,) = hub.releases
    assert release["prerelease"] is False
    model = project.record("1.1.0")["files"][0]["sha256"]
    for part in ("parameters changed", "promote, production", "decision: 'yes'", model):
        assert part in release["body"]
    shown = [(d["environment"], d["ref"]) for d in hub.deployments]
    assert shown == [("staging", "v1.1.0"), ("production", "v1.1.0")]
    assert [s["state"] for made in hub.statuses.values() for s in made] == ["success"] * 2


@pytest.mark.parametrize("broken", ["POST .*/releases", "POST .*/deployments$", "POST .*/statuses"])
def test_publishing_again_completes_what_a_failure_left(broken: str, runs: Runs) -> None:
    runs.start(2)
    runs.hub.fault(broken, 500, times=1)
    assert "run the command again" in runs.project.mlops("publish", "staging", expect=2).err
    runs.project.mlops("publish", "staging")
    assert (len(runs.hub.releases), len(runs.hub.deployments)) == (1, 1)
    assert sum(map(len, runs.hub.statuses.values())) == 1


def test_elsewhere_there_is_nothing_to_publish_to(second: Project, tmp_path: Path) -> None:
    assert "is no GitHub repository" in second.mlops("publish", "dev", expect=1).err
    assert "is no GitHub repository" in second.mlops("comment", "x.json", expect=1).err


# The comment


@pytest.fixture
def ended(runs: Runs, tmp_path: Path) -> dict[str, Any]:
    """The event of a gate's run that ended, for an open pull request of ada's fork."""
    sha = "c" * 40
    runs.hub.pulls.append(
        {
            "number": 7,
            "state": "open",
            "head": {"ref": "change", "label": "ada:change", "sha": sha},
            "base": {"ref": "main", "label": "acme:main", "sha": "b" * 40},
            "user": runs.hub.person("ada"),
            "merged": False,
            "merged_by": None,
        }
    )
    run: dict[str, Any] = {
        "id": 55,
        "event": "pull_request",
        "conclusion": "success",
        "head_branch": "change",
        "head_sha": sha,
        "head_repository": {"owner": {"login": "ada"}},
    }
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": run}))
    runs.patch.setenv("GITHUB_EVENT_PATH", str(event))
    return run


def change_event(runs: Runs, ended: dict[str, Any], tmp_path: Path, **fields: Any) -> None:
    (tmp_path / "event.json").write_text(json.dumps({"workflow_run": ended | fields}))


def verdict(runs: Runs) -> Path:
    runs.project.mlops("gate")
    return runs.project.root / "reports/gate.json"


def test_the_report_is_one_comment_kept_up_to_date(runs: Runs, ended: dict[str, Any]) -> None:
    path = str(verdict(runs))
    for _ in range(2):
        runs.project.mlops("comment", path)
    (comment,) = runs.hub.comments
    assert comment["body"].count("Yes: the model may enter dev") == 1
    assert "/actions/runs/55" in comment["body"]


def test_only_its_own_comment_is_renewed(runs: Runs, ended: dict[str, Any]) -> None:
    path = str(verdict(runs))
    runs.project.mlops("comment", path)
    runs.hub.comments[0]["user"] = runs.hub.person("ada")
    runs.project.mlops("comment", path)
    assert len(runs.hub.comments) == 2
    assert runs.hub.comments[1]["user"]["login"] == BOT


def test_another_commit_s_run_is_not_commented(
    runs: Runs, ended: dict[str, Any], tmp_path: Path
) -> None:
    change_event(runs, ended, tmp_path, head_sha="d" * 40)
    assert "belongs to no open pull request" in runs.project.mlops("comment", "x.json").out
    assert runs.hub.comments == []


def hostile(path: Path) -> None:
    told = json.loads(path.read_text())
    told["answers"][0]["findings"][0]["message"] = (
        "@acme/all <img src=x> [a](http://evil) | `x` https://evil ![i](x)\n# Big"
    )
    told["notes"] = ["**bold** <script>"]
    path.write_text(json.dumps(told))


def test_what_a_fork_wrote_becomes_no_markup(runs: Runs, ended: dict[str, Any]) -> None:
    path = verdict(runs)
    hostile(path)
    runs.project.mlops("comment", str(path))
    body = runs.hub.comments[0]["body"]
    for part in ("@acme", "<img", "[a](", "<script", "\n# Big", " https://evil"):
        assert part not in body


RUBBISH: dict[str, str] = {
    "no JSON": "<html>",
    "no verdict": '{"decision": "yes"}',
    "a list": "[1]",
    "another decision": '{"decision": "maybe"}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_told_as_such(
    text: str, runs: Runs, ended: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "gate.json").write_text(text)
    runs.project.mlops("comment", str(tmp_path / "gate.json"))
    assert "The gate's report cannot be read" in runs.hub.comments[0]["body"]


def test_a_report_that_contradicts_its_run_is_not_shown(
    runs: Runs, ended: dict[str, Any], tmp_path: Path
) -> None:
    change_event(runs, ended, tmp_path, conclusion="failure")
    runs.project.mlops("comment", str(verdict(runs)))
    body = runs.hub.comments[0]["body"]
    assert "**The run counts**" in body
    assert "Yes: the model" not in body


def test_a_run_without_a_report_is_told(runs: Runs, ended: dict[str, Any], tmp_path: Path) -> None:
    change_event(runs, ended, tmp_path, conclusion="cancelled")
    runs.project.mlops("comment", str(tmp_path / "none.json"))
    assert "came to no verdict (cancelled)" in runs.hub.comments[0]["body"]
