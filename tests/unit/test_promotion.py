"""A version walks to production and back. Whatever is wrong on the way changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from parcels import Project, make_model, make_rows

from gatewright import project
from gatewright.adapters import git_storage
from gatewright.adapters.git import Git
from gatewright.adapters.git_storage import StorageBranch
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.contract.schema import read_contract
from gatewright.errors import Refused
from gatewright.gate import policy
from gatewright.paths import MODEL
from gatewright.registry.git_registry import Registry
from gatewright.release.rollback import roll_back
from gatewright.release.workspace import Workspace

ALL = ("dev", "staging", "production")


def everywhere(version: str) -> dict[str, str]:
    return dict.fromkeys(ALL, version)


def test_from_training_to_production(trained: Project) -> None:
    said = trained.ask("register")
    assert (said["version"], said["changed"]) == ("1.0.0", True)
    for environment in ALL:
        said = trained.ask("promote", "1.0.0", "--to", environment)
        assert said["message"] == f"1.0.0 is live in {environment}."
    assert trained.live() == everywhere("1.0.0")


def test_every_environment_gets_the_same_bytes(released: Project) -> None:
    content = (released.root / MODEL).read_bytes()
    for environment in ALL:
        path = released.stored("1.0.0", environment)
        shown = released.root / ".dvc-storage" / path
        StorageBranch(released.root).attach()
        assert shown.read_bytes() == content


def test_the_tag_names_the_code(released: Project) -> None:
    tagged = released.git("ls-remote", "origin", "refs/tags/v1.0.0^{}").split()[0]
    assert tagged == released.git("rev-parse", "HEAD") == released.record("1.0.0")["commit"]


def test_the_champion_is_asked_at_every_promotion(second: Project) -> None:
    said = second.ask("promote", "1.1.0", "--to", "staging")
    assert said["verdict"]["champion"] == "1.0.0"


def test_the_order_is_enforced(second: Project) -> None:
    before = second.registry()
    said = second.mlops("promote", "1.1.0", "--to", "production", expect=1)
    assert "1.1.0 was never in staging" in said.err
    assert "mlops promote 1.1.0 --to staging" in said.err
    assert second.registry() == before


def test_what_the_gate_refuses_is_not_promoted(second: Project) -> None:
    second.edit("gates.yaml", "{min: 0.70}", "{min: 0.95}")
    second.merge("Ask for more")
    before = second.registry()
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "1.1.0 was not promoted. No: the model may not enter staging." in said.out
    assert second.registry() == before


def test_what_the_gate_cannot_tell_is_not_promoted(second: Project) -> None:
    second.edit("gates.yaml", "roc_auc: 0.01, brier_score: 0.005", "roc_auc: 0.0")
    second.merge("Ask for more")
    before = second.registry()
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=2)
    assert "Undecided" in said.out
    assert second.registry() == before


def test_what_the_gate_refuses_is_not_registered(trained: Project) -> None:
    trained.put_model(make_model(0.1, -1.0))
    trained.dvc("commit", "--force", "train")
    trained.commit()
    said = trained.mlops("register", expect=1)
    assert "Not registered. No: the model may not enter dev." in said.out
    assert trained.registry() == ""


def test_promoting_again_changes_nothing(released: Project) -> None:
    before = released.registry()
    said = released.ask("promote", "1.0.0", "--to", "staging")
    assert (said["changed"], said["message"]) == (False, "1.0.0 is live in staging already.")
    assert released.registry() == before


def test_registering_the_same_model_again_changes_nothing(released: Project) -> None:
    (released.root / "README.md").write_text("Words only.\n")
    released.commit("Words")
    before = released.registry()
    said = released.ask("register")
    assert said["message"] == "This model is registered already, as 1.0.0."
    assert released.registry() == before


# Version numbers


def test_parameters_make_a_minor_version(second: Project) -> None:
    assert second.record("1.1.0")["because"] == ["parameters changed"]


def test_data_alone_makes_a_patch(released: Project) -> None:
    make_rows(500, 4000).to_parquet(released.root / "data/raw/2026-03.parquet")
    released.retrain(1.0)
    said = released.ask("register")
    assert said["version"] == "1.0.1"
    assert "only data changed" in said["message"]


# What is read, and what the workflow is told


def test_the_policy_and_the_contract_are_read_once(
    second: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(text: str, name: str) -> Any:
        read.append(name)
        return parse_yaml(text, name)

    monkeypatch.setattr(policy, "parse_yaml", counted)
    contracts = Mock(wraps=read_contract)
    monkeypatch.setattr(project, "read_contract", contracts)
    for words in (["promote", "1.1.0", "--to", "staging"], ["rollback", "dev"], ["gate"]):
        read.clear()
        second.mlops(*words)
        assert read == ["gates.yaml"], words
    assert contracts.call_count == 2  # a rollback asks no gate


def test_an_exception_of_the_policy_that_expired_stops_no_rollback(second: Project) -> None:
    text = (second.root / "gates.yaml").read_text()
    expired = (
        "exceptions:\n- {id: X-1, check: slices, reason: It was known and is gone, owner: ada, "
        "expires: 2001-01-01}\n"
    )
    (second.root / "gates.yaml").write_text(expired + text)
    assert "expired on 2001-01-01" in second.mlops("gate", expect=1).err
    second.mlops("rollback", "dev")
    assert second.live()["dev"] == "1.0.0"


def test_the_workflow_is_told_by_what_came_of_a_command(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(path))

    def told(*words: str, expect: int = 0) -> tuple[str, str]:
        path.write_text("")
        said = trained.mlops(*words, "--json", expect=expect)
        return said.json["kind"], path.read_text()

    assert told("register") == ("registered", "version=1.0.0\n")
    assert told("register") == ("registered before", "version=\n")
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    assert told("register") == ("registered before", "version=1.0.0\n")
    assert told("promote", "1.0.0", "--to", "dev") == ("promoted", "live=true\n")
    assert told("promote", "1.0.0", "--to", "dev") == ("live before", "live=true\n")
    trained.edit("gates.yaml", "{min: 0.70}", "{min: 0.95}")
    trained.merge("Ask for more")
    assert told("promote", "1.0.0", "--to", "staging", expect=1) == ("refused", "live=false\n")
    assert told("rollback", "dev", "--to", "1.0.0") == ("live before", "")


# Rollback


def test_a_rollback_goes_back_and_further_back_only_where_it_is_told_to(third: Project) -> None:
    """Run again, in doubt or by a workflow that is tried again, it says where it stands."""
    third.mlops("rollback", "dev", "--reason", "rehearsal")
    before = third.registry()
    again = third.ask("rollback", "dev", "--reason", "rehearsal")
    assert (again["version"], again["kind"], again["changed"]) == ("1.1.0", "live before", False)
    assert "dev is on 1.1.0 already since 20" in again["message"]
    assert "(was 1.2.0); nothing was changed" in again["message"]
    assert "`mlops rollback dev --to 1.0.0`" in again["message"]
    assert third.registry() == before
    third.mlops("rollback", "dev", "--to", "1.0.0")
    assert third.live()["dev"] == "1.0.0"
    assert "--to" not in third.mlops("rollback", "dev").out, "nothing was live before that"


def test_a_workflow_that_is_tried_again_rolls_back_once(
    third: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RUN_ID", "7"), ("SERVER_URL", "https://x"), ("REPOSITORY", "a/b")):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    third.mlops("rollback", "dev")
    monkeypatch.setenv("GITHUB_RUN_ID", "8")
    third.mlops("promote", "1.2.0", "--to", "dev")
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    said = third.ask("rollback", "dev")
    assert "This run rolled dev back to 1.1.0 before, and 1.2.0 is live" in said["message"]
    assert (said["changed"], third.live()["dev"]) == (False, "1.2.0")


def test_a_smoke_check_that_fails_after_a_rollback_goes_further_back(
    third: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which version has to go; one that it did not try stays."""
    third.mlops("rollback", "dev")
    drilled = third.ask("drill", "dev")
    assert (drilled["before"], drilled["after"]) == ("1.1.0", "1.0.0")

    def fail(*_: Any) -> int:
        raise Refused("it answers otherwise")

    monkeypatch.setattr("gatewright.release.smoke_test.check_golden", fail)
    said = third.mlops("smoke", "dev", "--roll-back", expect=1)
    assert "Rolled back: dev is back on 1.0.0 (was 1.1.0)." in said.err
    words = "dev is on 1.0.0 already"
    assert words in roll_back(Workspace(third.root), "dev", None, None, leave="1.1.0").message


def test_a_rollback_after_a_new_promotion_skips_what_was_rolled_back(third: Project) -> None:
    third.mlops("rollback", "dev", "--to", "1.0.0")
    third.mlops("promote", "1.2.0", "--to", "dev")
    third.mlops("rollback", "dev")
    assert third.live()["dev"] == "1.0.0"


def test_a_rollback_to_an_earlier_version(third: Project) -> None:
    said = third.ask("rollback", "dev", "--to", "1.0.0")
    assert said["message"] == "dev is back on 1.0.0 (was 1.2.0)."
    assert not third.ask("rollback", "dev", "--to", "1.0.0")["changed"]


def test_a_rollback_never_goes_forward(third: Project) -> None:
    third.mlops("rollback", "dev")
    said = third.mlops("rollback", "dev", "--to", "1.2.0", expect=1)
    assert "was not live in dev before 1.1.0" in said.err


def test_a_rollback_skips_what_was_retired(third: Project) -> None:
    third.mlops("retire", "1.1.0", "--reason", "leaks")
    third.mlops("rollback", "dev")
    assert third.live()["dev"] == "1.0.0"
    said = third.mlops("rollback", "staging", "--to", "1.1.0", expect=1)
    assert "1.1.0 was not live in staging" in said.err


def test_a_rollback_to_what_was_retired_is_refused(third: Project) -> None:
    third.mlops("retire", "1.0.0", "--reason", "leaks", expect=1)
    third.mlops("retire", "1.1.0", "--reason", "leaks")
    said = third.mlops("rollback", "dev", "--to", "1.1.0", expect=1)
    assert "1.1.0 was retired on" in said.err
    assert "leaks" in said.err


def test_a_rollback_does_not_ask_the_gate_but_verifies_the_files(second: Project) -> None:
    second.edit("gates.yaml", "{min: 0.70}", "{min: 0.95}")
    assert second.ask("rollback", "dev")["verdict"] is None
    assert second.live()["dev"] == "1.0.0"


def test_nothing_live_nothing_to_roll_back(trained: Project) -> None:
    said = trained.mlops("rollback", "production", expect=1)
    assert "Nothing is live in production" in said.err


# Retiring


def test_a_retired_version_is_not_promoted(second: Project) -> None:
    second.mlops("rollback", "dev")
    said = second.ask("retire", "1.1.0", "--reason", "trained on the future")
    assert said["message"] == "1.1.0 is retired: trained on the future"
    said = second.mlops("promote", "1.1.0", "--to", "dev", expect=1)
    assert "by Tester: trained on the future" in said.err
    assert not second.ask("retire", "1.1.0", "--reason", "again")["changed"]


def test_what_is_live_cannot_be_retired(second: Project) -> None:
    said = second.mlops("retire", "1.1.0", "--reason", "old", expect=1)
    assert "1.1.0 is live in dev" in said.err
    assert "mlops rollback dev" in said.err


# Wrong words

WRONG: dict[str, tuple[list[str], int, str]] = {
    "unknown version": (["promote", "9.9.9", "--to", "dev"], 1, "There is no version 9.9.9"),
    "no version": (["promote", "latest", "--to", "dev"], 64, "a version looks like 1.4.0"),
    "a path": (["promote", "../../1.0.0", "--to", "dev"], 64, "a version looks like 1.4.0"),
    "unknown environment": (["promote", "1.0.0", "--to", "prod"], 64, "no environment 'prod'"),
    "rollback of an unknown one": (["rollback", "prod"], 64, "no environment 'prod'"),
    "rollback to an unknown one": (["rollback", "dev", "--to", "7.0.0"], 1, "was not live in dev"),
    "history of an unknown one": (["history", "prod"], 64, "no environment 'prod'"),
    "history of no day": (["history", "--at", "yesterday"], 64, "is no date"),
    "retirement of an unknown one": (["retire", "7.0.0", "--reason", "x"], 1, "no version 7.0.0"),
    "retirement without a reason": (["retire", "1.0.0", "--reason", " "], 64, "reason is empty"),
    "a drill of an unknown one": (["drill", "prod"], 64, "no environment 'prod'"),
}


@pytest.mark.parametrize(("words", "status", "told"), WRONG.values(), ids=WRONG.keys())
def test_wrong_words_change_nothing(
    words: list[str], status: int, told: str, released: Project
) -> None:
    before = released.registry()
    said = released.mlops(*words, "--json", expect=status)
    assert told in said.err
    assert said.json["status"] == status
    assert released.registry() == before


def test_storage_is_not_moved_to_nowhere(released: Project) -> None:
    before = (released.root / ".dvc/config").read_text()
    assert "URL is empty" in released.mlops("move-storage", "", expect=64).err
    assert (released.root / ".dvc/config").read_text() == before


def test_a_reason_with_bytes_that_are_no_text_is_written_and_read(second: Project) -> None:
    reason = os.fsdecode(b"caf\xe9 closed")
    second.mlops("rollback", "dev", "--reason", reason)
    assert "caf? closed" in second.mlops("history").out
    assert second.ask("status")["dev"]["version"] == "1.0.0"


def test_a_record_that_could_not_be_read_again_is_not_written(second: Project) -> None:
    registry = Registry(second.root).fetch()
    live = registry.live("dev")
    assert live is not None
    before = second.registry()
    with pytest.raises(Refused, match="could not be read again, so nothing was written"):
        registry.write(replace(live, reason="caf\udce9"), "Roll back dev")
    assert second.registry() == before


# What was made from what


def test_changes_that_are_not_committed_are_refused(trained: Project) -> None:
    trained.edit("params.yaml", "1.0", "0.9")
    said = trained.mlops("register", expect=1)
    assert "not committed" in said.err
    assert "params.yaml" in said.err


def test_a_stale_lock_is_refused(trained: Project) -> None:
    trained.edit("params.yaml", "1.0", "0.9")
    trained.commit("Forgot to run")
    said = trained.mlops("register", expect=1)
    assert "dvc.lock is not what the pipeline would give" in said.err
    assert trained.registry() == ""


def test_a_model_that_nobody_trained_is_refused(trained: Project) -> None:
    """The committed lock names the trained model; another one lies in its place."""
    (trained.root / MODEL).write_bytes(b"another")
    trained.mlops("register", expect=1)
    assert trained.registry() == ""


# What judges is what was committed


MARGINS = ("roc_auc: 0.01, brier_score: 0.005", "roc_auc: 0.5, brier_score: 0.5")


@pytest.mark.parametrize("hide", [(), ("--skip-worktree",), ("--assume-unchanged",)], ids=str)
def test_a_policy_that_nobody_committed_promotes_nothing(
    hide: tuple[str, ...], second: Project
) -> None:
    second.edit("gates.yaml", *MARGINS)
    if hide:
        second.git("update-index", *hide, "gates.yaml")
        assert second.git("status", "--porcelain") == ""
    before = second.registry()
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    told = "Git was told not to look at gates.yaml" if hide else "is not what HEAD holds"
    assert told in said.err
    assert second.registry() == before
    for mark in hide:
        second.git("update-index", mark.replace("--", "--no-"), "gates.yaml")
    second.git("checkout", "--quiet", "gates.yaml")
    second.mlops("promote", "1.1.0", "--to", "staging")


@pytest.mark.parametrize("path", ["contract.yaml", "model-types.txt", "security/signers.txt"])
def test_nothing_else_that_judges_may_be_uncommitted(path: str, second: Project) -> None:
    file = second.root / path
    file.parent.mkdir(exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + "# more\n")
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert f"{path} is not what HEAD holds" in said.err


@pytest.mark.parametrize("path", ["gates.yaml", "params.yaml", "src/parcels.py"])
def test_what_git_was_told_not_to_look_at_registers_nothing(path: str, released: Project) -> None:
    released.retrain(0.5)
    released.git("update-index", "--skip-worktree", path)
    with (released.root / path).open("a") as file:
        file.write("# more\n")
    assert released.git("status", "--porcelain") == ""
    said = released.mlops("register", expect=1)
    assert f"Git was told not to look at {path}" in said.err


def test_a_policy_that_nobody_merged_promotes_and_registers_nothing(released: Project) -> None:
    """Committed on a laptop and never pushed, it judged like the branch's own."""
    released.retrain(0.5)
    released.edit("gates.yaml", *MARGINS)
    released.commit("Be gentle")
    before = released.registry()
    told = "gates.yaml is not what origin's default branch holds"
    assert told in released.mlops("register", expect=1).err
    said = released.mlops("promote", "1.0.0", "--to", "dev", expect=1)
    assert told in said.err
    assert "Merge it by a pull request" in said.err
    assert released.registry() == before
    released.git("push", "--quiet")
    released.mlops("register")


def test_a_file_that_git_was_told_to_read_as_another_promotes_nothing(second: Project) -> None:
    """The tree is the one that was merged, and what this clone reads of it is not."""
    second.edit("gates.yaml", "{min: 0.72}", "{min: 0.95}")
    second.merge("Ask for more")
    second.mlops("promote", "1.1.0", "--to", "staging")
    merged = second.git("rev-parse", "HEAD:gates.yaml")
    second.edit("gates.yaml", "{min: 0.95}", "{min: 0.72}")
    second.git("replace", merged, second.git("hash-object", "-w", "gates.yaml"))
    said = second.mlops("promote", "1.1.0", "--to", "production", expect=1)
    assert "gates.yaml is not what HEAD holds" in said.err
    assert second.live()["production"] == "1.0.0"


def test_a_history_that_this_clone_made_up_is_not_followed(second: Project) -> None:
    """Which change brought the test rows is told from it."""
    own, before = Git(second.root)("rev-list", "HEAD").splitlines()[:2]
    (second.root / ".git/info/grafts").write_text(f"{own}\n")
    assert second.git("rev-list", "HEAD") == own
    assert Git(second.root)("rev-list", "HEAD").splitlines()[:2] == [own, before]


def test_a_policy_that_was_merged_once_and_is_no_longer_promotes_nothing(second: Project) -> None:
    """An older and gentler one."""
    second.edit("gates.yaml", "{min: 0.70}", "{min: 0.95}")
    second.merge("Ask for more")
    second.git("checkout", "--quiet", "--detach", "HEAD^")
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "gates.yaml is not what origin's default branch holds" in said.err
    assert "`git pull`, and run again" in said.err


def test_origin_s_default_branch_may_be_one_that_it_does_not_have(second: Project) -> None:
    """As of a bare repository that was made before anything was pushed."""
    git = Git(second.root)
    main = git("rev-parse", "HEAD")
    second.change_branch("main", lambda root: (root / "note.txt").write_text("Hello"))
    Git(second.origin)("symbolic-ref", "HEAD", "refs/heads/nowhere")
    tip = git.default_tip()
    assert tip not in (None, main)
    assert git("rev-parse", f"{tip}^") == main
    Git(second.origin)("update-ref", "-d", "refs/heads/main")
    assert git.default_tip() is None
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "origin has no default branch" in said.err


def test_ends_of_lines_are_no_change_of_what_judges(second: Project) -> None:
    path = second.root / "gates.yaml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    second.mlops("promote", "1.1.0", "--to", "staging")


def test_a_metric_of_the_team_that_nobody_committed_promotes_nothing(second: Project) -> None:
    code = "def f(y, scores, sample_weight):\n    return 1.0\n"
    (second.root / "src/committed_metrics.py").write_text(code)
    own = "metrics: {mine: {function: committed_metrics:f, higher_is_better: true}}\nchecks:\n"
    second.edit("gates.yaml", "checks:\n", own)
    second.commit("A metric")
    (second.root / "src/committed_metrics.py").write_text(code.replace("1.0", "2.0"))
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "src/committed_metrics.py is not what HEAD holds" in said.err


def test_the_gate_says_that_it_judged_by_what_is_not_committed(released: Project) -> None:
    assert released.ask("gate")["notes"] == []
    released.edit("gates.yaml", *MARGINS)
    released.edit("contract.yaml", "arrives broken?", "arrives broken, or not?")
    (note,) = released.ask("gate")["notes"]
    assert note.endswith("nothing is released by that: contract.yaml, gates.yaml")


# Storage that lies


def truncate(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:500])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (truncate, "truncated or altered"),
    "altered": (alter, "truncated or altered"),
    "missing": (Path.unlink, "is missing from the storage of dev"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_on_origin_is_refused(
    damage: Callable[[Path], None], words: str, second: Project
) -> None:
    place = second.stored("1.1.0", "dev")
    second.change_branch("dvc-storage", lambda tree: damage(tree / place))
    before = second.registry()
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert words in said.err
    assert second.registry() == before


def test_a_damaged_file_is_refused_by_a_rollback(second: Project) -> None:
    place = second.stored("1.0.0", "dev")
    second.change_branch("dvc-storage", lambda tree: alter(tree / place))
    assert "truncated or altered" in second.mlops("rollback", "dev", expect=1).err
    assert second.live()["dev"] == "1.1.0"


def test_a_damaged_champion_is_refused(second: Project) -> None:
    place = second.stored("1.0.0", "staging")
    second.change_branch("dvc-storage", lambda tree: alter(tree / place))
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "model/model.skops in the storage of staging" in said.err


def test_a_file_altered_in_this_clone_is_refused(second: Project) -> None:
    StorageBranch(second.root).attach()
    alter(second.root / ".dvc-storage" / second.stored("1.1.0", "dev"))
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "The storage holds altered or missing files" in said.err


def test_what_a_killed_process_left_is_cleaned_up(second: Project) -> None:
    """A whole object that nobody committed is kept, half of one is dropped."""
    StorageBranch(second.root).attach()
    place = second.root / ".dvc-storage"
    whole = (place / second.stored("1.1.0", "dev")).read_bytes()
    lost = place / second.stored("1.1.0", "staging")
    half = place / second.stored("1.1.0", "production")
    for path, content in ((lost, whole), (half, whole[:100])):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (attached,) = (second.root / ".git/worktrees").iterdir()
    (attached / "index.lock").touch()
    second.mlops("promote", "1.1.0", "--to", "staging")
    assert lost.read_bytes() == whole
    assert not half.exists()


def store(project: Project, content: bytes) -> None:
    """A new object in the storage of dev, not committed yet."""
    StorageBranch(project.root).attach()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = project.root / ".dvc-storage/dev/files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_file_too_large_for_git_is_refused(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_storage, "LARGEST_FILE", 100)
    store(trained, bytes(100))
    trained.mlops("push")
    store(trained, bytes(101))
    said = trained.mlops("push", expect=1)
    assert "Git hosts refuse" in said.err
    assert "move-storage" in said.err


def test_a_storage_too_large_for_git_is_refused(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_storage, "LARGEST_TOTAL", 1000)
    store(trained, bytes(100))
    assert "more than a Git branch" in trained.mlops("push", expect=1).err


# A registry that lies


def rewrite_last(tree: Path) -> None:
    Project(tree).git("reset", "--quiet", "--hard", "HEAD~1")
    (tree / "note").touch()


def test_a_rewritten_registry_is_refused(second: Project) -> None:
    second.change_branch("registry", rewrite_last, "--force")
    for words in (["promote", "1.1.0", "--to", "staging"], ["status"], ["history"], ["gate"]):
        assert "was rewritten or removed" in second.mlops(*words, expect=1).err


def test_a_deleted_registry_is_refused(second: Project) -> None:
    second.git("push", "--quiet", "origin", ":registry")
    assert "was rewritten or removed" in second.mlops("status", expect=1).err


def test_a_fresh_clone_sees_by_the_tags_that_a_version_is_gone(second: Project) -> None:
    second.git("push", "--quiet", "origin", ":registry")
    said = second.clone().mlops("status", expect=1)
    assert "says that 1.0.0 was registered" in said.err


EDITS: dict[str, tuple[str, str, str, str]] = {
    "a figure": ("versions/1.1.0.yaml", "because:\n- ", "because:\n- x", "there is another record"),
    "a field": ("versions/1.1.0.yaml", "by: Tester", "", "does not hold the fields"),
    "a number": ("versions/1.1.0.yaml", "version: 1.1.0", "version: 1.0.0", "of something else"),
    "a key twice": ("versions/1.1.0.yaml", "by:", "by: x\nby:", "is given twice"),
}


@pytest.mark.parametrize(("path", "old", "new", "words"), EDITS.values(), ids=EDITS.keys())
def test_a_record_edited_by_hand_is_refused(
    path: str, old: str, new: str, words: str, second: Project
) -> None:
    second.change_branch("registry", lambda tree: Project(tree).edit(path, old, new))
    before = second.registry()
    assert words in second.mlops("promote", "1.1.0", "--to", "staging", expect=1).err
    assert second.registry() == before


def test_an_environment_pointed_elsewhere_by_hand_is_refused(second: Project) -> None:
    """Somebody lets 1.1.0 into production past the gate, with the digest of 1.0.0."""
    path = "environments/production.yaml"
    second.change_branch(
        "registry", lambda tree: Project(tree).edit(path, "version: 1.0.0", "version: 1.1.0")
    )
    said = second.mlops("gate", "--env", "production", expect=1)
    assert "production" in said.err


def test_a_file_that_no_command_writes_is_no_event(second: Project) -> None:
    second.change_branch("registry", lambda tree: (tree / "notes.txt").write_text("hi") and None)
    assert "holds notes.txt, which no command writes" in second.mlops("history").out
    *_, last = json.loads(second.mlops("history", "--json").out)
    assert (last["event"], last["path"]) == ("passed over", "notes.txt")


def test_a_moved_tag_is_refused(second: Project) -> None:
    second.git("tag", "--force", "-m", "moved", "v1.1.0", "HEAD~1")
    second.git("push", "--quiet", "--force", "origin", "v1.1.0")
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "is not the one that its tag v1.1.0" in said.err


def test_without_its_tag_a_version_is_refused(second: Project) -> None:
    second.git("push", "--quiet", "origin", ":refs/tags/v1.1.0")
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "is not the one that its tag v1.1.0 was made for" in said.err


# Somebody else was first


def during_the_push(project: Project, *words: str) -> Project:
    """A colleague's command runs while the project's next push to the registry is under way."""
    other = project.clone()
    other.mlops("status")
    hook = project.origin / "hooks/pre-receive"
    command = " ".join([sys.executable, "-m", "gatewright", *words])
    hook.write_text(
        "#!/bin/sh\n"
        "grep -q refs/heads/registry || exit 0\n"
        f"rm '{hook}'\n"
        "unset $(git rev-parse --local-env-vars) GIT_QUARANTINE_PATH\n"
        f"cd '{other.root}' && {command} >&2\n"
    )
    hook.chmod(0o755)
    return other


def test_who_comes_second_verifies_again_and_may_then_be_refused(second: Project) -> None:
    second.mlops("rollback", "dev")
    during_the_push(second, "retire", "1.1.0", "--reason", "leaks")
    said = second.mlops("promote", "1.1.0", "--to", "dev", expect=1)
    assert "[again] somebody else was first" in said.err
    assert "1.1.0 was retired on" in said.err
    assert second.live()["dev"] == "1.0.0"


def test_who_comes_second_is_written_on_top(second: Project) -> None:
    during_the_push(second, "rollback", "dev")
    second.mlops("promote", "1.1.0", "--to", "staging")
    assert second.live() == {"dev": "1.0.0", "staging": "1.1.0", "production": "1.0.0"}
    events = [(e["event"], e["environment"]) for e in second.ask("history")[-2:]]
    assert events == [("roll back", "dev"), ("promote", "staging")]


def test_a_push_that_origin_refuses_is_undecided(second: Project) -> None:
    hook = second.origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\ngrep -q refs/heads/registry && echo closed >&2 && exit 1\nexit 0\n")
    hook.chmod(0o755)
    before = second.registry()
    said = second.mlops("rollback", "dev", expect=2)
    assert "The registry was not written, and nothing in it changed" in said.err
    assert second.registry() == before
    hook.unlink()
    second.mlops("rollback", "dev")
    assert second.live()["dev"] == "1.0.0"


def test_a_storage_that_origin_refuses_is_undecided(second: Project) -> None:
    hook = second.origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\ngrep -q refs/heads/dvc-storage && exit 1\nexit 0\n")
    hook.chmod(0o755)
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=2)
    assert "could not be pushed to origin" in said.err
    assert second.live()["staging"] == "1.0.0"


COMMANDS = [
    ["register"], ["promote", "1.1.0", "--to", "staging"], ["rollback", "dev"],
    ["retire", "1.0.0", "--reason", "x"], ["gate"], ["status"], ["history"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_an_origin_that_cannot_be_reached_is_undecided(words: list[str], second: Project) -> None:
    second.origin.rename(second.origin.with_name("elsewhere.git"))
    said = second.mlops(*words, expect=2)
    assert "origin could not be read, so the registry is unknown" in said.err


def test_without_origin_the_registry_has_no_place(trained: Project) -> None:
    trained.git("remote", "remove", "origin")
    assert "git remote add origin URL" in trained.mlops("register", expect=1).err
    assert "may enter dev" in trained.mlops("gate").out


# Other clones and other places


def test_a_colleague_promotes_what_was_registered_elsewhere(second: Project) -> None:
    colleague = second.clone()
    colleague.mlops("promote", "1.1.0", "--to", "staging")
    assert second.live()["staging"] == "1.1.0"


def test_a_fresh_clone_is_set_up_with_the_data(released: Project) -> None:
    colleague = released.clone()
    colleague.mlops("setup")
    assert (colleague.root / MODEL).read_bytes() == (released.root / MODEL).read_bytes()
    hook = colleague.root / ".git/hooks/pre-commit"
    assert not hook.exists(), "without a configuration it would stop every commit"
    colleague.mlops("gate")


def test_the_storage_moves_to_a_folder(second: Project) -> None:
    place = second.root.parent / "bucket"
    second.mlops("move-storage", str(place))
    assert ".dvc-storage" not in (second.root / ".dvc/config").read_text()
    second.commit("Move the storage")
    second.mlops("promote", "1.1.0", "--to", "staging")
    assert list((place / "staging").rglob("*"))
    second.mlops("rollback", "staging")
    assert second.live()["staging"] == "1.0.0"


def test_after_the_move_a_missing_file_is_still_missed(second: Project) -> None:
    place = second.root.parent / "bucket"
    second.mlops("move-storage", str(place))
    (place / second.stored("1.1.0", "dev")).unlink()
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "is missing from the storage of dev" in said.err


def test_an_environment_without_a_remote_is_misuse(second: Project) -> None:
    second.edit("gates.yaml", "  staging: {}", "  canary: {}\n  staging: {}")
    second.merge("A canary")
    said = second.mlops("promote", "1.1.0", "--to", "canary", expect=64)
    assert "No DVC remote is named 'canary'" in said.err
