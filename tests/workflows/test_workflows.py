"""The workflows as they lie in the template: linted, pinned, their checks not to be skipped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import TEMPLATE

SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"
BIN = Path(sys.executable).parent
WORKFLOWS = sorted((SOURCE / ".github/workflows").glob("*.yml"))
OURS = sorted((TEMPLATE / ".github/workflows").glob("*.yml"))
REQUIRED = ("ci", "model-gate", "security")


def read(path: Path) -> Any:
    """YAML 1.1 takes the key `on` for a truth."""
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in whole.items()}


def workflow(name: str) -> Any:
    return read(SOURCE / f".github/workflows/{name}.yml")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository that holds the template's .github as it lies there."""
    shutil.copytree(SOURCE / ".github", tmp_path / ".github")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def lint(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    tool, *rest = words
    return subprocess.run([BIN / tool, *rest], cwd=tree, capture_output=True, text=True)


ZIZMOR = ("zizmor", "--offline", "--no-progress", "--persona", "auditor", ".")


@pytest.mark.parametrize("words", [("actionlint",), ZIZMOR], ids=lambda words: words[0])
def test_linters_find_nothing(words: tuple[str, ...], tree: Path) -> None:
    done = lint(tree, *words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_our_own_workflows_are_held_to_the_same(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATE / ".github", tmp_path / ".github")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for words in (("actionlint",), ZIZMOR):
        done = lint(tmp_path, *words)
        assert done.returncode == 0, done.stdout + done.stderr


PLANTED = {
    "an action by tag": ("ci.yml", r"checkout@\w{40} # v[\d.]+", "checkout@v7", "unpinned-uses"),
    "all permissions": ("ci.yml", r"permissions: \{\}", "permissions: write-all", "permissions"),
    "a token on disk": ("ci.yml", r"persist-credentials: false", "fetch-depth: 1", "artipacked"),
    "a title in a script": (
        "ci.yml",
        r"run: uv run --locked mypy",
        "run: echo ${{ github.event.pull_request.title }}",
        "template-injection",
    ),
    "a job that nobody knows": ("model-gate.yml", r"needs: candidate", "needs: snakes", None),
}


@pytest.mark.parametrize(("name", "old", "new", "audit"), PLANTED.values(), ids=PLANTED.keys())
def test_linters_find_what_is_planted(
    name: str, old: str, new: str, audit: str | None, tree: Path
) -> None:
    path = tree / ".github/workflows" / name
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)
    said = [lint(tree, "actionlint"), lint(tree, *ZIZMOR)]
    if audit is None:
        assert any(done.returncode for done in said)
    else:
        assert said[1].returncode != 0
        assert audit in said[1].stdout


def uses() -> list[tuple[str, str, str]]:
    found = []
    for path in [*(SOURCE / ".github").rglob("*.yml"), *OURS]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := re.search(r"uses: ([\w.-]+/[\w./-]+)@(\S+)(?: # (\S+))?", line):
                found.append((match[1], match[2], match[3]))
    return found


def test_every_action_is_one_commit_with_its_version() -> None:
    shas: dict[str, set[tuple[str, str]]] = {}
    for name, sha, version in uses():
        assert re.fullmatch(r"[0-9a-f]{40}", sha), name
        assert re.fullmatch(r"v\d+\.\d+\.\d+", version or ""), name
        shas.setdefault(name, set()).add((sha, version))
    assert all(len(pins) == 1 for pins in shas.values()), shas


@pytest.mark.parametrize("path", [*WORKFLOWS, *OURS], ids=lambda path: path.stem)
def test_nothing_is_allowed_that_no_job_asked_for(path: Path) -> None:
    whole = read(path)
    assert whole["permissions"] == {}
    for name, job in whole["jobs"].items():
        assert "permissions" in job, name
        if "uses" not in job:
            assert job["timeout-minutes"] <= 360, name
    for step in [s for job in whole["jobs"].values() for s in job.get("steps", ())]:
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_no_cache_is_shared_with_a_job_that_holds_a_secret_or_judges() -> None:
    """What the code of a pull request left in a cache would run there."""
    cached = set()
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            setups = [s for s in job.get("steps", ()) if s.get("uses", "").endswith("/setup")]
            if any(step.get("with", {}).get("cache") for step in setups):
                cached.add(f"{path.stem}/{name}")
                assert job["permissions"] == {"contents": "read"}
                assert "environment" not in job
                assert "secrets." not in json.dumps(job)
    assert cached == {"ci/ci", "security/security"}
    assert 'default: "false"' in (SOURCE / ".github/actions/setup/action.yml").read_text()


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_check_cannot_be_skipped(name: str) -> None:
    whole = workflow(name)
    events = whole["on"]
    assert {"pull_request", "merge_group"} <= set(events)
    assert not any("paths" in (event or {}) for event in events.values())
    jobs = dict(whole["jobs"])
    last = jobs.pop(name)
    assert last["name"] == name
    if not jobs:
        assert {"if", "needs"}.isdisjoint(last), "one that waits for nothing always runs"
        return
    assert last["if"] == "always()"
    needed = last["needs"]
    assert set([needed] if isinstance(needed, str) else needed) == set(jobs)
    step = last["steps"][-1]
    assert step["if"] == "always()"
    assert step["run"] == f'test "${{RESULTS}}" = "{" ".join(["success"] * len(jobs))}"'
    assert step["env"] == {"RESULTS": "${{ join(needs.*.result, ' ') }}"}


def test_the_required_checks_are_the_ones_that_the_ruleset_asks_for() -> None:
    ruleset = json.loads((SOURCE / ".github/rulesets/main-checks.json").read_text())
    (rule,) = ruleset["rules"]
    checks = rule["parameters"]["required_status_checks"]
    assert tuple(check["context"] for check in checks) == REQUIRED


def test_no_promotion_is_cancelled_by_a_newer_one() -> None:
    job = workflow("promote")["jobs"]["promote"]
    assert job["concurrency"] == {
        "group": "promote-${{ inputs.environment }}",
        "cancel-in-progress": False,
        "queue": "max",
    }
    assert job["environment"]["name"] == "${{ inputs.environment }}"
    registered = workflow("release")["jobs"]["register"]["concurrency"]
    assert registered == {"group": "register", "cancel-in-progress": False, "queue": "max"}
    for name in ("release", "retire", "rollback", "settle", "train"):
        assert workflow(name)["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_steps_are_commands_that_run_on_a_laptop(path: Path) -> None:
    """No logic in YAML: a step is one command, without a shell's words."""
    for job in read(path)["jobs"].values():
        for step in job.get("steps", ()):
            run = step.get("run", "")
            assert "\n" not in run.strip(), run
            assert not re.search(r"\b(if|for|while|case)\b|\|\||&&|;", run), run


def test_workflows_know_no_other_environment_than_the_policy() -> None:
    policy = list(yaml.safe_load((SOURCE / "gates.yaml").read_text())["environments"])
    held = json.loads((SOURCE / ".github/environments.json").read_text())
    assert [environment["name"] for environment in held] == [*policy, "rollback"]
    release = workflow("release")["jobs"]
    assert [job["with"]["environment"] for job in release.values() if "uses" in job] == policy


def jobs(*paths: Path) -> list[tuple[str, Any]]:
    return [
        (f"{path.stem}/{name}", job)
        for path in paths or WORKFLOWS
        for name, job in read(path)["jobs"].items()
    ]


KEYS = {"APP_KEY", "REGISTRY_KEY", "SIGNING_KEY", "TRAINING_KEY"}


def test_a_key_is_given_only_to_the_step_that_needs_it() -> None:
    """An action, or a package's code at its import, reads the environment of its own step."""
    holders = set()
    for path in WORKFLOWS:
        assert not KEYS & set(read(path).get("env", {}))
    for name, job in jobs():
        assert not KEYS & set(job.get("env", {})), name
        for step in job.get("steps", ()):
            held = {key for key in KEYS if f"secrets.{key} " in json.dumps(step) + " "}
            if held:
                assert held <= set(step["env"]), name
                holders.add(step["run"].split()[4])
                assert job["environment"]["deployment"] is False, name
    assert holders == {
        *("attest", "promote", "recheck", "register", "retire", "rollback", "settle", "smoke"),
    }


def test_uv_is_one_version_with_its_hash_and_builds_nothing() -> None:
    """`uv.lock` holds no build back end: what is built at install time is whatever is newest."""
    steps = read(SOURCE / ".github/actions/setup/action.yml")["runs"]["steps"]
    (uv,) = [step["with"] for step in steps if "setup-uv" in step.get("uses", "")]
    assert re.fullmatch(r"\d+\.\d+\.\d+", uv["version"])
    assert re.search(r"== 'X64' && '[0-9a-f]{64}'", uv["checksum"])
    (sync,) = [step["run"] for step in steps if "uv sync" in step.get("run", "")]
    assert "--no-build" in sync.split()
    pyproject = (SOURCE / "pyproject.toml").read_text()
    assert "package = false" in pyproject


def test_a_pull_request_starts_five_jobs() -> None:
    """Each is a machine, and on a private repository at least a minute that is billed."""
    asked = [path for path in WORKFLOWS if "pull_request" in read(path)["on"]]
    after = [path for path in WORKFLOWS if "workflow_run" in read(path)["on"]]
    assert [name for name, _ in jobs(*asked, *after)] == [
        *("ci/ci", "model-gate/candidate", "model-gate/model-gate", "security/security"),
        "comment/comment",
    ]


def test_the_whole_history_is_fetched_only_where_it_is_read() -> None:
    """With it comes the branch that stores the data."""
    whole = {
        name
        for name, job in jobs()
        for step in job.get("steps", ())
        if step.get("with", {}).get("fetch-depth") == 0
    }
    assert whole == {
        *("model-gate/candidate", "model-gate/model-gate"),  # which rows may judge
        *("promote/promote", "release/register", "train/train"),
        "ingest/ingest",  # it stores and trains
        "security/security",  # a secret in what Git ever held
    }


def test_whatever_runs_by_schedule_tells_of_its_failure() -> None:
    scheduled = [path for path in WORKFLOWS if "schedule" in read(path)["on"]]
    assert [path.stem for path in scheduled] == ["ingest", "scorecard", "settle", "watch"]
    for path in scheduled:
        last = list(read(path)["jobs"].values())[-1]
        step = last["steps"][-1]
        assert step["if"] == "always() && github.event_name == 'schedule'"
        assert f"mlops alarm {path.stem} " in step["run"]
        assert "job.status" in step["env"]["RESULTS"]
        if "needs" in last:
            assert "join(needs.*.result" in step["env"]["RESULTS"]
            assert "always()" in last["if"] or "!cancelled()" in last["if"]
        assert last["permissions"]["issues"] == "write"


def test_the_scorecard_reads_what_a_private_repository_hides() -> None:
    """https://github.com/ossf/scorecard-action#private-repositories"""
    rights = workflow("scorecard")["jobs"]["scorecard"]["permissions"]
    needed = ("actions", "checks", "contents", "issues", "pull-requests")
    assert all(rights.get(right) in ("read", "write") for right in needed)


def test_the_app_starts_the_checks_of_a_branch_that_was_trained() -> None:
    """A dispatched check, or one of a push by the jobs' token, does not count."""
    train = workflow("train")
    assert list(train["on"]) == ["workflow_dispatch"]
    job = train["jobs"]["checks"]
    assert job["needs"] == ["train", "attest"]
    assert "vars.APP_ID" in job["if"]
    assert "needs.train.result == 'success'" in job["if"]
    assert "needs.attest.result != 'failure'" in job["if"]
    assert "actions" not in job["permissions"], "it starts no run"
    assert job["steps"][-1]["run"] == 'uv run --locked mlops recheck "${BRANCH}"'


PUBLISHED = {
    *("actions/checkout", "actions/upload-artifact", "github/codeql-action/upload-sarif"),
    "ossf/scorecard-action",
}


@pytest.mark.parametrize("folder", [SOURCE, TEMPLATE], ids=["template", "ours"])
def test_the_scorecard_publishes_from_a_job_of_known_actions_only(folder: Path) -> None:
    """Else its server refuses them: app/server/verify_workflow.go of ossf/scorecard-webapp."""
    whole = read(folder / ".github/workflows/scorecard.yml")
    assert "env" not in whole
    others = dict(whole["jobs"])
    job = others.pop("scorecard")
    assert {step.get("uses", "").partition("@")[0] for step in job["steps"]} <= PUBLISHED
    assert {"env", "defaults", "container", "services"}.isdisjoint(job)
    assert job["runs-on"] == "ubuntu-latest"
    assert all("id-token" not in other["permissions"] for other in others.values())


def test_nothing_runs_on_pull_request_target() -> None:
    """GitHub blocks it in public repositories from December 2026."""
    assert not any("pull_request_target" in path.read_text() for path in WORKFLOWS)


def test_a_rollback_waits_for_no_reviewer() -> None:
    held = json.loads((SOURCE / ".github/environments.json").read_text())
    (rollback,) = [environment for environment in held if environment["name"] == "rollback"]
    assert rollback["reviewers"] == []
    assert rollback["branches"] == ["main"]
    for name in ("retire", "rollback", "settle"):
        assert workflow(name)["jobs"][name]["environment"]["name"] == "rollback"


def test_no_comment_is_written_of_a_run_that_waits_for_approval() -> None:
    condition = workflow("comment")["jobs"]["comment"]["if"]
    assert "workflow_run.conclusion != 'action_required'" in condition
