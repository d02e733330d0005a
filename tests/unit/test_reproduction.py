"""A candidate is what its code, parameters and data give, and not what dvc.lock says that it is."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import stages
import yaml
from parcels import Project, red
from reviews import RANDOM, Review, forge, lenient

from gatewright.adapters.commands import run_command
from gatewright.adapters.files import digest
from gatewright.errors import Refused
from gatewright.paths import MODEL, TEST
from gatewright.pipeline import reproduction
from gatewright.pipeline.dvc_lock import Lock, LockedStage, parse_lock
from gatewright.pipeline.reproduction import changed_stages, in_order, needed_for, path_digest


@pytest.fixture
def review(released: Project) -> Review:
    return Review(released)


# The forged model


def test_a_forged_model_under_an_honest_looking_lock_is_refused(released: Project) -> None:
    lenient(released)
    review = Review(released)
    review.run()
    forge(review.candidate)
    report = review.prove(expect=1)
    assert (report["stale_stages"], report["missing_outputs"]) == ([], [])
    assert report["reproduced"] == ["train"]
    (problem,) = report["not_reproduced"]
    assert problem.startswith(f"{MODEL} is not what train gives: built again, it is ")
    verdict = review.judge(expect=1)
    assert "lock" in red(verdict)
    assert "its outputs do not follow from its inputs: model/model.skops" in verdict["sentence"]


def test_the_mended_lock_names_what_the_code_gives(review: Review) -> None:
    project = review.candidate
    honest = yaml.safe_load((project.root / "dvc.lock").read_text())
    review.run()
    forge(project)
    review.prove(expect=1)
    assert "The mended one is " in review.said.out
    assert yaml.safe_load((review.claims / "dvc.lock").read_text()) == honest


def test_a_job_that_says_nothing_of_building_again_is_not_believed(released: Project) -> None:
    """Its report has nothing against the candidate: written by hand, or by an older library."""
    lenient(released)
    review = Review(released)
    review.run()
    forge(review.candidate)
    review.prove(expect=1)
    path = review.claims / "claims.json"
    for silent in ({"affects_model": True}, {"affects_model": True, "reproduced": ["evaluate"]}):
        path.write_text(json.dumps(silent))
        verdict = review.judge(expect=1)
        assert "not built again by the candidate's own job: " in verdict["sentence"]
        assert "train" in verdict["sentence"]


def test_a_forged_model_is_not_registered(released: Project) -> None:
    """As if it had been merged past the gate."""
    lenient(released)
    forge(released)
    released.commit("Only data changed")
    before = released.registry()
    said = released.mlops("register", expect=1)
    assert "Not registered, because the model is not what its data and code give" in said.err
    assert "model/model.skops is not what train gives" in said.err
    assert released.registry() == before


def test_outputs_that_dvc_remembers_prove_nothing(released: Project) -> None:
    """DVC's cache and what it remembers of runs say that training gave the forged model."""
    honest = digest(released.root / MODEL, "md5")
    lenient(released)
    forge(released)
    forged = digest(released.root / MODEL, "md5")
    for path in (released.root / ".dvc/cache/runs").rglob("*"):
        if path.is_file() and honest in (text := path.read_text()):
            path.chmod(0o644)
            path.write_text(text.replace(honest, forged))
    (released.root / "dvc.lock").unlink()
    (released.root / MODEL).unlink()
    released.dvc("repro", "--quiet")
    assert digest(released.root / MODEL, "md5") == forged, "DVC remembers it as what training gave"
    released.commit("Forged")
    said = released.mlops("register", expect=1)
    assert "model/model.skops is not what train gives" in said.err


# What a public repository offers


@pytest.mark.parametrize(
    ("private", "moved", "offered"),
    [("false", True, False), ("true", True, True), ("false", False, True)],
    ids=["public, storage elsewhere", "private", "public, storage in it"],
)
def test_no_row_of_closed_storage_is_offered_in_a_public_repository(
    private: str,
    moved: bool,
    offered: bool,
    released: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Anybody who is signed in may download an artifact there."""
    if moved:
        released.mlops("move-storage", str(tmp_path / "bucket"))
        released.commit("Move the storage")
        released.git("push", "--quiet")
    review = Review(released)
    review.candidate.edit("src/parcels.py", "test.to_parquet", "test[:-1].to_parquet")
    review.run()
    event = tmp_path / "event.json"
    event.write_text(f'{{"repository": {{"private": {private}}}}}')
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    assert TEST in review.prove()["missing_outputs"]
    assert (review.claims / "files" / TEST).exists() is offered


# Honest candidates


def test_what_is_not_the_base_branchs_is_built_again(review: Review) -> None:
    (review.candidate.root / "params.yaml").write_text("train: {C: 0.5}\n")
    review.train()
    report = review.prove()
    assert report["reproduced"] == ["train", "evaluate"], "check is the base branch's"
    assert "Built again, byte for byte: train, evaluate.\n" in review.said.out
    verdict = review.judge()
    (lock,) = [answer for answer in verdict["answers"] if answer["check"] == "lock"]
    assert lock["findings"][0]["message"] == (
        "code, parameters and data are those of dvc.lock; built again, byte for byte: "
        "train, evaluate"
    )


def test_a_version_says_that_it_was_built_again(
    second: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert second.record("1.1.0")["reproduced"] == "always"
    ran = counted(monkeypatch)
    second.retrain(0.25)
    second.mlops("register")
    assert ran == ["python src/parcels.py", "mlops seal model/model.skops model/baseline.skops"]


def test_what_an_older_version_never_proved_is_built_again(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered before models were built again: its record says nothing of it."""
    with monkeypatch.context() as patch:
        patch.setattr("gatewright.release.register._reproduced", lambda *_: None)
        trained.mlops("register")
    assert trained.record("1.0.0")["reproduced"] is None
    ran = counted(monkeypatch)
    trained.retrain(0.5)
    trained.mlops("register")
    assert "mlops check" in ran


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []

    def run(command: str, folder: Path) -> int:
        ran.append(command)
        return stages.in_process(command, folder)

    monkeypatch.setattr(reproduction, "run_command", run)
    return ran


# What cannot be built again

BY_HAND = """
from sklearn.tree import DecisionTreeClassifier as Tree
if Path("notes.txt").exists():
    model = make_pipeline(SimpleImputer(), Tree(random_state=0))
    model.fit(test[["weight", "height"]], test["broken"])
    skops.io.dump(model, "model/model.skops")
"""


def test_training_that_varies_is_told_with_both_digests(review: Review) -> None:
    review.train(RANDOM)
    (problem,) = review.prove(expect=1)["not_reproduced"]
    assert problem.startswith(f"train is not deterministic: built twice, {MODEL} is ")
    first, second = (
        problem.partition(" is ")[2].partition(f"{MODEL} is ")[2].split(". ")[0].split(" and ")
    )
    assert first != second
    assert "`reproduce: attested`" in problem
    assert not (review.claims / "dvc.lock").exists(), "there is none that would hold"
    assert "lock" in red(review.judge(expect=1))


def test_what_only_lies_on_a_machine_is_not_read(review: Review) -> None:
    (review.candidate.root / "notes.txt").write_text("Learn the test rows by heart.\n")
    (review.candidate.root / ".git/info/exclude").write_text("notes.txt\n")
    review.train(BY_HAND)
    (problem,) = review.prove(expect=1)["not_reproduced"]
    assert problem.startswith(f"{MODEL} is not what train gives")


def test_a_stage_that_fails_proves_nothing(review: Review) -> None:
    (review.candidate.root / "notes.txt").write_text("Only here.\n")
    (review.candidate.root / ".git/info/exclude").write_text("notes.txt\n")
    review.train("\nassert Path('notes.txt').exists()\n")
    (problem,) = review.prove(expect=1)["not_reproduced"]
    assert problem.startswith("train cannot be built again: `python src/parcels.py` ended with ")


def test_an_input_that_is_another_one_proves_nothing(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    (review.candidate.root / "params.yaml").write_text("train: {C: 0.5}\n")
    review.train()
    asked: list[Iterable[str]] = []
    monkeypatch.setattr(
        "gatewright.adapters.dvc.Storage.get_if_there", lambda _, paths: asked.append(paths)
    )
    unaware = Unaware(review)
    raw = review.candidate.root / "data/raw/2026-01.parquet"
    raw.chmod(0o644)
    raw.write_bytes(raw.read_bytes() + b" ")
    monkeypatch.setattr("gatewright.pipeline.lock_verification.read_pipeline", unaware)
    (problem,) = review.prove(expect=1)["not_reproduced"]
    assert problem.startswith("the input data/raw is ")
    assert asked == [["data/raw"]]


class Unaware:
    """DVC does not look at the data, as where its state says that nothing changed."""

    def __init__(self, review: Review) -> None:
        from gatewright.pipeline.staleness import read_pipeline

        self.pipeline = read_pipeline(review.candidate.root)

    def __call__(self, _: Path) -> Any:
        return self.pipeline


# How stages run


def test_a_stage_gives_the_same_by_the_shell(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other tests run in this process."""
    monkeypatch.setattr(reproduction, "run_command", run_command)
    trained.mlops("register")
    assert trained.record("1.0.0")["reproduced"] == "always"


def test_a_command_gets_no_key_and_no_code_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("")
    for name in ("PYTHONPATH", "SIGNING_KEY", "REGISTRY_KEY", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, str(tmp_path))
    command = "env > env; python -c 'import evil' 2> said"
    folder = tmp_path / "here"
    folder.mkdir()
    assert run_command(command, folder) == 1
    names = {line.partition("=")[0] for line in (folder / "env").read_text().splitlines()}
    assert not names & {"SIGNING_KEY", "REGISTRY_KEY", "GITHUB_TOKEN"}
    assert "No module named 'evil'" in (folder / "said").read_text()


def test_what_a_stage_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    # It holds the pipe open for as long as it lives.
    alive = "(touch alive; exec sleep 600) > pipe & until [ -e alive ]; do :; done"
    assert run_command(alive, tmp_path) == 0
    ready, _, _ = select.select([reader], [], [], 60)
    assert ready, "it lives"
    assert os.read(reader, 1) == b""
    os.close(reader)


# What follows from a lock alone


def stage(deps: str, outs: str, md5: str = "a" * 32) -> LockedStage:
    read, written = (dict.fromkeys(paths.split(), md5) for paths in (deps, outs))
    return LockedStage("x", read, written, {})


CHAIN = Lock(
    *({}, {}, {}, {}),
    {
        "card": stage("model/model.skops reports/metrics.json", "card.md"),
        "check": stage("data/raw", "reports/data.json"),
        "evaluate": stage("model data/test", "reports/metrics.json"),
        "split": stage("data/raw reports/data.json", "data/test data/train"),
        "train": stage("data/train", "model"),
    },
)


def test_stages_run_after_what_they_read() -> None:
    assert in_order(CHAIN, list(CHAIN.stages)) == ["check", "split", "train", "evaluate", "card"]
    assert in_order(CHAIN, ["card", "train"]) == ["train", "card"]


def test_stages_that_wait_for_each_other_are_refused() -> None:
    circle = {"egg": stage("hen", "egg"), "hen": stage("egg", "hen")}
    with pytest.raises(Refused, match="egg, hen read each other's outputs in a circle"):
        in_order(Lock({}, {}, {}, {}, circle), ["egg", "hen"])


def test_only_what_changed_is_built_again() -> None:
    other = Lock({}, {}, {}, {}, CHAIN.stages | {"train": stage("data/train", "model", "b" * 32)})
    assert changed_stages(other, CHAIN) == ["train"]
    assert changed_stages(CHAIN, CHAIN) == []
    assert changed_stages(CHAIN, None) == list(CHAIN.stages)


def test_what_an_output_comes_from_is_known() -> None:
    assert needed_for(CHAIN, ["reports/data.json"]) == {"check"}
    assert "train" in needed_for(CHAIN, ["model/model.skops"])
    assert "card" not in needed_for(CHAIN, ["model/model.skops"])


def test_digests_are_those_by_which_dvc_names_files_and_folders(trained: Project) -> None:
    locked = parse_lock((trained.root / "dvc.lock").read_text())
    for path, md5 in {**locked.deps, **locked.outs}.items():
        assert path_digest(trained.root, path) == md5, path
    assert locked.deps["data/raw"].endswith(".dir")
    assert path_digest(trained.root, "nothing") is None
    (trained.root / "link").symlink_to("dvc.lock")
    assert path_digest(trained.root, "link") is None
    assert path_digest(trained.root, "dvc.lock") == digest(trained.root / "dvc.lock", "md5")
