"""The template's own repository is held to what a generated project is held to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from acting import on_github
from advisories import Advisories
from projects import TEMPLATE, Project
from published import Description

pytestmark = pytest.mark.slow
STARTS = "B404,B603,B607"  # as in a project: that a process is started says nothing
# Tests assert, make up tokens and pickles, ask loopback, draw at random.
TESTS = f"{STARTS},B101,B105,B310,B311,B403"
RULES = "{{cookiecutter.project_slug}}/security/secrets.yaml"


@pytest.mark.parametrize(
    ("skipped", "places"),
    [(STARTS, ("src", "hooks", "scripts")), (TESTS, ("tests", "benchmarks"))],
    ids=["code", "tests"],
)
def test_bandit_finds_nothing(skipped: str, places: tuple[str, ...], baked: Project) -> None:
    words = ("--quiet", "--ignore-nosec", "--format", "json", "--skip", skipped, "--recursive")
    report = json.loads(run(baked, "bandit", *words, *places).stdout)
    assert report["results"] == []
    assert report["errors"] == []
    assert report["metrics"]["_totals"]["loc"] > 200


@pytest.mark.parametrize("history", [False, True], ids=["files", "history"])
def test_there_is_no_secret(history: bool, baked: Project) -> None:
    words = ["--quiet", "--no-update-check", "scan", "--no-validate", "--redact", "--no-ignore"]
    words += ["--max-file-size", "0", "--rules-path", RULES, "--format", "jsonl"]
    words += ["--git-history", "full" if history else "none", "--"]
    listed = git("ls-files", "-z").split("\0")[:-1]
    places = [git("rev-parse", "--absolute-git-dir").strip()] if history else listed
    done = run(baked, "kingfisher", *words, *places)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["finding"] for line in lines if "finding" in line] == []
    (audit,) = [line["audit"]["summary"] for line in lines if "audit" in line]
    assert audit["scan_succeeded"] == len(places)


def test_our_own_packages_are_asked_about(
    tmp_path: Path, baked: Project, published: Description
) -> None:
    """Through the workflow itself, as it stands here."""
    ours = Project(tmp_path / "template", baked.venv)
    git("init", "--quiet", "--bare", "--initial-branch", "main", str(ours.origin))
    here = git("stash", "create").strip() or "HEAD"
    git("push", "--quiet", "--no-verify", str(ours.origin), f"{here}:refs/heads/main")
    git("clone", "--quiet", str(ours.origin), str(ours.root))
    with Advisories() as advisories, on_github(ours, published) as github:
        github.prepared = False  # the template's environment is another one
        github.variables = {"ADVISORY_SERVICE": "osv", "ADVISORY_URL": advisories.url}
        walk = github.schedule("dependencies.yml")
        assert walk.jobs == {"dependencies": "success"}, walk.end
        assert {"cookiecutter", "pytest"} <= advisories.asked
        advisories.known["cookiecutter"] = "PYSEC-2026-2"
        walk = github.schedule("dependencies.yml")
        assert walk.jobs == {"dependencies": "failure"}
        assert "PYSEC-2026-2" in walk.log
        advisories.broken = b"<html>"
        assert github.schedule("dependencies.yml").jobs == {"dependencies": "failure"}


def run(project: Project, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A tool of a generated project, in the template."""
    command = [str(project.venv / "bin" / tool), *words]
    return subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True)


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=TEMPLATE, capture_output=True, text=True, check=True)
    return done.stdout
