"""What README and docs/demo.md show is what the demo tells; `make demo` compares a whole run."""

from __future__ import annotations

import re
from itertools import pairwise

import demo
import pytest

README = demo.README.read_text(encoding="utf-8")
PAGE = demo.RECORD.read_text(encoding="utf-8")
THROUGH = "--to dev --to staging --to production"


def told() -> demo.Told:
    """A run that tells what is recorded."""
    block = README.partition(demo.MARKS[0])[2].partition(demo.MARKS[1])[0]
    run = demo.Told(story=block.splitlines()[2:-1])
    run.pages = [PAGE.partition("\n\n## ")[2].join(["## ", ""])]
    return run


def test_a_run_that_tells_the_same_differs_in_nothing() -> None:
    assert demo.differences(told(), README, PAGE) == []


def test_figures_may_differ() -> None:
    run = told()
    run.story = [re.sub(r"(?<![.\d])0\.\d+", "0.5", line) for line in run.story]
    run.story = [re.sub(r"took [\d.]+ s", "took 12.5 s", line) for line in run.story]
    run.pages = [re.sub(r"(?<![.\d])0\.\d{3,}", "0.5", page) for page in run.pages]
    assert run.story != told().story
    assert demo.differences(run, README, PAGE) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Registered 1.0.0", "Registered 1.1.0"),
        ("No: the model may not enter", "Yes: the model may enter"),
        ("1.0.1 is live in production.", "1.0.1 is live in staging."),
        ("ROC AUC rises", "ROC AUC falls"),
    ],
)
def test_another_story_is_told(old: str, new: str) -> None:
    run = told()
    lines = [line.replace(old, new) for line in run.story]
    assert lines != run.story, "the story has it"
    run.story = lines
    assert demo.differences(run, README, PAGE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("$ echo $?\n1\n", "$ echo $?\n0\n"),
        ("$ uv run mlops register\n", "$ uv run mlops register --build\n"),
        ("## Poison is refused\n", "## Poison passes\n"),
    ],
)
def test_another_command_or_decision_is_told(old: str, new: str) -> None:
    run = told()
    run.pages = [page.replace(old, new, 1) for page in run.pages]
    assert run.pages != told().pages
    assert demo.differences(run, README, PAGE)


def test_what_was_recorded_is_a_pass_two_refusals_a_promotion_and_a_rollback() -> None:
    skeleton = demo.skeleton(PAGE)
    assert [line for line in skeleton if line.startswith("## ")] == [
        "## The first model passes",
        "## False progress is refused",
        "## Poison is refused",
        "## A month of data passes",
        "## The way back",
        "## Who asks gets the same answer everywhere",
        "## What is live, and what happened",
    ]
    ends = {
        command.removeprefix("$ uv run mlops "): end.removeprefix("status ")
        for command, end in pairwise(skeleton)
        if command.startswith("$ ")
    }
    assert ends["gate"] == ends[f"promote 1.0.1 {THROUGH}"] == "0"
    assert ends["rollback production --reason rehearsal"] == "0"
    assert ends["gate --env production"] == "1"


def test_a_version_is_no_figure() -> None:
    assert demo.masked("1.0.1 is live, gain -0.16 [-0.18, 1,024], 3 s.") == (
        demo.masked("1.0.1 is live, gain 0.2 [1, 2], 40.5 s.")
    )
    assert demo.masked("1.0.1 is live") != demo.masked("1.0.2 is live")
