"""Register, promote, roll back, retire: what they do, and what they refuse to do."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from parcels import Project, make_rows

from mlops.release.promotion import live_stack
from mlops.release.registry import EnvironmentRecord


def turn_a_knob(project: Project, old: str, new: str) -> None:
    project.edit("params.yaml", old, new)
    project.mlops("run")
    project.commit("Turn a knob")


def test_a_version_holds_what_it_is_made_from(released: Project) -> None:
    record = released.record("1.0.0")
    assert record["because"] == ["the first version"]
    assert record["commit"] == released.git("rev-parse", "main")
    assert {f["path"] for f in record["files"]} == {
        "model/model.skops",
        "model/baseline.skops",
        "data/split/test.parquet",
    }
    assert record["verdict"]["decision"] == "yes"
    assert record["data"].keys() == {"data/raw"}
    assert released.git("cat-file", "-t", "refs/mlops/origin/tags/v1.0.0") == "tag"


def test_running_again_changes_nothing(released: Project) -> None:
    before = released.registry()
    assert "registered already, as 1.0.0" in released.mlops("register").out
    assert (
        "live in production already" in released.mlops("promote", "1.0.0", "--to", "production").out
    )
    assert released.registry() == before


def test_new_data_is_a_patch_and_a_knob_a_minor_version(released: Project) -> None:
    make_rows(2000, 4000).to_parquet(released.root / "data/raw/2026-03.parquet")
    released.mlops("run")
    released.commit("Add March")
    assert released.ask("register")["version"] == "1.0.1"
    turn_a_knob(released, "1.0", "0.9")
    assert released.ask("register")["version"] == "1.1.0"


def test_uncommitted_work_is_not_registered(trained: Project) -> None:
    trained.edit("params.yaml", "1.0", "2.0")
    assert "not committed" in trained.mlops("register", expect=1).err


def test_a_stale_lock_is_not_registered(trained: Project) -> None:
    trained.edit("params.yaml", "1.0", "2.0")
    trained.commit("Forget to run")
    assert "dvc.lock is not what the pipeline would give" in trained.mlops("register", expect=1).err


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["promote", "1.1.0", "--to", "production"], 1, "was never in staging"),
        (["promote", "7.0.0", "--to", "dev"], 1, "There is no version 7.0.0"),
        (["promote", "newest", "--to", "dev"], 64, "is no version"),
        (["promote", "1.1.0", "--to", "prod"], 64, "There is no environment 'prod'"),
        (["rollback", "production"], 1, "there is no way back"),
        (["rollback", "dev", "--to", "1.1.1"], 1, "was not live in dev before"),
        (["retire", "1.0.0", "--reason", "old"], 1, "is live in staging"),
        (["history", "prod"], 64, "There is no environment 'prod'"),
        (["history", "--at", "yesterday"], 64, "is no date"),
    ],
)
def test_what_may_not_be_is_refused(
    words: list[str], status: int, why: str, second: Project
) -> None:
    before = second.registry()
    assert why in second.mlops(*words, expect=status).err
    assert second.registry() == before


def test_rollbacks_go_back_and_never_to_and_fro(second: Project) -> None:
    turn_a_knob(second, "0.5", "0.25")
    second.git("push", "--quiet")
    second.mlops("register")
    second.mlops("promote", "1.2.0", "--to", "dev")
    for expected in ("1.1.0", "1.0.0"):
        second.mlops("rollback", "dev")
        assert second.live()["dev"] == expected
    second.mlops("rollback", "dev", expect=1)
    assert second.ask("rollback", "dev", "--to", "1.0.0")["changed"] is False


def test_a_rollback_passes_over_what_was_retired(second: Project) -> None:
    turn_a_knob(second, "0.5", "0.25")
    second.mlops("register")
    second.mlops("promote", "1.2.0", "--to", "dev")
    second.mlops("retire", "1.1.0", "--reason", "it was wrong")
    assert "it was wrong" in second.mlops("promote", "1.1.0", "--to", "dev", expect=1).err
    assert "it was wrong" in second.mlops("rollback", "dev", "--to", "1.1.0", expect=1).err
    assert "retired already" in second.mlops("retire", "1.1.0", "--reason", "again").out
    second.mlops("rollback", "dev")
    assert second.live()["dev"] == "1.0.0"


def record(action: Any, version: str) -> EnvironmentRecord:
    return EnvironmentRecord(
        "dev", version, action, "2026-01-01", "", None, None, None, None, "", {}
    )


def test_the_stack_of_live_versions() -> None:
    events = [record("promote", v) for v in ("1", "2", "3")]
    events += [record("roll back", "1"), record("promote", "4"), record("roll back", "1")]
    assert live_stack(events[:3]) == ["1", "2", "3"]  # type: ignore[arg-type]
    assert live_stack(events) == ["1"]  # type: ignore[arg-type]


def test_history_and_what_was_live_then(second: Project) -> None:
    events = second.ask("history")
    assert [(e["event"], e["version"]) for e in events] == [
        ("register", "1.0.0"),
        *[("promote", "1.0.0")] * 3,
        ("register", "1.1.0"),
        ("promote", "1.1.0"),
    ]
    assert second.ask("history", "--at", "2001-01-01")["dev"] is None
    assert second.ask("history", "dev", "--at", "2999-01-01T00:00")["dev"]["version"] == "1.1.0"
    shown = second.mlops("history", "dev").out
    assert "dev: 1.0.0 -> 1.1.0" in shown
    assert "1.1.0" in second.mlops("history", "--at", "2999-01-01").out
    assert "2 versions registered." in second.mlops("status").out


# Storage


def spoil(kind: str, path: Path) -> None:
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")


@pytest.mark.parametrize("kind", ["missing", "truncated", "altered"])
def test_spoilt_storage_on_origin_is_refused(kind: str, second: Project) -> None:
    place = second.stored("1.1.0", "dev")
    second.change_branch("dvc-storage", lambda root: spoil(kind, root / place))
    before = second.registry()
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert ("is missing from" if kind == "missing" else "truncated or altered") in said.err
    assert second.registry() == before


def test_spoilt_storage_in_this_clone_is_refused(second: Project) -> None:
    second.mlops("status")
    second.mlops("promote", "1.1.0", "--to", "staging")
    spoil("altered", second.root / ".dvc-storage" / second.stored("1.1.0", "staging"))
    said = second.mlops("promote", "1.1.0", "--to", "production", expect=1)
    assert "altered or missing files" in said.err


def test_half_a_copy_of_a_killed_process_is_thrown_away(second: Project) -> None:
    second.mlops("gate")
    place = second.root / ".dvc-storage" / second.stored("1.1.0", "staging")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"half")
    second.mlops("promote", "1.1.0", "--to", "staging")
    assert second.live()["staging"] == "1.1.0"


def test_files_too_large_for_git_are_refused(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.edit("params.yaml", "1.0", "2.0")
    trained.mlops("run")
    monkeypatch.setattr("mlops.artefacts.storage.LARGEST_FILE", 100)
    said = trained.mlops("push", expect=1)
    assert "Move the storage with uv run mlops move-storage" in said.err


def test_a_storage_too_large_for_git_is_refused(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.edit("params.yaml", "1.0", "2.0")
    trained.mlops("run")
    monkeypatch.setattr("mlops.artefacts.storage.LARGEST_TOTAL", 100)
    assert "more than a Git branch should hold" in trained.mlops("push", expect=1).err


def test_the_storage_moves_elsewhere_and_everything_goes_on(second: Project) -> None:
    place = second.root.parent / "bucket"
    second.mlops("move-storage", str(place))
    assert {p.name for p in place.iterdir()} == {"dev", "staging", "production"}
    second.commit("Move the storage")
    shutil.rmtree(second.root / ".dvc-storage")
    second.mlops("promote", "1.1.0", "--to", "staging")
    second.mlops("rollback", "staging")
    assert second.live()["staging"] == "1.0.0"


def test_a_fresh_clone_has_all_it_needs(released: Project) -> None:
    colleague = released.clone()
    colleague.mlops("run")
    assert "Running" not in colleague.mlops("run").out
    assert colleague.ask("gate")["decision"] == "yes"


# The registry on origin


def test_a_rewritten_registry_is_refused(second: Project) -> None:
    second.mlops("status")
    second.git("push", "--quiet", "--force", "origin", "refs/mlops/seen~1:refs/heads/registry")
    assert "was rewritten or removed" in second.mlops("status", expect=1).err


def test_a_removed_registry_is_refused(second: Project) -> None:
    second.git("push", "--quiet", "origin", ":refs/heads/registry")
    assert "was rewritten or removed" in second.mlops("status", expect=1).err
    assert "the branch registry was rewritten" in second.clone().mlops("status", expect=1).err


def change(path: str, edit: dict[str, Any]) -> Any:
    def write(root: Path) -> None:
        file = root / path
        content = yaml.safe_load(file.read_text()) if file.exists() else {}
        file.write_text(yaml.safe_dump(content | edit))

    return write


@pytest.mark.parametrize(
    ("path", "edit", "why"),
    [
        ("versions/1.1.0.yaml", {"by": "me"}, "is not the one that its tag v1.1.0"),
        ("versions/1.1.0.yaml", {"extra": 1}, "does not hold the fields"),
        ("versions/1.1.0.yaml", {"version": "1.0.0"}, "is the record of something else"),
    ],
)
def test_a_record_changed_by_hand_is_refused(
    path: str, edit: dict[str, Any], why: str, second: Project
) -> None:
    second.change_branch("registry", change(path, edit))
    assert why in second.mlops("promote", "1.1.0", "--to", "staging", expect=1).err


def test_a_file_that_no_command_writes_is_refused(second: Project) -> None:
    second.change_branch("registry", lambda root: (root / "notes.txt").touch())
    assert "which no command writes" in second.mlops("history", expect=1).err


def test_without_its_tag_a_version_is_refused(second: Project) -> None:
    second.git("push", "--quiet", "origin", ":refs/tags/v1.1.0")
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "is not the one that its tag v1.1.0 was made for" in said.err


def test_whoever_comes_second_verifies_again(second: Project) -> None:
    """A colleague rolls dev back between this clone's look and its push."""
    colleague = second.clone()
    colleague.mlops("status")
    hook = second.root / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\nrm {hook}\ncd {colleague.root} && unset GIT_DIR && "
        "mlops rollback dev --reason race >/dev/null 2>&1\n"
    )
    hook.chmod(0o755)
    # The storage is pushed first, so let it be there already.
    second.git("-c", "core.hooksPath=/dev/null", "fetch", "--quiet", "origin")
    said = second.mlops("promote", "1.1.0", "--to", "staging")
    assert second.live() == {"dev": "1.0.0", "staging": "1.1.0", "production": "1.0.0"}
    assert not hook.exists()
    assert said.status == 0


def test_a_push_that_is_always_refused_is_undecided(second: Project) -> None:
    hook = second.root.parent / "origin.git/hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ngrep -q refs/heads/registry && echo closed && exit 1\nexit 0\n")
    hook.chmod(0o755)
    before = second.registry()
    said = second.mlops("rollback", "dev", expect=2)
    assert "nothing in it changed" in said.err
    assert said.err.count("again:") == 3
    assert second.registry() == before


def test_an_origin_out_of_reach_is_undecided(second: Project) -> None:
    second.git("remote", "set-url", "origin", str(second.root.parent / "gone.git"))
    for words in (["status"], ["gate"], ["promote", "1.1.0", "--to", "staging"]):
        assert "origin could not be read" in second.mlops(*words, expect=2).err


def test_without_an_origin_the_gate_still_judges(trained: Project) -> None:
    trained.git("remote", "remove", "origin")
    assert trained.ask("gate")["decision"] == "yes"
    assert "has no remote 'origin'" in trained.mlops("register", expect=1).err


def test_a_gate_of_another_environment_refuses_the_promotion(second: Project) -> None:
    second.edit("gates.yaml", "staging: {}", "staging: {bounds: {metrics: {roc_auc: {min: 0.99}}}}")
    before = second.registry()
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "1.1.0 was not promoted" in said.out
    assert second.registry() == before
