"""A clone is a clone, whatever its owner's Git does to lines, and wherever its work tree lies."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hub import Hub
from parcels import Project
from settings import with_settings

TEMPLATE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"


@pytest.mark.parametrize("shipped", [True, False])
def test_a_clone_that_would_change_the_ends_of_lines_agrees(
    shipped: bool, trained: Project, tmp_path: Path
) -> None:
    if shipped:
        shutil.copy(TEMPLATE / ".gitattributes", trained.root)
        trained.commit()
        trained.git("push", "--quiet")
    place = tmp_path / "on Windows"
    trained.git(*("clone", "--quiet", "-c", "core.autocrlf=true"), str(trained.origin), str(place))
    assert (b"\r\n" in (place / "contract.yaml").read_bytes()) is not shipped
    clone = Project(place)
    if shipped:
        assert clone.mlops("prove").out.startswith("Yes")
        assert clone.git("status", "--porcelain") == ""
    else:
        assert "the inputs of check are other ones" in clone.mlops("prove", expect=1).err


def test_a_work_tree_beside_the_clone_is_as_good(released: Project, tmp_path: Path) -> None:
    released.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "beside"))
    beside = Project(tmp_path / "beside")
    assert beside.mlops("prove").out.startswith("Yes")
    assert beside.live() == released.live()
    beside.mlops("setup")
    assert beside.git("status", "--porcelain") == ""
    beside.train(0.5)
    beside.mlops("push")
    assert released.mlops("prove").out.startswith("Yes")
    assert beside.mlops("gate").out
    beside.commit("Retrain")
    claims = str(tmp_path / "claims")
    said = beside.mlops("prove", "--base", "origin/main", "--out", claims)
    assert "the outputs are there" in said.out


def test_a_clone_whose_storage_lay_in_a_work_tree_that_is_gone(
    trained: Project, tmp_path: Path
) -> None:
    clone = trained.clone()
    clone.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "beside"))
    Project(tmp_path / "beside").mlops("setup")
    clone.mlops("setup")
    assert (clone.root / ".dvc-storage").is_symlink()
    shutil.rmtree(tmp_path / "beside")
    clone.mlops("setup")
    assert not (clone.root / ".dvc-storage").is_symlink()
    assert clone.mlops("prove").out.startswith("Yes")


def test_the_default_branch_comes_first_to_an_empty_origin(
    trained: Project, tmp_path: Path
) -> None:
    """Of what is pushed first GitHub makes the default branch, and it must not be the storage."""
    trained.git("init", "--quiet", "--bare", str(tmp_path / "new.git"))
    trained.git("remote", "set-url", "origin", str(tmp_path / "new.git"))
    said = trained.mlops("push").err
    assert "origin is empty: `git push -u origin main`, then dvc-storage" in said
    assert trained.git("ls-remote", "origin") == ""
    trained.git("push", "--quiet", "origin", "main")
    trained.mlops("push")
    assert "refs/heads/dvc-storage" in trained.git("ls-remote", "origin")


RECORDS: list[list[str]] = [  # what jobs ask for that need no data
    ["status"],
    ["history"],
    ["bom", "1.2.0"],
    ["retire", "1.1.0", "--reason", "wrong"],
    ["settle"],
    ["publish", "production"],
    ["supersede", "1.2.0"],
    ["github", "apply"],
]


def test_what_reads_records_only_downloads_no_data(third: Project, hub: Hub) -> None:
    checkout = of_one_commit(third)
    checkout.on_github()
    with_settings(checkout, hub)
    for words in RECORDS:
        checkout.mlops(*words)
        assert not has_data(checkout), words
    checkout.mlops("smoke", "dev")
    assert has_data(checkout)


def test_once_the_storage_is_elsewhere_its_branch_is_not_downloaded(
    released: Project, tmp_path: Path
) -> None:
    released.mlops("move-storage", str(tmp_path / "bucket"))
    released.merge("Move the storage")
    checkout = of_one_commit(released)
    checkout.mlops("smoke", "production")
    assert not has_data(checkout)


def of_one_commit(project: Project) -> Project:
    """A checkout of origin's main, as a workflow has it."""
    place = project.root.parent / "checkout"
    one = ("--quiet", "--depth", "1", "--branch", "main")
    project.git("clone", *one, f"file://{project.origin}", str(place))
    return Project(place)


def has_data(checkout: Project) -> bool:
    """Whether what origin's storage branch holds was downloaded."""
    tip = checkout.git("ls-remote", str(checkout.origin), "dvc-storage").split()[0]
    words = ["git", "cat-file", "-e", tip]
    return not subprocess.run(words, cwd=checkout.root, capture_output=True).returncode
