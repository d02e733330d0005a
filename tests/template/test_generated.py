"""The generated project's own checks are green on the first day; its tests run in test_checks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cookiecutter.exceptions import FailedHookException
from projects import Parcels, Project, bake

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "tool",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_its_linters_are_silent(tool: list[str], project: Project) -> None:
    project.run(*tool)


def test_pre_commit_runs_the_same_tools(baked: Project) -> None:
    said = baked.run("pre-commit", "run", "--all-files").stdout
    assert said.count("Passed") == 14
    assert said.count("Skipped") == 3  # no dvc.lock, nothing that is forbidden


def test_pre_commit_stops_a_bad_line(project: Project) -> None:
    path = project.root / "src/late_flights/load.py"
    path.write_text(path.read_text() + "\n\ndef risky(text):\n    return eval(text)\n")
    project.git("add", "--all")
    done = project.run("git", "commit", "-m", "Try", expect=None)
    assert done.returncode != 0
    assert "B307" in done.stdout + done.stderr


def test_a_push_stores_data_and_models_first(trained: Parcels) -> None:
    """By the real hook: no commit that others have names what they cannot get."""
    trained.parameter(0.5)
    trained.mlops("run")
    trained.git("add", "--all")
    trained.git("commit", "--quiet", "--no-verify", "-m", "Less trust")
    closed = trained.origin / "hooks/pre-receive"
    closed.write_text("#!/bin/sh\ngrep -q dvc-storage && exit 1\nexit 0\n")
    closed.chmod(0o755)
    before = trained.git("ls-remote", "origin")
    trained.git("push", "--quiet", "origin", "main", expect=1)
    assert trained.git("ls-remote", "origin") == before
    closed.unlink()
    trained.git("push", "--quiet", "origin", "main")
    colleague = trained.clone("colleague")
    colleague.mlops("setup")
    model = "model/model.skops"
    assert (colleague.root / model).read_bytes() == (trained.root / model).read_bytes()


def test_a_table_and_other_answers_give_a_project_that_works(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A table of one's own, another name, package and text; from generation to a verdict."""
    folder = tmp_path_factory.mktemp("other")
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"x'y": draw.normal(size=2000), "z": draw.integers(0, 5, 2000)})
    rows["late?"] = np.where(rows["x'y"] + draw.normal(size=2000) > 0.5, "Ja", "Nein")
    rows.to_csv(folder / "a 'quoted' $name.csv", index=False, sep=";", decimal=",")
    root = bake(
        folder,
        data_file=str(folder / "a 'quoted' $name.csv"),
        target="late?",
        project_name="Опоздания «рейсов» \U0001f6eb",
        project_slug="delays",
        package_name="delays",
        description="Will it be late? # \"yes\": 'no' \\ & <b>",
        author_name="Zoë O'Neil",
        license="Proprietary",
    )
    project = Project(root, root / ".venv")
    assert project.git("status", "--porcelain") == ""
    assert not list(root.glob("data/**/2013-*"))
    verdict = project.ask("gate")
    assert verdict["decision"] == "yes"
    card = (root / "reports/model-card.md").read_text(encoding="utf-8")
    assert "Опоздания «рейсов» \U0001f6eb" in card
    project.run("ruff", "check")
    project.run("mlops", "prove")
    project.run("pytest", "-q", "--no-cov", "-p", "no:cacheprovider", "tests/test_train.py")


def test_a_table_that_cannot_be_learnt_gives_no_project(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few.csv").write_text("a,b\n" + "1,x\n2,y\n" * 6)
    with pytest.raises(FailedHookException):
        bake(tmp_path, data_file=str(tmp_path / "few.csv"), target="b")
    assert "12 rows with a value of 'b'" in capfd.readouterr().err
    assert not (tmp_path / "late-flights").exists()
