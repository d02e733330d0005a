"""What README and the other pages say is there, is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from projects import TEMPLATE, Project
from test_files import LIBRARY, SOURCE

from gatewright.pages import topics

OURS = [*TEMPLATE.glob("*.md"), *(TEMPLATE / "docs").glob("*.md")]
OF_A_PROJECT = [SOURCE / name for name in ("README.md", "SECURITY.md", "docs/runbook.md")]
EXPLAINED = sorted(LIBRARY.rglob("pages/**/*.md"))
TOPICS = {topic for topic, _ in topics()}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    return str(path.relative_to(TEMPLATE))


@pytest.mark.parametrize("path", OURS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", read(path)):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", [*OURS, *OF_A_PROJECT, *EXPLAINED], ids=name)
def test_what_is_to_be_explained_has_a_page(path: Path) -> None:
    named = set(re.findall(r"`mlops explain ([^`\s]+)`", read(path)))
    assert named - {"CHECK", "TOPIC"} <= TOPICS


@pytest.mark.parametrize("path", sorted((LIBRARY / "pages").glob("*.md")), ids=name)
def test_a_page_that_is_printed_leads_by_commands(path: Path) -> None:
    """A terminal follows no link, and the pages are not in the project."""
    assert re.findall(r"\]\((?!https?:)[^)]*\)", read(path)) == []


FIGURES = {
    **{"rates": "rates", "cheating": "cheating", "power": "slices"},
    "reproduction": "reproduction",
}


def test_figures_on_a_page_are_those_that_a_script_wrote() -> None:
    """Between two marks stand rows of what the script wrote, and where it is."""
    found = set()
    for path in EXPLAINED:
        for mark, text in re.findall(
            r"<!-- (\w+) -->\n(.*?)<!-- end of \1 -->", read(path), re.DOTALL
        ):
            written = TEMPLATE / f"benchmarks/{FIGURES[mark]}.md"
            rows = [line for line in text.splitlines() if line.startswith("|")]
            assert rows, name(path)
            assert set(rows) <= set(read(written).splitlines()), name(path)
            assert f"`{name(written.with_suffix('.py'))}`" in text
            assert written.with_suffix(".py").exists()
            found.add(mark)
    assert found == set(FIGURES)


def test_every_topic_but_checks_is_in_the_index() -> None:
    index = read(TEMPLATE / "docs/README.md")
    checks = {path.stem for path in (LIBRARY / "pages/checks").glob("*.md")}
    assert set(re.findall(r"`mlops explain (\w+)`", index)) == TOPICS - checks | {"CHECK"}


def test_every_fact_has_tests_that_exist() -> None:
    table = read(TEMPLATE / "README.md").partition("## What makes it different")[2]
    rows = re.findall(r"^\| (.+) \| (`tests/.+`) \|$", table.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) > 20
    for fact, proof in rows:
        named = re.findall(r"`(tests/\w+/test_\w+\.py)::(test_\w+)`", proof)
        assert len(named) == proof.count("`") / 2, fact
        for file, test in named:
            assert f"\ndef {test}(" in read(TEMPLATE / file), f"{file}::{test}"


def test_the_tree_is_what_a_project_holds(baked: Project) -> None:
    tree = read(TEMPLATE / "README.md").partition("## What a project holds")[2]
    told = set(re.findall(r"^[├└]── (\S+?)/?(?:<package>/)?\s", tree, re.MULTILINE))
    told = {entry.removesuffix("/<package>") for entry in told}
    there = {path.partition("/")[0] for path in baked.git("ls-files").splitlines()}
    assert told == there - {".gitignore", ".gitattributes", ".dvcignore"}


@pytest.mark.parametrize("path", OURS, ids=name)
def test_a_path_that_is_named_exists(path: Path) -> None:
    """Those of this repository; a page on a project is not judged by it."""
    places = r"`((?:src/gatewright|tests|scripts|benchmarks|hooks|templates)/[\w./-]+)`"
    for named in re.findall(places, read(path)):
        if path.name != "CHANGELOG.md":
            assert (TEMPLATE / named).exists(), named
