"""The pipeline is read as plain data, and said of it is what DVC itself says."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from parcels import Project

from gatewright.errors import Refused
from gatewright.pipeline.staleness import read_pipeline


def as_dvc_says(root: Path) -> dict[str, Any]:
    """What DVC finds stale by a dry `dvc repro`, and the deps and commands of its stages."""
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    with chdir(root), redirect_stdout(io.StringIO()), Repo(".") as repo, repo.lock:
        inputs = repo.index.graph.successors
        stale = [
            stage.addressing
            for stage in repo.index.stages
            if stage.changed(allow_missing=True, upstream=list(inputs(stage)))
        ]
        stages = {
            stage.name: (
                stage.cmd if isinstance(stage.cmd, list) else [stage.cmd],
                {
                    Path(dep.fs_path).relative_to(root).as_posix()
                    for dep in stage.deps
                    if not isinstance(dep, ParamsDependency)
                },
            )
            for stage in repo.index.stages
            if stage.cmd
        }
    return {"stale": sorted(stale), "stages": stages}


def as_read(root: Path) -> dict[str, Any]:
    pipeline = read_pipeline(root)
    assert pipeline.doubts == ()
    stages = {stage.name: (list(stage.commands), set(stage.deps)) for stage in pipeline.stages}
    return {"stale": sorted(pipeline.stale), "stages": stages}


def edit(path: str, old: str, new: str) -> Callable[[Project], None]:
    return lambda project: project.edit(path, old, new)


def write(path: str, text: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        (project.root / path).parent.mkdir(parents=True, exist_ok=True)
        (project.root / path).write_text(text)

    return change


def all_of(*changes: Callable[[Project], None]) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        for one in changes:
            one(project)

    return change


def deps_on_a_folder(project: Project) -> None:
    """A dependency that is a folder of Git, with a file that is hidden."""
    write("src/help/words.txt", "one\n")(project)
    write("src/help/deep/words.txt", "two\n")(project)
    write('src/help/deep/é ".txt', "three\n")(project)
    write("src/help/old.log", "four\n")(project)
    write(".dvcignore", ".dvc-storage\n# words\n\n*.log\n!keep.log\n/src/help/tmp/\n")(project)
    project.edit("dvc.yaml", "src/parcels.py]", "src/parcels.py, src/help]")
    project.mlops("run")


def rebuilt(*changes: Callable[[Project], None]) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        all_of(*changes)(project)
        project.mlops("run")

    return change


def other_digest(path: str, after: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        text = (project.root / path).read_text()
        at = text.index("md5: ", text.index(after)) + 5
        (project.root / path).write_text(text[:at] + "ab" * 16 + text[at + 32 :])

    return change


CHANGES: dict[str, tuple[Callable[[Project], None], set[str]]] = {
    "nothing": (lambda _: None, set()),
    "a command": (edit("dvc.yaml", "python src", "python  src"), {"train"}),
    "one of many": (
        edit("dvc.yaml", "      - mlops seal", "      - mlops  seal"),
        {"train"},
    ),
    "a file": (edit("src/parcels.py", "max_depth=1", "max_depth=2"), {"train"}),
    "a file that three stages read": (
        edit("contract.yaml", "Weight", "The weight"),
        {"check", "train", "evaluate"},
    ),
    "a parameter": (edit("params.yaml", "1.0", "0.5"), {"train"}),
    "a parameter in other words": (write("params.yaml", "train:\n  C: 1.00 # one\n"), set()),
    "a parameter as YAML 1.2 reads it": (write("params.yaml", "train: {C: 1e0}\n"), set()),
    "a parameter that is gone": (write("params.yaml", "test: {C: 1.0}\n"), {"train"}),
    "a parameter more": (write("params.yaml", "train: {C: 1.0}\nother: 1\n"), set()),
    "a parameter more in the group": (write("params.yaml", "train: {C: 1.0, D: 1}\n"), {"train"}),
    "one key of a group": (
        rebuilt(edit("dvc.yaml", "params: [train]", "params: [train.C]")),
        set(),
    ),
    "another key beside one key": (
        all_of(
            rebuilt(edit("dvc.yaml", "params: [train]", "params: [train.C]")),
            write("params.yaml", "train: {C: 1.0, D: 1}\n"),
        ),
        set(),
    ),
    "a whole file of parameters": (
        all_of(
            write("more.json", '{"a": 1, "b": [2]}'),
            rebuilt(edit("dvc.yaml", "params: [train]", "params: [train, more.json: ]")),
            write("more.json", '{"a": 1, "b": [3]}'),
        ),
        {"train"},
    ),
    "keys of another file": (
        all_of(
            write("more.toml", "[a]\nb = 1\n"),
            rebuilt(edit("dvc.yaml", "params: [train]", "params: [train, more.toml: [a.b]]")),
            write("more.toml", "c = 1\n[a]\nb = 1 # one\n"),
        ),
        set(),
    ),
    "an output in Git": (edit("reports/data.json", "{", "{ "), {"check", "train"}),
    "a stage more": (
        edit("dvc.yaml", "  check:\n", "  new: {cmd: mlops check, deps: [gates.yaml]}\n  check:\n"),
        {"new"},
    ),
    "always": (
        edit("dvc.yaml", "  check:\n", "  check:\n    always_changed: true\n"),
        {"check"},
    ),
    "a digest of the lock": (
        other_digest("dvc.lock", "- path: contract.yaml"),
        {"check"},
    ),
    "no lock": (
        lambda project: (project.root / "dvc.lock").unlink(),
        {"check", "train", "evaluate"},
    ),
    "a folder": (deps_on_a_folder, set()),
    "a file of a folder": (
        all_of(deps_on_a_folder, write("src/help/deep/words.txt", "other\n")),
        {"train"},
    ),
    "a file that is hidden": (
        all_of(deps_on_a_folder, write("src/help/deep/x.log", "other\n")),
        set(),
    ),
    "a file that is not hidden": (
        all_of(deps_on_a_folder, write("src/help/keep.log", "other\n")),
        {"train"},
    ),
    "a folder that is hidden": (
        all_of(deps_on_a_folder, write("src/help/tmp/x", "other\n")),
        set(),
    ),
}


@pytest.mark.parametrize(("change", "stale"), CHANGES.values(), ids=CHANGES.keys())
def test_what_is_stale_is_what_dvc_says(
    change: Callable[[Project], None], stale: set[str], trained: Project
) -> None:
    change(trained)
    said = as_read(trained.root)
    assert said == as_dvc_says(trained.root)
    assert set(said["stale"]) == stale
    as_git_holds_it(trained)
    assert as_read(trained.root) == as_dvc_says(trained.root)


def as_git_holds_it(project: Project) -> None:
    """Take data and model away."""
    project.git("add", "--all")
    project.git("clean", "-fdXq")
    assert not (project.root / "data/raw").exists()


def test_data_that_is_here_and_changes_is_told_as_dvc_does(trained: Project) -> None:
    with (trained.root / "data/raw/2026-01.parquet").open("ab") as file:
        file.write(b"x")
    said = as_read(trained.root)
    assert said["stale"] == ["check", "data/raw.dvc", "train"]
    assert said == as_dvc_says(trained.root)


# What DVC would let pass


LET_PASS: dict[str, tuple[Callable[[Project], None], set[str], str]] = {
    "another .dvc file": (other_digest("data/raw.dvc", "outs"), {"check", "train"}, ""),
    "code that is gone": (
        lambda project: (project.root / "src/parcels.py").unlink(),
        {"train"},
        "stage train: src/parcels.py is not there, and nothing says what it was",
    ),
    "data that nothing tracks": (
        lambda project: (project.root / "data/raw.dvc").unlink(),
        {"check", "train"},
        "data/raw is not there, and nothing says what it was",
    ),
    "an output that only the lock has": (
        all_of(
            edit("dvc.yaml", "      - model/baseline.skops\n", ""),
            edit("dvc.yaml", "model/model.skops, model/baseline.skops]", "model/model.skops]"),
        ),
        set(),
        "dvc.lock says that the stage train writes model/baseline.skops, and dvc.yaml does not",
    ),
    "no entry in the lock": (
        edit("dvc.yaml", "  check:\n", "  new: {cmd: mlops check, deps: [data/raw]}\n  check:\n"),
        {"new"},
        "",
    ),
    "another output in the lock": (
        other_digest("dvc.lock", "- path: model/model.skops"),
        {"evaluate"},
        "",
    ),
    "a dependency that is left out": (
        edit("dvc.yaml", "deps: [contract.yaml, data/raw, ", "deps: [contract.yaml, "),
        set(),
        "dvc.lock says that the stage train stands on data/raw, and dvc.yaml does not. Bring it "
        "back, or run `uv run dvc repro --force train`",
    ),
    "a parameter that is left out, and changes": (
        all_of(
            edit("dvc.yaml", "    params: [train]\n", ""),
            write("params.yaml", "train: {C: 50.0}\n"),
        ),
        set(),
        "dvc.lock says that the stage train stands on train of params.yaml",
    ),
    "a number of another type": (
        write("params.yaml", "train: {C: 1}\n"),
        set(),
        "stage train: train in params.yaml is {'C': 1} and was {'C': 1.0}, which DVC takes for the "
        "same. Run `uv run dvc repro --force train`",
    ),
    "one file of a folder that is tracked": (
        edit("dvc.yaml", "[contract.yaml, data/raw]", "[contract.yaml, data/raw/2026-01.parquet]"),
        {"check"},
        "data/raw/2026-01.parquet lies in data/raw, of which the digest of the whole is known",
    ),
    "a folder that holds what is tracked": (
        edit("dvc.yaml", "[contract.yaml, data/raw]", "[contract.yaml, data]"),
        {"check"},
        "which is not in Git. List what it reads by name",
    ),
}


@pytest.mark.parametrize(("change", "stale", "doubt"), LET_PASS.values(), ids=LET_PASS.keys())
def test_what_dvc_lets_pass_is_told(
    change: Callable[[Project], None], stale: set[str], doubt: str, trained: Project
) -> None:
    as_git_holds_it(trained)
    change(trained)
    pipeline = read_pipeline(trained.root)
    assert set(pipeline.stale) == stale
    assert doubt in "; ".join(pipeline.doubts)
    assert bool(doubt) == bool(pipeline.doubts)
    assert trained.mlops("prove", expect=1).err


# What is not read


NOT_READ = {
    "values to put in": ("dvc.yaml", "python src", "python ${src}", "has a `${}` in it"),
    "variables": ("dvc.yaml", "stages:", "vars: [a: 1]\nstages:", "write the values out"),
    "a stage for each": (
        *("dvc.yaml", "  check:\n", "  many: {foreach: [1], do: {cmd: ls}}\n  check:\n"),
        "write a stage for each",
    ),
    "a folder to run in": ("dvc.yaml", "  check:\n", "  check:\n    wdir: src\n", "seen from the"),
    "an unknown key": ("dvc.yaml", "  check:\n", "  check:\n    retry: 3\n", "`retry` is not read"),
    "data of elsewhere": ("dvc.yaml", "[contract.yaml, data/raw]", "['s3://a/b']", "outside of"),
    "a file above": ("dvc.yaml", "[contract.yaml, data/raw]", "[../a]", "outside of"),
    "an absolute path": ("dvc.yaml", "[contract.yaml, data/raw]", "[/etc/passwd]", "outside of"),
    "code": (
        "dvc.yaml",
        "[train]",
        "[src/parcels.py: [train]]",
        "YAML, JSON or TOML",
    ),
    "a pattern of parameters": ("dvc.yaml", "[train]", "['tr*']", "without a pattern"),
    "one output twice": (
        *("dvc.yaml", "- reports/data.json", "- model/model.skops"),
        "is written by check and again by train",
    ),
    "an output in another": ("dvc.yaml", "- reports/data.json", "- model", "written by check and"),
    "a circle": (
        *("dvc.yaml", "[contract.yaml, data/raw]", "[reports/metrics.json]"),
        "wait for each other",
    ),
    "no command": ("dvc.yaml", "    cmd: mlops check\n", "", "needs a `cmd`"),
    "a name with ]": (
        "dvc.yaml",
        "  check:\n",
        "  'a]b': {cmd: ls}\n  check:\n",
        "no name",
    ),
    "no text": (
        "dvc.yaml",
        "[contract.yaml, data/raw]",
        "[1]",
        "`deps` is a list of paths",
    ),
    "no list of outputs": ("dvc.yaml", "{cache: false}", "3", "with its flags"),
    "a flag that is none": ("dvc.yaml", "{cache: false}", "{cache: 3}", "with its flags"),
    "an import": ("data/raw.dvc", "outs:", "deps: [{path: /a}]\nouts:", "brings its data from"),
    "an import by url": (
        "data/raw.dvc",
        "outs:",
        "url: http://a\nouts:",
        "`url` is not read",
    ),
    "a digest of DVC 2": ("data/raw.dvc", "  hash: md5\n", "", "dvc cache migrate --dvc-files"),
    "a lock of DVC 2": ("dvc.lock", "      hash: md5\n", "", "dvc cache migrate --dvc-files"),
    "a way out": ("data/raw.dvc", "path: raw", "path: ../../raw", "outside of the project"),
    "two writers": (
        "data/raw.dvc",
        "path: raw",
        "path: ../model/model.skops",
        "and tracked by",
    ),
    "an output that is hidden": (".dvcignore", ".dvc-storage", "model", ".dvcignore hides model/"),
    "no pattern": (".dvcignore", ".dvc-storage", "!", "a pattern that is none"),
}


@pytest.mark.parametrize(("path", "old", "new", "words"), NOT_READ.values(), ids=NOT_READ.keys())
def test_what_is_not_read_is_refused_in_one_sentence(
    path: str, old: str, new: str, words: str, made_project: Project, tmp_path: Path
) -> None:
    """DVC would compute or fetch it, and so have to be asked."""
    copied = Project(tmp_path)
    for name in ("dvc.yaml", "dvc.lock", ".dvcignore", "params.yaml", "data/raw.dvc"):
        write(name, (made_project.root / name).read_text())(copied)
    copied.edit(path, old, new)
    with pytest.raises(Refused) as refused:
        read_pipeline(tmp_path)
    assert words in str(refused.value)
    assert str(refused.value).count("\n") == 0 or "YAML" in str(refused.value)


def link(path: str, to: str) -> Callable[[Project], None]:
    def change(project: Project) -> None:
        (project.root / path).unlink(missing_ok=True)
        (project.root / path).symlink_to(to)

    return change


PLACES: dict[str, tuple[Callable[[Project], None], str]] = {
    "a pipeline below": (write("sub/dvc.yaml", "stages: {}"), "sub/dvc.yaml: one pipeline is"),
    "a link for a text": (link("dvc.lock", "/etc/passwd"), "dvc.lock is, or lies in, a symbolic"),
    "a link to a folder": (
        link("src/more", "/etc"),
        "src/more is a link to a folder",
    ),
    "a broken link": (
        link("src/more", "nothing"),
        "src/more is no file",
    ),
    "a pipe": (lambda project: os.mkfifo(project.root / "src/pipe"), "src/pipe is no file"),
    "a .dvcignore below": (write("src/.dvcignore", "*.py"), "would keep DVC from seeing"),
    "a project below": (write("src/help/.dvc/config", ""), "would keep DVC from seeing"),
}


@pytest.mark.parametrize(("change", "words"), PLACES.values(), ids=PLACES.keys())
def test_what_lies_about_is_not_followed(
    change: Callable[[Project], None], words: str, trained: Project
) -> None:
    trained.edit("dvc.yaml", "src/parcels.py]", "src]")
    change(trained)
    with pytest.raises(Refused, match=words):
        read_pipeline(trained.root)
