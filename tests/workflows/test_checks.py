"""Lint, types, tests, scanners and training, through the workflows themselves.

Each is walked by `act` when it is green, with all that was generated; each way to be red by the
same steps in this process, with the tools of the generated project.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from acting import GitHubActions, Walk, on_github
from advisories import Advisories
from parcels import make_rows
from projects import Parcels, Project
from published import Description

from gatewright.adapters.signing import make_signing_key

pytestmark = pytest.mark.slow


@pytest.fixture
def github(trained: Parcels, published: Description) -> Iterator[GitHubActions]:
    """A branch is checked out for a pull request."""
    with on_github(trained, published, act=False) as github:
        github.branch("change")
        yield github


@pytest.fixture
def whole(project: Project, published: Description) -> Iterator[GitHubActions]:
    """As `github`, with all that was generated, by `act`."""
    project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
    project.git("remote", "add", "origin", str(project.origin))
    project.git("push", "--quiet", "--no-verify", "-u", "origin", "main", "dvc-storage")
    with on_github(project, published) as github:
        github.prepared = False  # here the environment is installed, all of it
        github.branch("change")
        yield github


def results(walk: Walk, **jobs: str) -> None:
    assert walk.jobs == jobs, walk.end
    assert (walk.status == 0) == (set(jobs.values()) == {"success"})


# ci.yml


def test_ci_is_green_on_the_first_day(whole: GitHubActions) -> None:
    """The project's own tests, all of them, with the coverage that they promise."""
    walk = whole.pull_request("ci.yml")
    results(walk, ci="success")
    assert "Required test coverage of 85% reached" in walk.log
    assert walk.noted("installed") == ["ci ./uv.lock"]


def test_ci_refuses_a_lint(github: GitHubActions) -> None:
    path = github.project.root / "src/parcels.py"
    path.write_text("import os\n" + path.read_text())
    walk = github.merge_queue("ci.yml")
    results(walk, ci="failure")
    assert "F401" in walk.log


def test_ci_refuses_a_failing_test(github: GitHubActions) -> None:
    github.project.edit("tests/test_one.py", "== 2", "== 3")
    github.merge()
    walk = github.pushed("ci.yml")
    results(walk, ci="failure")
    assert "1 failed" in walk.log


# security.yml


def advised(github: GitHubActions, advisories: Advisories) -> None:
    """GitHub's own service cannot be reached from here, so zizmor asks nobody."""
    github.variables |= {"ADVISORY_SERVICE": "osv", "ADVISORY_URL": advisories.url}
    github.env["ZIZMOR_OFFLINE"] = "true"


def only(github: GitHubActions, *hooks: str) -> None:
    """Of the hooks these run, so that nothing else makes the job red. First days run them all."""
    config = yaml.safe_load((github.project.root / ".pre-commit-config.yaml").read_text())
    there = [hook["id"] for repository in config["repos"] for hook in repository["hooks"]]
    assert set(hooks) < set(there)
    github.env["SKIP"] = ",".join(name for name in there if name not in hooks)


@pytest.fixture
def scanned(github: GitHubActions) -> Iterator[tuple[GitHubActions, Advisories]]:
    """No hook runs but those that a test names."""
    with Advisories() as advisories:
        advised(github, advisories)
        only(github)
        yield github, advisories


Scanned = tuple[GitHubActions, Advisories]
GREEN = {"security": "success"}
RED = {"security": "failure"}


def test_security_is_green_on_the_first_day(whole: GitHubActions) -> None:
    whole.prepared = True  # that all of it is installed, ci shows
    with Advisories() as advisories:
        advised(whole, advisories)
        walk = whole.pull_request("security.yml")
    results(walk, **GREEN)
    lock = (whole.project.root / "uv.lock").read_text()
    assert len(advisories.asked) > 100
    assert all(f'name = "{package}"' in lock for package in advisories.asked)


def test_a_known_weakness_is_found(scanned: Scanned) -> None:
    github, advisories = scanned
    advisories.known["scikit-learn"] = "PYSEC-2026-1"
    walk = github.pull_request("security.yml")
    results(walk, **RED)
    assert "PYSEC-2026-1" in walk.log


@pytest.mark.parametrize("answer", [b"", b"<html>"], ids=["broken", "rubbish"])
def test_a_service_that_does_not_answer_is_no_clean_bill(answer: bytes, scanned: Scanned) -> None:
    github, advisories = scanned
    advisories.broken = answer
    results(github.pull_request("security.yml"), **RED)


def test_code_that_is_risky_is_found(scanned: Scanned) -> None:
    github, _ = scanned
    only(github, "bandit")
    path = github.project.root / "src/parcels.py"
    path.write_text(
        path.read_text() + "\n\ndef risky(text: str) -> object:\n    return eval(text)\n"
    )
    walk = github.pull_request("security.yml")
    results(walk, **RED)
    assert "B307" in walk.log


def test_an_unpinned_action_is_found(scanned: Scanned) -> None:
    github, _ = scanned
    only(github, "zizmor", "dvc-lock")
    path = github.project.root / ".github/workflows/train.yml"
    sha = "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
    path.write_text(path.read_text().replace(f"checkout@{sha}", "checkout@v7"))
    walk = github.pull_request("security.yml")
    results(walk, **RED)
    assert "unpinned-uses" in walk.log
    assert re.search(r"dvc\.lock is honest\.+Passed", walk.log)


def test_a_secret_that_was_removed_is_found_in_the_history(scanned: Scanned) -> None:
    github, _ = scanned
    path = github.project.root / "docs/notes.md"
    path.write_text('api_key: "' + "q8Zk29slXm" + 'Wp0vTr71xyw"\n')
    github.push("Notes")
    path.write_text("Words.\n")
    walk = github.pull_request("security.yml")
    results(walk, **RED)


def test_what_is_live_is_scanned_every_week(live: Parcels, published: Description) -> None:
    """A weakness that came out after the promotion."""
    with Advisories() as advisories, on_github(live, published) as github:
        github.variables = {"ADVISORY_SERVICE": "osv", "ADVISORY_URL": advisories.url}
        only(github)
        results(github.schedule("watch.yml"), security="success", production="success")
        assert github.hub.issues == []
        github.act = False
        advisories.known["scikit-learn"] = "PYSEC-2026-1"
        walk = github.schedule("watch.yml")
        results(walk, security="failure", production="failure")
        assert "PYSEC-2026-1 in production" in walk.log
        (issue,) = github.hub.issues
        assert (issue["title"], issue["state"]) == ("watch fails", "open")
        advisories.known.clear()
        github.schedule("watch.yml")
        assert issue["state"] == "closed"


# scorecard.yml


@pytest.mark.parametrize("private", [False, True])
def test_the_scorecard_is_shown_to_whoever_may_see_the_code(
    private: bool, github: GitHubActions
) -> None:
    github.hub.repository["private"] = private
    github.act = not private
    walk = github.schedule("scorecard.yml")
    results(walk, scorecard="success", tell="success")
    assert walk.noted("published") == [str(not private).lower()]
    assert walk.noted("code-scanning") == ([] if private else ['{"runs": []}'])
    assert (walk.artifacts / "scorecard/scorecard.sarif").exists()


# train.yml


def test_new_rows_become_a_pull_request(github: GitHubActions, tmp_path: Path) -> None:
    """From a database whose address is a secret; then its gate has nothing to build."""
    project, rows = github.project, make_rows(400, 9000)
    with sqlite3.connect(tmp_path / "parcels.db") as connection:
        rows.to_sql("parcels", connection, index=False)
    connection.close()
    columns = {name: {"source": name, "type": kind} for name, kind in TYPES.items()}
    columns["sent"]["format"] = "ISO 8601"
    origin = {"place": "${SOURCE}", "query": "SELECT * FROM parcels WHERE number >= 9000"}
    sources = {"origin": origin, "target": "broken", "columns": columns}
    project.git("checkout", "--quiet", "main")
    (project.root / "sources.yaml").write_text(yaml.safe_dump(sources))
    project.commit("Where new rows come from")
    github.parcels.mlops("push")
    github.secrets["SOURCE"] = f"sqlite:///{tmp_path}/parcels.db"
    github.hub.permissions["can_approve_pull_request_reviews"] = True
    github.act = True
    walk = github.dispatch("ingest.yml", {}, ref="main")
    results(walk, ingest="success")
    assert str(tmp_path) not in walk.log, "the address is not told"
    (pull,) = github.hub.pulls
    assert (pull["title"], pull["head"]["ref"]) == ("New data: 400 rows", "data/new")
    github.act = False
    gate = github.dispatch("model-gate.yml", ref="data/new")
    results(gate, candidate="success", **{"model-gate": "success"})
    assert "Running stage" not in gate.log
    assert "No: " not in gate.log


TYPES = {
    **{"number": "integer", "sent": "datetime", "shop": "string"},
    **{"weight": "number", "height": "number", "email": "string", "broken": "boolean"},
}
BRANCH = {"branch": "change"}
RANDOM = "LogisticRegression(C=1 + 1e-6 * int.from_bytes(os.urandom(2), 'big'))"


def test_a_branch_is_trained_and_comes_home(github: GitHubActions) -> None:
    """On the team's own runner; then its gate has nothing to build."""
    github.variables["TRAIN_RUNNER"] = "gpu"
    github.parcels.add_card()
    github.parcels.parameter(0.5)
    before = github.push("Less trust")
    github.act = True
    walk = github.dispatch("train.yml", BRANCH, words=("-P", "gpu=-self-hosted"))
    results(walk, train="success")
    project = github.project
    project.git("pull", "--quiet", "origin", "change")
    changed = project.git("diff", "--name-only", before, "HEAD").splitlines()
    assert {"dvc.lock", "reports/metrics.json", "reports/model-card.md"} <= set(changed)
    assert all(path == "dvc.lock" or path.startswith("reports/") for path in changed)
    assert project.git("log", "-1", "--format=%an") == "octocat"
    assert github.hub.dispatches == [], "a check that is started by name does not count"
    assert "Open a pull request of change: its checks start with it." in walk.log
    github.act = False
    gate = github.dispatch("model-gate.yml", ref="change")
    results(gate, candidate="success", **{"model-gate": "success"})
    assert "Running stage" not in gate.log


def test_a_training_is_attested_by_the_default_branch(github: GitHubActions) -> None:
    """Its key comes to the second job, which runs none of the branch's code."""
    project, (private, public) = github.project, make_signing_key()
    project.git("checkout", "--quiet", "main")
    project.edit("gates.yaml", "checks:\n", "reproduce: attested\nchecks:\n")
    (project.root / "security/trainers.txt").write_text(public)
    project.commit("Trainings are attested")
    project.git("push", "--quiet", "--no-verify", "origin", "main")
    project.git("checkout", "--quiet", "-B", "change")
    github.secrets["TRAINING_KEY"] = private
    project.edit("src/parcels.py", "LogisticRegression(C=strength)", RANDOM)
    project.edit("src/parcels.py", "import pandas", "import os\n\nimport pandas")
    github.push("Another each time")
    github.act = True
    walk = github.dispatch("train.yml", BRANCH)
    results(walk, train="success", attest="success")
    assert "Open a pull request of change: its checks start with it." in walk.log
    project.git("pull", "--quiet", "origin", "change")
    statement = json.loads((project.root / "reports/attestation.json").read_text())["statement"]
    assert statement["commit"] == project.git("rev-parse", "HEAD~1")
    github.act = False
    gate = github.dispatch("model-gate.yml", ref="change")
    results(gate, candidate="success", **{"model-gate": "success"})
    assert "attested by the workflow that trained: train" in json.dumps(gate.verdict)


def test_what_cannot_be_trained_changes_nothing(github: GitHubActions) -> None:
    (github.project.root / "params.yaml").write_text("train: {C: much}\n")
    before = github.push("Much trust")
    walk = github.dispatch("train.yml", BRANCH)
    results(walk, train="failure")
    assert github.project.git("ls-remote", "origin", "change").split()[0] == before
    assert github.hub.dispatches == []


# The action setup

CLOUDS = {
    "S3": {"AWS_ROLE": "arn:aws:iam::1:role/gate", "AWS_REGION": "eu-central-1"},
    "GCS": {"GCP_PROVIDER": "projects/1/p", "GCP_SERVICE_ACCOUNT": "gate@x.iam"},
    "Azure": {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_SUBSCRIPTION_ID": "s"},
}


@pytest.mark.parametrize("variables", CLOUDS.values(), ids=CLOUDS.keys())
def test_setup_signs_in_to_the_storage_that_variables_name(
    variables: dict[str, str], github: GitHubActions
) -> None:
    github.variables = variables
    github.act = "AWS_ROLE" in variables
    (github.project.root / "docs/notes.md").write_text("Words.\n")
    walk = github.pull_request()
    assert walk.status == 0, walk.end
    who = variables.get("GCP_SERVICE_ACCOUNT") or next(iter(variables.values()))
    assert walk.noted("signed-in") == [who, who]


def test_setup_holds_a_key_for_storage_over_ssh(github: GitHubActions) -> None:
    key = github.place / "id"
    github.project.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    github.secrets["STORAGE_KEY"] = key.read_text()
    github.variables = {"STORAGE_KNOWN_HOSTS": "files.example.com ssh-ed25519 AAAA"}
    github.act = True
    path = github.project.root / ".github/workflows/train.yml"
    path.write_text(path.read_text().partition("      - run: uv run --locked mlops push")[0])
    github.project.edit(
        ".github/workflows/train.yml",
        "      - run: uv run --locked mlops run --anew\n        env:\n"
        "          GITHUB_TOKEN: ${{ github.token }}\n",
        "      - run: ssh-add -L > held\n      - run: cp held ~/.ssh/known_hosts ${STANDIN}\n"
        "      - run: ssh-agent -k\n",
    )
    github.push()
    walk = github.dispatch("train.yml", BRANCH, ref="change")
    assert walk.status == 0, walk.end
    assert walk.noted("held")[0].split()[:2] == key.with_suffix(".pub").read_text().split()[:2]
    assert walk.noted("known_hosts") == ["files.example.com ssh-ed25519 AAAA"]
    secret = key.read_text().splitlines()[2]
    assert secret not in walk.log
