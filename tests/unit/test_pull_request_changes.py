"""What a pull request changes: a model is made from all that is not known to be harmless."""

from __future__ import annotations

from pathlib import Path

import pytest
from parcels import Project
from reviews import Review

from gatewright.pipeline.changes import Changes, commands_in, environment_in

HARMLESS = [
    *("README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md", "CITATION.cff", "docs/runbook.md"),
    *("docs/pictures/a.png", "tests/test_train.py", "tests/deep/conftest.py", ".gitignore"),
    *("data/.gitignore", "data/README.md", "data/incoming/2013-09.parquet", "gates.yaml"),
    *(".github/workflows/ci.yml", ".github/CODEOWNERS", "security/waivers.yaml", "ruff.toml"),
    *(".pre-commit-config.yaml", "notebooks/look.ipynb", ".editorconfig", ".vscode/x.json"),
]
MAKES = [
    *("contract.yaml", "dvc.yaml", "dvc.lock", "params.yaml", "model-types.txt", ".dvc/config"),
    *(".dvcignore", ".gitattributes", "data/raw.dvc", "data/raw/a.csv", "src/a/b.py", "a/b.py"),
    *("sitecustomize.py", "conftest.py", ".env", ".python-version", "scripts/run.sh", "Makefile"),
    *("docs/table.csv", "docs/evil.py", "tests/rows.csv", "tests/README.py/x", "README.md.py"),
    *("notebooks/helper.py", "vendor/a.whl", "reports/metrics.json", "security/x/y.py", "setup.py"),
    *(".venv/pyvenv.cfg", "more.pth", "src/README.md", "X/docs/a.md", "gates.yaml/x", "uv.toml"),
]


@pytest.mark.parametrize("path", HARMLESS)
def test_what_is_known_to_be_harmless(path: str) -> None:
    assert not Changes((path,), frozenset()).model
    assert Changes((path,), frozenset({path})).model, "a stage reads it"


@pytest.mark.parametrize("path", MAKES)
def test_a_model_is_made_from_everything_else(path: str) -> None:
    assert Changes(("README.md", path), frozenset()).model


def test_each_file_of_the_template_is_one_or_the_other() -> None:
    template = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
    paths = [p.relative_to(template).as_posix() for p in template.rglob("*") if p.is_file()]
    harmless = {path for path in paths if not Changes((path,), frozenset(), True).model}
    folders = (".github/", "data/incoming/", "docs/", "security/", "tests/")
    assert {path for path in harmless if not path.startswith(folders)} == {
        *("README.md", "SECURITY.md", "LICENSE", "gates.yaml", "data/README.md"),
        "notebooks/look.ipynb",
        *(".gitignore", "data/.gitignore", ".dvc/.gitignore", ".pre-commit-config.yaml"),
    }


PYPROJECT = """\
[project]
name = "shop"
version = "0.1.0"
description = "Words"
requires-python = ">=3.11"
dependencies = ["pandas>=3"]
[dependency-groups]
dev = ["pytest>=9"]
[tool.uv]
package = false
[tool.ruff]
line-length = 100
"""
SAME = {
    "a comment": ("dependencies", "# words\ndependencies"),
    "a space": ('["pandas>=3"]', '[ "pandas>=3" ]'),
    "a version": ("0.1.0", "0.2.0"),
    "words": ("Words", "Other words"),
    "how code is checked": ("line-length = 100", "line-length = 88"),
    "how tests are run": ("[tool.ruff]", "[tool.pytest]\naddopts = ['-q']\n[tool.ruff]"),
}
OTHER = {
    "a dependency": ("pandas>=3", "pandas>=4"),
    "one of a group": ("pytest>=9", "pytest>=8"),
    "the Python": (">=3.11", ">=3.12"),
    "a setting of uv": ("package = false", "package = true"),
    "where a package comes from": (
        "[tool.ruff]",
        "[tool.uv.sources]\na = {path = 'a'}\n[tool.ruff]",
    ),
    "a command": ("[tool.uv]", "[project.scripts]\nmlops = 'other:main'\n[tool.uv]"),
    "how it is built": ("[tool.uv]", "[build-system]\nrequires = ['a']\n[tool.uv]"),
    "a tool that nobody knows": ("[tool.ruff]", "[tool.other]\na = 1\n[tool.ruff]"),
    "no TOML": ("[project]", "[project"),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME.keys())
def test_what_changes_no_environment(old: str, new: str) -> None:
    assert environment_in(PYPROJECT, None) == environment_in(PYPROJECT.replace(old, new), None)


@pytest.mark.parametrize(("old", "new"), OTHER.values(), ids=OTHER.keys())
def test_what_changes_the_environment(old: str, new: str) -> None:
    assert old in PYPROJECT
    assert environment_in(PYPROJECT, None) != environment_in(PYPROJECT.replace(old, new), None)
    assert environment_in(PYPROJECT, "version = 1") != environment_in(PYPROJECT, "version = 2")
    assert environment_in(PYPROJECT, "version = 1") == environment_in(PYPROJECT, "version = 1 # a")
    assert environment_in(PYPROJECT, "version = 1") != environment_in(None, "version = 1")


def test_a_key_with_a_dot_covers_no_other() -> None:
    """A table that is only named as another one would say what that said before."""
    other = PYPROJECT.replace("package = false", "package = true")
    hidden = f'{other}["tool.uv"]\npackage = false\n'
    assert environment_in(hidden, None) != environment_in(PYPROJECT, None)
    assert commands_in(hidden)["tool.uv.package"] is True


def test_what_says_what_a_command_is() -> None:
    text = PYPROJECT.replace("[tool.uv]", '[project.scripts]\nmlops = "other:main"\n[tool.uv]')
    assert commands_in(text) == {"project.scripts.mlops": "other:main", "tool.uv.package": False}
    assert commands_in(None) == commands_in("[") == {}


# Through the pull request


def lock_an_environment(project: Project) -> None:
    (project.root / "pyproject.toml").write_text(PYPROJECT)
    (project.root / "uv.lock").write_text("version = 1\n")
    project.commit("Lock")
    project.git("push", "--quiet")


def test_a_comment_in_pyproject_is_no_environment(released: Project) -> None:
    """The candidate's own job wrote the predictions that were judged then."""
    lock_an_environment(released)
    review = Review(released)
    review.candidate.edit("pyproject.toml", "dependencies", "# words\ndependencies")
    assert not review.prove()["affects_model"]
    assert not (review.claims / "predictions.parquet").exists()
    verdict = review.judge()
    assert verdict["sentence"] == "Yes: this touches no model."
    assert verdict["notes"] == []


def test_another_mlops_is_told_as_what_judges(released: Project) -> None:
    lock_an_environment(released)
    review = Review(released)
    review.candidate.edit(
        "pyproject.toml", "[tool.uv]", '[project.scripts]\nmlops = "other:main"\n[tool.uv]'
    )
    review.prove()
    notes = review.judge()["notes"]
    told = "It changes what judges: pyproject.toml, project.scripts.mlops: not set -> other:main"
    assert told in notes
    assert any(note.startswith("It changes the environment") for note in notes)


def test_a_file_that_nobody_knows_asks_for_the_whole_gate(released: Project) -> None:
    review = Review(released)
    (review.candidate.root / "table.csv").write_text("a\n1\n")
    assert review.prove()["affects_model"]
    assert review.judge()["champion"] == "1.0.0"
