"""What is read in two ways: by judge and stage, by DVC and Python, in a commit and beside it."""

from __future__ import annotations

from typing import Any

import pytest
from parcels import Project, make_rows, red
from reviews import Review, forge, lenient

from gatewright.adapters.files import digest
from gatewright.adapters.git import Git
from gatewright.paths import MODEL
from gatewright.pipeline.committed import other_when_checked_out
from gatewright.pipeline.staleness import read_pipeline

# A national variant of ASCII that has £ where ASCII has #: what is a comment depends on who reads.
BRITISH = "working-tree-encoding=ISO646-GB"


def lock_of(verdict: Any) -> str:
    (answer,) = (a for a in verdict["answers"] if a["check"] == "lock")
    return "; ".join(f["message"] for f in answer["findings"] if f["status"] == "refuse")


@pytest.fixture
def review(released: Project) -> Review:
    return Review(released)


# Git's attributes


def test_a_lock_that_names_another_model_when_it_is_checked_out_is_refused(
    released: Project,
) -> None:
    """The candidate's own job proves an honest model, and the commit names a forged one."""
    lenient(released)
    review = Review(released)
    review.run()
    project = review.candidate
    lock = project.root / "dvc.lock"
    honest, before = digest(project.root / MODEL, "md5"), lock.read_text()
    forge(project)
    forged, after = digest(project.root / MODEL, "md5"), lock.read_text()
    project.git("checkout", "--quiet", "--force", "HEAD", "--", ".")
    size = before.partition(f"md5: {honest}\n      size: ")[2].split("\n")[0]
    size_after = after.partition(f"md5: {forged}\n      size: ")[2].split("\n")[0]
    plain = f"    - path: {MODEL}\n      hash: md5\n      md5: {honest}\n      size: {size}\n"
    twofold = (
        f"    - {{path: {MODEL}, hash: md5,\n       # k: '\n"
        f"       md5: {honest}, size: {size}}}\n"
        f"       # ', md5: {forged}, size: {size_after}}}\n"
    )
    assert plain in before
    lock.write_text(before.replace(plain, twofold))
    (project.root / ".gitattributes").write_text(f"dvc.lock {BRITISH}\n")
    project.commit()
    assert forged in project.git("show", "HEAD:dvc.lock")
    # As a library would say that looks at the checkout alone.
    review.claims.mkdir()
    (review.claims / "claims.json").write_text(
        '{"affects_model": true, "reproduced": ["check", "train", "evaluate"]}'
    )
    assert "dvc.lock has other bytes when it is checked out" in lock_of(review.judge(expect=1))
    report = review.prove(expect=1)
    assert "dvc.lock has other bytes when it is checked out" in report["unlisted_code"][0]


def test_code_that_is_another_when_it_is_checked_out_registers_nothing(trained: Project) -> None:
    text = (trained.root / "src/parcels.py").read_text()
    (trained.root / "src/parcels.py").write_text("# $Id$\n" + text)
    (trained.root / ".gitattributes").write_text("src/parcels.py ident\n")
    trained.commit("Words")
    trained.git("rm", "--quiet", "--cached", "-r", "src")
    trained.git("checkout", "--force", "--quiet", "HEAD", "--", "src")
    trained.mlops("run")
    trained.commit("Train")
    trained.git("push", "--quiet")
    said = trained.mlops("register", expect=1)
    assert "src/parcels.py has other bytes when it is checked out" in said.err


def test_ends_of_lines_are_no_other_bytes(trained: Project) -> None:
    git = Git(trained.root)
    assert other_when_checked_out(git, trained.root) == []
    (trained.root / ".gitattributes").write_text("* text=auto eol=crlf\n")
    trained.commit("Ends of lines")
    trained.git("rm", "--quiet", "--cached", "-r", ".")
    trained.git("reset", "--quiet", "--hard")
    assert b"\r\n" in (trained.root / "dvc.yaml").read_bytes()
    assert other_when_checked_out(git, trained.root) == []


@pytest.mark.parametrize("path", ["src/parcels.py", "src/more.txt"])
def test_a_link_in_a_commit_is_refused(path: str, review: Review) -> None:
    """A change of what it leads to would be one of words alone."""
    project = review.candidate
    here, there = project.root / path, project.root / "docs/words.md"
    there.write_text(here.read_text() if here.exists() else "words")
    here.unlink(missing_ok=True)
    here.symlink_to("../docs/words.md")
    review.prove(expect=1)
    assert f"{path} is a symbolic link" in lock_of(review.judge(expect=1))


def test_a_repository_in_a_commit_is_refused(review: Review) -> None:
    project = review.candidate
    project.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "-f",
                str(review.base.origin), "src/more")  # fmt: skip
    review.prove(expect=1)
    assert "src/more is a repository of its own" in lock_of(review.judge(expect=1))


# .dvcignore


def test_raw_rows_that_git_holds_and_dvc_does_not_see_are_refused(review: Review) -> None:
    """They train, and could become others without anything being stale."""
    project = review.candidate
    review.run()
    with (project.root / ".dvcignore").open("a") as file:
        file.write("/data/raw/more*\n")
    make_rows(20, 9000).to_parquet(project.root / "data/raw/more.parquet")
    project.git("add", "--force", "data/raw/more.parquet")
    review.prove(expect=1)
    assert "data/raw/more.parquet is in Git, lies in what" in lock_of(review.judge(expect=1))


def test_raw_data_that_dvc_does_not_see_builds_nothing_again(released: Project) -> None:
    """On the machine where it lies it gave the model, and nobody else could make that again."""
    with (released.root / ".dvcignore").open("a") as file:
        file.write("/data/raw/*.txt\n")
    released.edit(
        "src/parcels.py",
        'strength = yaml.safe_load(Path("params.yaml").read_text())["train"]["C"]',
        'strength = 0.5 if Path("data/raw/notes.txt").exists() else 1.0',
    )
    (released.root / "data/raw/notes.txt").write_text("Only here.\n")
    released.mlops("run")
    released.commit("Retrain")
    released.git("push", "--quiet")
    said = released.mlops("register", expect=1)
    assert f"{MODEL} is not what train gives" in said.err


# params.yaml


def test_a_number_that_dvc_reads_as_another_than_the_stage_is_refused(released: Project) -> None:
    """With it a later change of data alone would bring another model along."""
    released.train(10)
    released.commit("Retrain")
    released.git("push", "--quiet")
    released.mlops("push")
    review = Review(released)
    (review.candidate.root / "params.yaml").write_text("train: {C: 010}\n")
    assert "10} for DVC, and for most code {'C': 8}" in review.prove(expect=1)["unlisted_code"][0]
    verdict = review.judge(expect=1)
    assert red(verdict) == {"lock"}


VALUES = {
    "0o10": True, "1:30": True, "yes": True, "On": True,
    "1e-3": False, "1_000": False, "true": False, "text": False, "2026-01-01": False, "~": False,
    "'010'": False, "[1, 2.5, a]": False, ".5": False, "-8": False,
}  # fmt: skip


@pytest.mark.parametrize(("value", "twofold"), VALUES.items(), ids=VALUES.keys())
def test_what_is_read_in_two_ways(value: str, twofold: bool, trained: Project) -> None:
    (trained.root / "params.yaml").write_text(f"train: {{C: {value}}}\n")
    doubts = read_pipeline(trained.root).doubts
    assert any("for most code" in doubt for doubt in doubts) == twofold, doubts
