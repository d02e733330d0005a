"""What runs the workflows' steps in this process is held to `act`: for whole workflows, alike.

Which steps run and how they end, the words and the whole environment of every call of `uv`, what
a step or job hands on, the artifacts and the summary. Paths differ, and what names one walk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acting import GitHubActions, Walk, on_github
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
    r"GITHUB_(ENV|EVENT_PATH|OUTPUT|PATH|STEP_SUMMARY|WORKSPACE)|RUNNER_TEMP|STANDIN|PATH|HOME"
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


def alike(project: Parcels, published: Description, folder: Path, walk: Act) -> tuple[Walk, Any]:
    """Walk twice from the same state; the walk by `act`, and both hubs."""
    walks, hubs = [], []
    for act in (True, False):
        here = copy(project, folder / ("act" if act else "steps"))
        with on_github(here, published, act) as github:
            if act:
                github.note_calls()
            walks.append(walk(github))
            hubs.append(github.hub)
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
    assert by_act.jobs == {"candidate": "failure", "judge": "failure", "model-gate": "failure"}
    assert len(by_act.calls) == 4


def test_a_release_of_a_private_repository(
    trained: Parcels, published: Description, tmp_path: Path
) -> None:
    """One workflow calls another, with what a job handed on; a condition asks a variable."""
    owned(trained)

    def walk(github: GitHubActions) -> Walk:
        github.hub.repository["private"] = True
        github.variables["ATTESTATIONS"] = "true"
        github.apply_settings()
        github.merge()
        return github.pushed(until="dev")

    by_act, hub = alike(trained, published, tmp_path, walk)
    assert by_act.jobs == {"register": "success", "promote": "success"}
    assert [deployment["environment"] for deployment in hub.deployments] == ["dev"]
    assert by_act.noted("attested")


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
