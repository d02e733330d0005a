"""What a team does next: each page's edits are made and its commands say what it says."""

from __future__ import annotations

import re
import sqlite3
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from projects import TEMPLATE, Parcels, copy
from walked import customers, walk, with_region

PAGES = [
    *("add-a-column", "add-a-check", "add-a-metric", "another-model"),
    *("new-data-every-night", "personal-data"),
]


@pytest.fixture(scope="session")
def leaving(shared: Callable[[str, Callable[[Path], object]], Path]) -> Parcels:
    """A project about customers, adopted, pushed, 1.0.0 registered."""

    def make(folder: Path) -> None:
        answers = {"project_name": "Customers", "description": "Who leaves?"}
        cookiecutter(str(TEMPLATE), None, True, answers, accept_hooks=False, output_dir=str(folder))
        project = Parcels(folder / "customers", Path(sys.prefix))
        project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
        project.git("init", "--quiet", "-b", "main")
        project.git("remote", "add", "origin", str(project.origin))
        project.commit("Start")
        customers().to_csv(folder / "customers.csv", index=False)
        project.mlops("adopt", "../customers.csv", "--target", "left")
        project.mlops("setup")
        project.commit("Our table")
        project.git("push", "--quiet", "-u", "origin", "main", "dvc-storage")
        project.mlops("register")

    return Parcels(shared("leaving", make) / "customers", Path(sys.prefix))


def arrive(folder: Path) -> None:
    """What lies beside the project."""
    customers().to_csv(folder / "customers.csv", index=False)
    with_region(customers(600, 2400)).to_csv(folder / "with-region.csv", index=False)
    customers(20).assign(visits=30).to_csv(folder / "corrected.csv", index=False)
    new = customers(300, 2400)
    new.loc[7, "visits"] = 4000
    new.loc[9, "plan"] = "gold"
    with sqlite3.connect(folder / "customers.db") as connection:
        new.to_sql("customers", connection, index=False)
    connection.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_is_done_and_what_is_then_said(
    name: str, leaving: Parcels, tmp_path: Path
) -> None:
    project = copy(leaving, tmp_path)
    arrive(tmp_path)
    page = TEMPLATE / f"docs/{name}.md"
    written = page.read_text(encoding="utf-8")
    here = tmp_path / page.name
    here.write_text(walk(written, project), encoding="utf-8")
    assert here.read_text(encoding="utf-8") == written, f"cp {here} {page}"


def test_what_the_pages_add_are_extras_of_the_library() -> None:
    extras = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    for name in PAGES:
        text = " ".join((TEMPLATE / f"docs/{name}.md").read_text(encoding="utf-8").split())
        for words in re.findall(r"uv add .*?'gatewright\[([\w,]+)\]'", text):
            assert set(words.split(",")) <= set(extras["optional-dependencies"])
