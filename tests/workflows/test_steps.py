"""What runs the workflows' steps in this process is held to `act`: for whole workflows, alike.

Which steps run and how they end, the words and the whole environment of every call of `uv`, what
a step or job hands on, the artifacts and the summary. Paths differ, and what names one walk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from acting import GitHubActions, Walk, on_github, shown, went_well
from projects import Parcels, copy, owned
from published import Description
from steps import evaluate

pytestmark = pytest.mark.slow
# What `act` or a shell sets of itself, and nothing of ours reads.
OWN = re.compile(
    r"_|PWD|OLDPWD|SHLVL|TERM|LANG|SHELL|ACT|ImageOS|CONTAINER_NAME|INPUT_\w+|KMP_\w+|NVPL_\w+"
    r"|GITHUB_ACTION(_\w+)?|GITHUB_(GRAPHQL_URL|REF_TYPE|RETENTION_DAYS|RUN_NUMBER|STATE)"
    r"|RUNNER_(ARCH|OS|PERFLOG|TOOL_CACHE|TRACKING_ID)"
)
# Where something lies in a walk.
PLACES = re.compile(
    r"GITHUB_(ENV|EVENT_PATH|OUTPUT|PATH|STEP_SUMMARY|WORKSPACE)|RUNNER_TEMP|STANDIN|PREPARED|PATH|HOME"
    r"|XDG_CACHE_HOME|GITHUB_API_URL|GIT_SSH_COMMAND|GITHUB_SHA|REGISTRY_KEY|SIGNING_KEY"
)


def told(walk: Walk) -> list[tuple[str, tuple[str, ...], dict[str, str]]]:
    """Each call: job, words, environment."""
    return [
        (
            call.job,
            call.words,
            {
                name: "somewhere" if PLACES.fullmatch(name) else value
                for name, value in call.env.items()
                if not OWN.fullmatch(name)
            },
        )
        for call in walk.calls
    ]


def files(walk: Walk) -> set[str]:
    return {str(path.relative_to(walk.artifacts)) for path in walk.artifacts.rglob("*")}


Act = Callable[[GitHubActions], Walk]


def alike(
    project: Parcels,
    published: Description,
    folder: Path,
    walk: Act,
    then: Callable[[GitHubActions, Walk], None] = lambda *_: None,
) -> tuple[Walk, Any]:
    """Walk twice from the same state, and look `then` what came of each; the walk by `act`."""
    walks, hubs = [], []
    for act in (True, False):
        here = copy(project, folder / ("act" if act else "steps"))
        with on_github(here, published, act) as github:
            if act:
                github.note_calls()
            walks.append(walk(github))
            hubs.append(github.hub)
            then(github, walks[-1])
    by_act, by_steps = walks
    assert by_steps.jobs == by_act.jobs, by_steps.log + by_act.end
    assert by_steps.status == min(by_act.status, 1)
    assert told(by_steps) == told(by_act)
    assert files(by_steps) == files(by_act)
    for name in ("installed", "attested", "cached"):
        assert len(by_steps.noted(name)) == len(by_act.noted(name)), name
    first, second = hubs
    asked = [[(request[0], request[1]) for request in hub.requests] for hub in (first, second)]
    assert asked[0] == asked[1]
    return by_act, first


def test_a_pull_request_that_is_refused(
    live: Parcels, published: Description, tmp_path: Path
) -> None:
    """A step fails, a later one runs always, a job runs all the same, a file is handed on."""

    def walk(github: GitHubActions) -> Walk:
        github.branch("change")
        github.project.edit("params.yaml", "1.0", "0.5")
        return github.pull_request()

    by_act, _ = alike(live, published, tmp_path, walk)
    assert by_act.jobs == {"candidate": "failure", "model-gate": "failure"}
    assert len(by_act.calls) == 4


LIVE = "environments/production.yaml"
DEMANDED = "protection: {production: [signature, attestation]}"


def test_a_merge_is_released_as_far_as_production(
    trained: Parcels, published: Description, tmp_path: Path
) -> None:
    """Signed and attested, as production demands; the repository is private.

    One workflow calls another, with what a job handed on; a condition asks a variable.
    """
    owned(trained)
    trained.edit("gates.yaml", "protection: {production: []}", DEMANDED)
    trained.add_card()

    def walk(github: GitHubActions) -> Walk:
        github.hub.repository["private"] = True
        github.variables["ATTESTATIONS"] = "true"
        github.apply_settings()
        github.merge()
        return github.pushed(approved_by="ada")

    by_act, hub = alike(trained, published, tmp_path, walk, released)
    assert [one["environment"] for one in hub.deployments] == ["dev", "staging", "production"]
    assert by_act.noted("attested")


def released(github: GitHubActions, walk: Walk) -> None:
    """What a release leaves behind; and that a merge without a model releases nothing."""
    went_well(walk, "register", "promote")
    project = github.project
    assert project.live() == dict.fromkeys(("dev", "staging", "production"), "1.0.0")
    assert "Running stage" in walk.log, "what nobody stored is built once"
    (event,) = project.ask("history", "production")
    assert (event["by"], event["approved_by"]) == ("octocat", "ada")
    assert event["run"].endswith(f"/actions/runs/{walk.run_id}")
    commit = project.git("rev-parse", "HEAD")
    assert project.git("rev-list", "-n1", "refs/mlops/origin/tags/v1.0.0") == commit
    (release,) = github.hub.releases
    assert (release["tag_name"], release["prerelease"]) == ("v1.0.0", False)
    for part in ("Model card", "decision: 'yes'", "model/model.skops"):
        assert part in release["body"]
    assert shown(github) == [(name, "v1.0.0") for name in ("dev", "staging", "production")]
    record = yaml.safe_load(project.git("show", "refs/mlops/origin/registry:" + LIVE))
    assert record["evidence"]["protection"] == ["signature", "attestation"]
    bom = json.loads((walk.artifacts / "bill-of-materials/bom.json").read_text())
    assert bom["metadata"]["component"]["version"] == "1.0.0"
    if github.act:
        return
    (project.root / "docs/notes.md").write_text("Words.\n")
    github.merge()
    walk = github.pushed()
    went_well(walk, "register")
    assert "This model is registered already, as 1.0.0." in walk.log
    assert "Running stage" not in walk.log
    assert project.live()["production"] == "1.0.0"


EXPRESSIONS: dict[str, Any] = {
    "a.b.c == 'X'": True,
    "a.b.none == ''": True,
    "a.b.none": None,
    "!a.off && a.b.c": "x",
    "a.off || a.b.c": "x",
    "a.b.c == 'y' && 'one' || a.b.c == 'x' && 'two' || 'three'": "two",
    "(a.off || !a.off) && a.b.c != 'y'": True,
    "join(many.*.result, ' ')": "success failure",
    "startsWith(a.b.c, 'X')": True,
    "fromJSON('{\"in\": 1}').in": 1,
    "'it''s'": "it's",
}


@pytest.mark.parametrize(("text", "value"), EXPRESSIONS.items(), ids=EXPRESSIONS)
def test_an_expression_is_worth(text: str, value: Any) -> None:
    many = {"one": {"result": "success"}, "two": {"result": "failure"}}
    assert evaluate(text, {"a": {"b": {"c": "x"}, "off": False}, "many": many}) == value


@pytest.mark.parametrize("text", ["a b", "a ==", "hashFiles('x')", "a[0]", "(a"])
def test_an_expression_that_it_does_not_know_is_no_truth(text: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        evaluate(text, {})
