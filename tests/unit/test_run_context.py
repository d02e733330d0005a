"""Where a command runs: the environment variables are read in one place."""

from __future__ import annotations

import re
from pathlib import Path

import gatewright
from gatewright.run_context import RunContext

ON_GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_ACTOR": "octocat",
    "GITHUB_REPOSITORY": "acme/flights",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_TOKEN": "ghs_secret",
    "SIGNING_KEY": "a secret",
}
# Processes that a command starts get its environment variables, and some more.
FOR_PROCESSES = {
    "run_context.py",
    "adapters/git.py",
    "adapters/commands.py",
    "adapters/deploy_key.py",
    "adapters/dvc.py",
    "security/scanners.py",
}


def test_on_a_laptop_nothing_is_said() -> None:
    assert RunContext.of({}) == RunContext()
    assert RunContext.of({"GITHUB_RUN_ID": "", "GITHUB_OUTPUT": ""}) == RunContext()
    assert RunContext().run_page is None


def test_in_a_workflow() -> None:
    run = RunContext.of(ON_GITHUB)
    assert (run.on_github, run.attempt, run.actor) == (True, 2, "octocat")
    assert run.run_page == "https://github.com/acme/flights/actions/runs/7"


def test_an_attempt_that_is_no_number_is_the_first() -> None:
    assert RunContext.of({"GITHUB_RUN_ATTEMPT": "many"}).attempt == 1


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(RunContext.of(ON_GITHUB))


def test_the_environment_variables_are_read_in_one_place() -> None:
    root = Path(gatewright.__file__).parent
    found = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in root.rglob("*.py")
        if "os.environ" in path.read_text(encoding="utf-8")
    }
    assert set(found) <= FOR_PROCESSES
    for path in FOR_PROCESSES - {"run_context.py"}:
        assert not re.search(r"os\.environ[^\n]*(GITHUB|GH_TOKEN|_KEY\b)", found[path]), path
