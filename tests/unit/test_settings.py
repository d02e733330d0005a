"""Settings as code: applied once, and looked at by the doctor."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hub import Hub
from parcels import Project
from plans import PLANS
from settings import OWNERS, PLACES, put_library, with_settings

from gatewright.adapters.git import Git
from gatewright.adapters.signing import sign, signers
from gatewright.repo_settings.desired import owners


@pytest.fixture
def guarded(released: Project, hub: Hub) -> Project:
    """The project's own .github, and GitHub, where nothing is set yet."""
    with_settings(released, hub)
    released.edit("gates.yaml", "sampling:", "approval: [production]\nsampling:")
    released.on_github()
    return released


def writes(hub: Hub) -> list[str]:
    return [f"{method} {path}" for method, path, _ in hub.requests if method != "GET"]


def apply(project: Project, expect: int = 0) -> Any:
    return project.ask("github", "apply", "--yes", expect=expect)


def test_a_dry_run_tells_and_changes_nothing(guarded: Project, hub: Hub) -> None:
    said = guarded.mlops("github", "apply").out
    for part in (
        "make ruleset registry",
        "environment production: from main, approved by @octocat",
    ):
        assert part in said
    assert "Nothing was changed" in said
    assert writes(hub) == []


def test_applying_twice_changes_nothing_more(guarded: Project, hub: Hub) -> None:
    assert len(apply(guarded)["changed"]) == 19
    before = len(writes(hub))
    assert apply(guarded) == {"changed": [], "could not": []}
    assert len(writes(hub)) == before
    assert "has the settings that .github holds already" in guarded.mlops("github", "apply").out


def test_what_was_applied_is_what_is_held_as_code(guarded: Project, hub: Hub) -> None:
    apply(guarded)
    assert sorted(ruleset["name"] for ruleset in hub.rulesets) == [
        *("history", "main-checks", "main-review", "proposals", "registry", "versions"),
    ]
    (rule, _) = hub.environments["production"]["protection_rules"]
    assert [r["reviewer"]["login"] for r in rule["reviewers"]] == ["octocat"]
    assert rule["prevent_self_review"] is True
    assert [p["name"] for p in hub.branch_policies["production"]] == ["main"]
    assert hub.permissions["default_workflow_permissions"] == "read"


def test_the_key_is_sealed_for_each_environment(guarded: Project, hub: Hub) -> None:
    from nacl.public import SealedBox

    apply(guarded)
    (key,) = hub.keys
    assert (key["title"], key["read_only"]) == ("mlops registry", False)
    for name in PLACES:
        sealed = b64decode(hub.secrets[name]["REGISTRY_KEY"])
        private = SealedBox(hub.box).decrypt(sealed).decode()
        assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert "REGISTRY_KEY" not in hub.secrets[""]


def test_the_key_that_signs_is_made_and_its_public_half_is_there_to_commit(
    guarded: Project, hub: Hub
) -> None:
    from nacl.public import SealedBox

    told = " ".join(apply(guarded)["changed"])
    assert "as secret SIGNING_KEY of dev; commit security/signers.txt" in told
    private = SealedBox(hub.box).decrypt(b64decode(hub.secrets["dev"]["SIGNING_KEY"])).decode()
    assert len(signers(guarded.root)) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNING_KEY", private)
        assert sign(guarded.root, {"a": 1}) is not None
    assert "SIGNING_KEY" not in hub.secrets["production"]


def reproduction(project: Project) -> tuple[str, str]:
    """What the doctor says of it; as nothing else is set, it says no to the whole."""
    (row,) = [r for r in project.ask("doctor", expect=1) if r["subject"] == "reproduction"]
    return row["state"], row["words"]


def test_where_trainings_are_attested_only_the_default_branch_has_the_key(
    guarded: Project, hub: Hub
) -> None:
    apply(guarded)
    assert "training" not in hub.environments
    guarded.edit("gates.yaml", "checks:\n", "reproduce: attested\nchecks:\n")
    mark, words = reproduction(guarded)
    assert mark == "bad"
    assert "0 keys of security/trainers.txt may, so no model can enter" in words
    told = " ".join(apply(guarded)["changed"])
    assert "as secret TRAINING_KEY of training; commit security/trainers.txt" in told
    assert [p["name"] for p in hub.branch_policies["training"]] == ["main"]
    assert set(hub.secrets["training"]) == {"TRAINING_KEY"}, "it writes no registry"
    assert reproduction(guarded)[0] == "good"
    assert apply(guarded) == {"changed": [], "could not": []}


def test_what_was_changed_by_hand_is_changed_back(guarded: Project, hub: Hub) -> None:
    apply(guarded)
    hub.rulesets[0]["rules"] = []
    hub.branch_policies["production"].append({"id": 9, "name": "*", "type": "branch"})
    hub.environments["production"]["protection_rules"] = []
    del hub.secrets["staging"]["REGISTRY_KEY"]
    old = hub.keys[0]["id"]
    changed = " ".join(apply(guarded)["changed"])
    for part in ("change ruleset history", "let no jobs from * in", "approved by @octocat", "key"):
        assert part in changed
    assert [key["id"] for key in hub.keys] != [old]
    assert len(hub.keys) == 1
    assert apply(guarded)["changed"] == []


def test_a_plan_without_reviewers_still_gets_the_rest(guarded: Project, hub: Hub) -> None:
    hub.lacks.add("reviewers")
    told = " ".join(apply(guarded)["changed"])
    assert "environment production, WITHOUT reviewers" in told
    assert told.count("WITHOUT") == 1  # of the others nothing is asked that this plan refuses
    assert "pull requests to the branch registry" in told
    assert hub.permissions["can_approve_pull_request_reviews"] is True
    assert set(hub.environments) == set(PLACES)
    approved(guarded, hub)
    said = guarded.mlops("doctor").out
    assert "has no required reviewers: promotions become pull requests" in said


def test_a_plan_without_rulesets_is_told_and_fails(guarded: Project, hub: Hub) -> None:
    hub.lacks.add("rulesets")
    said = apply(guarded, expect=1)
    assert "Upgrade to GitHub Pro or make this repository public" in said["could not"][0]
    assert set(hub.environments) == set(PLACES)
    assert "cannot be seen" in guarded.mlops("doctor", expect=1).out


def test_where_the_plan_guards_no_environment_no_secret_is_stored(
    guarded: Project, hub: Hub
) -> None:
    hub.on(PLANS["private-free"])
    told = " ".join(apply(guarded, expect=1)["could not"])
    assert "no environment here keeps jobs of other branches from its secrets" in told
    assert "SIGNING_KEY was not stored in the environment dev" in told
    assert all(held == {} for held in hub.secrets.values())
    assert hub.keys == []


def test_a_secret_that_every_job_could_read_is_told_taken_out_and_made_anew(
    healthy: Project, hub: Hub
) -> None:
    hub.environments["dev"].update(deployment_branch_policy=None)
    (key,), old = hub.keys, dict(hub.secrets["dev"])
    assert "SIGNING_KEY lies where jobs of any branch can read it" in bad(healthy)
    told = " ".join(apply(healthy)["changed"])
    assert "take REGISTRY_KEY out of dev, where jobs of any branch could read it" in told
    assert {k["id"] for k in hub.keys}.isdisjoint({key["id"]})
    assert all(hub.secrets["dev"][name] != value for name, value in old.items())
    hub.environments["dev"].update(deployment_branch_policy=None)
    hub.lacks.add("branches")
    apply(healthy, expect=1)
    assert hub.secrets["dev"] == {}, "what cannot be guarded is not put back"


def test_an_organisation_that_forbids_deploy_keys_closes_nothing(
    guarded: Project, hub: Hub
) -> None:
    """What only the key opens would be closed to the jobs as well."""
    hub.on(PLANS["new-organisation"])
    approved(guarded, hub)
    told = apply(guarded, expect=1)["could not"]
    assert "organizations/acme/settings/deploy_keys" in told[0]
    assert "Deploy keys are disabled for this repository" in told[0]
    names = {ruleset["name"] for ruleset in hub.rulesets}
    assert names == {"history", "main-checks", "main-review"}
    assert "there is none. Where the organisation forbids them" in bad(guarded)
    hub.lacks.remove("deploy keys")
    apply(guarded)
    assert {"registry", "proposals", "versions"} <= {ruleset["name"] for ruleset in hub.rulesets}


def test_an_app_takes_the_place_of_the_deploy_key(guarded: Project, hub: Hub) -> None:
    hub.on(PLANS["new-team"])
    hub.variables["APP_ID"] = "4711"
    apply(guarded)
    assert hub.keys == []
    (registry,) = [ruleset for ruleset in hub.rulesets if ruleset["name"] == "registry"]
    (actor,) = registry["bypass_actors"]
    assert (actor["actor_type"], actor["actor_id"]) == ("Integration", 4711)
    assert hub.permissions["can_approve_pull_request_reviews"] is False
    assert "training" in hub.environments, "where its key may start a branch's checks"
    assert "dev, staging, production, rollback hold no APP_KEY" in bad(guarded)


def test_actions_may_open_pull_requests_only_where_a_promotion_needs_one(
    guarded: Project, hub: Hub
) -> None:
    approved(guarded, hub)
    apply(guarded)
    assert hub.permissions["can_approve_pull_request_reviews"] is False
    assert hub.variables["MLOPS_PROPOSALS"] == "false"
    hub.permissions["can_approve_pull_request_reviews"] = True
    assert "may open and approve pull requests, and no promotion needs it" in bad(guarded)
    hub.approvals.clear()
    apply(guarded)
    assert hub.permissions["can_approve_pull_request_reviews"] is True, "what is live is in doubt"
    assert hub.variables["MLOPS_PROPOSALS"] == "true"


def test_an_organisation_that_lets_actions_open_nothing_is_named(
    guarded: Project, hub: Hub
) -> None:
    hub.lacks |= {"reviewers", "pull requests by Actions"}
    (told,) = apply(guarded, expect=1)["could not"]
    assert "organizations/acme/settings/actions, under Workflow permissions" in told
    assert hub.permissions["default_workflow_permissions"] == "read", "the other field is set"


def test_who_works_alone_is_not_kept_from_their_own_approval(guarded: Project, hub: Hub) -> None:
    """One line: nobody is asked to be two people, and the doctor says so."""
    guarded.edit("gates.yaml", "approval: [production]", "approval: []")
    apply(guarded)
    (rule, _) = hub.environments["production"]["protection_rules"]
    assert rule["prevent_self_review"] is False
    assert apply(guarded) == {"changed": [], "could not": []}
    assert "gates.yaml lets production be entered unapproved" in bad(guarded)


def test_an_organisation_can_require_the_gate_as_the_default_branch_has_it(
    guarded: Project, hub: Hub
) -> None:
    words = ("github", "apply", "--organisation", "--yes")
    guarded.mlops(*words)
    (ruleset,) = hub.org_rules
    (workflow,) = ruleset["rules"][0]["parameters"]["workflows"]
    assert workflow == {
        "path": ".github/workflows/model-gate.yml",
        "repository_id": hub.repository["id"],
        "ref": "refs/heads/main",
    }
    assert "has the settings" in guarded.mlops(*words).out
    ruleset["enforcement"] = "disabled"
    guarded.mlops(*words)
    assert hub.org_rules[0]["enforcement"] == "active"
    hub.lacks.add("organisation rulesets")
    assert "Upgrade to GitHub Team" in guarded.mlops(*words, expect=1).err


def test_an_enterprise_server_is_refused_with_what_would_be_needed(
    guarded: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example.com")
    guarded.git("remote", "set-url", "origin", "https://git.example.com/acme/late-flights")
    for words in (("doctor",), ("github", "apply")):
        said = guarded.mlops(*words, expect=1).err
        assert "git.example.com is a GitHub Enterprise Server" in said
        assert "Host the repository on github.com" in said


def test_what_github_cannot_read_in_codeowners_is_told(healthy: Project, hub: Hub) -> None:
    error = {"line": 3, "column": 1, "kind": "Unknown owner", "path": ".github/CODEOWNERS"}
    hub.owner_errors = [error | {"message": "Unknown owner on line 3: make sure @acme exists\n  ^"}]
    assert "line 3 of .github/CODEOWNERS: Unknown owner on line 3: make sure @acme" in bad(healthy)
    hub.owner_errors = []
    (healthy.root / ".github/CODEOWNERS").write_text(OWNERS + "/src/ @acme\n")
    assert "@acme is an organisation: GitHub asks nobody for a review" in bad(healthy)


def test_applying_tells_which_owners_github_asks_for_nothing(guarded: Project, hub: Hub) -> None:
    """It closes what only they open; the rest is done."""
    error = {"line": 3, "column": 1, "kind": "Unknown owner", "path": ".github/CODEOWNERS"}
    hub.owner_errors = [error | {"message": "Unknown owner on line 3: make sure @eve exists\n  ^"}]
    (guarded.root / ".github/CODEOWNERS").write_text(OWNERS + "/src/ @acme\n")
    assert "make sure @eve exists" in guarded.mlops("github", "apply").out
    unknown, bare = apply(guarded, expect=1)["could not"]
    assert unknown == (
        "owners: line 3 of .github/CODEOWNERS: Unknown owner on line 3: make sure @eve exists: "
        "Correct .github/CODEOWNERS and merge it."
    )
    assert "@acme is an organisation: GitHub asks nobody for a review, without an error" in bare
    assert "Name a team of it, like @acme/TEAM, in .github/CODEOWNERS" in bare
    assert "main-review" in {ruleset["name"] for ruleset in hub.rulesets}
    hub.owner_errors = []
    (guarded.root / ".github/CODEOWNERS").write_text(OWNERS)
    assert apply(guarded)["could not"] == []


def test_an_organisation_cannot_review_and_a_team_can(guarded: Project, hub: Hub) -> None:
    (guarded.root / ".github/CODEOWNERS").write_text("* @acme\n")
    said = apply(guarded, expect=1)
    assert "@acme is an organisation and cannot approve" in said["could not"][0]
    assert "production" in hub.environments
    (guarded.root / ".github/CODEOWNERS").write_text("* @acme/owners\n")
    apply(guarded)
    (rule, _) = hub.environments["production"]["protection_rules"]
    assert rule["reviewers"][0]["type"] == "Team"


def test_half_done_is_completed_by_running_again(guarded: Project, hub: Hub) -> None:
    hub.fault("PUT .*/secrets/REGISTRY_KEY", 500, times=1)
    assert "run the command again" in guarded.mlops("github", "apply", "--yes", expect=2).err
    assert hub.keys == [], "a key that nobody holds is taken back"
    apply(guarded)
    assert len(hub.keys) == 1
    assert all("REGISTRY_KEY" in hub.secrets[name] for name in PLACES)


def test_a_key_that_not_all_got_is_renewed(guarded: Project, hub: Hub) -> None:
    hub.fault("PUT .*/production/secrets/REGISTRY_KEY", 500, times=1)
    guarded.mlops("github", "apply", "--yes", expect=2)
    apply(guarded)
    hub.secrets["dev"].clear()
    hub.fault("PUT .*/production/secrets/REGISTRY_KEY", 500, times=1)
    guarded.mlops("github", "apply", "--yes", expect=2)
    assert len(hub.keys) == 2, "whoever holds one may still write"
    assert "a new deploy key" in " ".join(apply(guarded)["changed"])
    assert len(hub.keys) == 1


def test_elsewhere_there_is_nothing_to_apply(released: Project) -> None:
    assert "origin is no GitHub" in released.mlops("github", "apply", expect=1).err


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("README.md", ["@ada"]),
        ("data/raw/x.parquet", ["@ada", "@acme/owners"]),
        ("data/", ["@ada", "@acme/owners"]),
        ("gates.yaml", ["@octocat"]),
    ],
)
def test_the_last_line_that_matches_owns(path: str, who: list[str]) -> None:
    assert owners(OWNERS, path) == who


# The doctor


def rows(project: Project, expect: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = project.ask("doctor", expect=expect)
    return found


def bad(project: Project) -> str:
    return json.dumps([row for row in rows(project, 1) if row["state"] == "bad"])


def approved(project: Project, hub: Hub) -> None:
    """What is live was promoted in a run that ada approved."""
    hub.run(1, "release.yml")
    hub.approve(1, "production", "ada")

    run = "https://github.com/acme/late-flights/actions/runs/1"
    live = "environments/production.yaml"
    project.rewrite(live, "run: null", f"run: {run}")
    project.rewrite(live, "approved_by: null", "approved_by: ada")


@pytest.fixture
def healthy(guarded: Project, hub: Hub) -> Project:
    """Applied, and what is live was approved."""
    approved(guarded, hub)
    apply(guarded)
    assert [row for row in rows(guarded, 0) if row["state"] == "bad"] == []
    return guarded


def test_a_fresh_repository_is_not_protected(guarded: Project, hub: Hub) -> None:
    said = bad(guarded)
    for part in (
        "requires the checks ci, model-gate, security",
        "is closed to pushes by hand",
        "environment production",
        "deploy key",
        "may only read unless",
        "cannot be moved or deleted",
        "names no run of this repository",
    ):
        assert part in said


def test_a_healthy_one_tells_who_may_pass_rules_by(healthy: Project) -> None:
    said = healthy.mlops("doctor").out
    for part in (
        "asks octocat to approve",
        "asks a second person",
        "DeployKey may pass it by (always)",
        "RepositoryRole 5 may pass it by (pull_request)",
        "1.0.0 was approved by ada, as GitHub remembers",
        "Everything that was asked for protects.",
    ):
        assert part in said


def remove_rule(hub: Hub, kind: str) -> None:
    for ruleset in hub.rulesets:
        ruleset["rules"] = [rule for rule in ruleset["rules"] if rule["type"] != kind]


def rebase(hub: Hub) -> None:
    for ruleset in hub.rulesets:
        for rule in ruleset["rules"]:
            if rule["type"] == "pull_request":
                rule["parameters"]["allowed_merge_methods"] = ["squash", "rebase"]


SICK: dict[str, tuple[Any, str]] = {
    "checks": (lambda hub: remove_rule(hub, "required_status_checks"), "requires the checks"),
    "reviews": (lambda hub: remove_rule(hub, "pull_request"), "closed to pushes by hand"),
    "a rebase": (rebase, "no rebase lets its data in apart from its code"),
    "history": (lambda hub: remove_rule(hub, "non_fast_forward"), "deleted or rewritten"),
    "tags": (lambda hub: remove_rule(hub, "creation"), "made by the registry's key only"),
    "proposals": (lambda hub: remove_rule(hub, "update"), "written by the registry's key only"),
    "an environment": (lambda hub: hub.environments.pop("staging"), "environment staging"),
    "a common secret": (
        lambda hub: hub.secrets[""].update(REGISTRY_KEY="x"),
        "every job holds it",
    ),
    "no key": (lambda hub: hub.secrets["dev"].clear(), "dev hold no REGISTRY_KEY"),
    "one person": (
        lambda hub: hub.environments["production"]["protection_rules"][0].update(
            prevent_self_review=False
        ),
        "asks a second person",
    ),
    "every branch": (
        lambda hub: hub.environments["production"].update(deployment_branch_policy=None),
        "chosen branches only",
    ),
    "a strong token": (
        lambda hub: hub.permissions.update(default_workflow_permissions="write"),
        "may only read unless",
    ),
    "a week's watch": (
        lambda hub: hub.workflows.update({"watch.yml": "disabled_inactivity"}),
        "watch.yml does not run (disabled_inactivity): `gh workflow enable watch.yml`",
    ),
    "a workflow that GitHub lacks": (
        lambda hub: hub.workflows.pop("model-gate.yml"),
        "GitHub does not know model-gate.yml",
    ),
    "an approval that is gone": (lambda hub: hub.approvals.clear(), "nobody approved its run 1"),
    "a token that sees nothing": (lambda hub: hub.fault("rulesets", 403), "cannot be seen"),
}


@pytest.mark.parametrize(("spoil", "words"), SICK.values(), ids=SICK.keys())
def test_what_is_missing_is_found(spoil: Any, words: str, healthy: Project, hub: Hub) -> None:
    spoil(hub)
    assert words in bad(healthy)


def test_what_is_wrong_in_the_files_is_found(healthy: Project) -> None:
    (healthy.root / ".github/CODEOWNERS").write_text("/docs/ @ada\n")
    healthy.edit("gates.yaml", "approval: [production]\n", "")
    path = healthy.root / ".github/workflows/ci.yml"
    path.write_text(path.read_text() + "# uses: actions/checkout@v7\n")
    said = bad(healthy)
    for part in ("names nobody for", "lets production be entered unapproved", "checkout@v7"):
        assert part in said


OTHER = "9.9.9"
LIBRARY: dict[str, tuple[Any, str]] = {
    "another is installed": (
        lambda p: put_library(p, pinned=OTHER, locked=OTHER, source=OTHER),
        f"pyproject.toml pins {OTHER}, and {version('gatewright')} is installed: run `uv sync`",
    ),
    "another is locked": (
        lambda p: put_library(p, locked=OTHER),
        f"and uv.lock holds {OTHER}. Run `uv lock` and `uv sync`, and commit uv.lock",
    ),
    "the source is another's wheel": (
        lambda p: put_library(p, source=OTHER),
        f"its source is vendor/gatewright-{OTHER}-py3-none-any.whl: correct [tool.uv.sources]",
    ),
    "the wheel was changed": (
        lambda p: put_library(p).write_bytes(b"another wheel"),
        "it is not the wheel that was locked. Restore both with `git restore vendor/gatewright-",
    ),
    "the wheel is missing": (
        lambda p: put_library(p).unlink(),
        "is missing: restore it with `git restore vendor/gatewright-",
    ),
    "nothing is pinned": (
        lambda p: p.edit("pyproject.toml", "==", ">="),
        "pins no version of gatewright, so any may judge: run `uv add 'gatewright[project]==",
    ),
    "no lock": (lambda p: (p.root / "uv.lock").unlink(), "uv.lock cannot be read"),
    "no TOML": (
        lambda p: (p.root / "pyproject.toml").write_text("[[["),
        "pyproject.toml is no TOML",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), LIBRARY.values(), ids=LIBRARY.keys())
def test_another_library_than_the_pinned_one_is_found(
    spoil: Any, words: str, guarded: Project
) -> None:
    (good,) = [row for row in rows(guarded, 1) if row["subject"] == "library"]
    assert good["state"] == "good"
    assert f"gatewright {version('gatewright')} is pinned, locked and installed" in good["words"]
    spoil(guarded)
    (found,) = [row for row in rows(guarded, 1) if row["subject"] == "library"]
    assert found["state"] == "bad"
    assert words in found["words"]


def test_a_library_from_a_package_index_needs_no_wheel_here(guarded: Project) -> None:
    path = guarded.root / "pyproject.toml"
    path.write_text(path.read_text().partition("[tool.uv")[0])
    shutil.rmtree(guarded.root / "vendor")
    (found,) = [row for row in rows(guarded, 1) if row["subject"] == "library"]
    assert found["state"] == "good"


def test_the_doctor_asks_git_as_often_for_three_versions_as_for_two(
    made_second: Project, made_third: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    raw = Git.raw

    def counted(git: Git, *words: str, **more: Any) -> bytes:
        asked.append(words[0])
        return raw(git, *words, **more)

    monkeypatch.setattr(Git, "raw", counted)
    counts = []
    for versions, made in ((2, made_second), (3, made_third)):
        (tmp_path / str(versions)).mkdir()
        project = made.copy(tmp_path / str(versions))
        project.mlops("doctor", expect=1)  # what is seen for the first time is written down
        asked.clear()
        assert f"{versions} versions are as they were registered" in json.dumps(rows(project, 1))
        counts.append(len(asked))
    assert counts[0] == counts[1]
    asked.clear()
    project.mlops("status")
    assert len(asked) <= 9, asked


def test_a_stale_pin_is_noted(healthy: Project, hub: Hub) -> None:
    hub.newest["actions/checkout"] = "v99.0.0"
    assert "stale: actions/checkout is v7.0.1, the newest is v99.0.0" in healthy.mlops("doctor").out


@pytest.mark.parametrize("what", ["late-flights$", "rules/branches", "secrets"])
def test_github_that_is_down_is_undecided(what: str, healthy: Project, hub: Hub) -> None:
    hub.fault(what, 500)
    assert "run the command again" in healthy.mlops("doctor", expect=2).err


def test_elsewhere_the_doctor_says_that_pushing_is_promoting(released: Project) -> None:
    assert "whoever can push can promote" in bad(released)
