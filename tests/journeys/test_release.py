"""Promotion and rollback under fire: killed, raced, tampered with. All with real processes."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from projects import ENVIRONMENT, Project

pytestmark = pytest.mark.slow


def start(project: Project, *words: str) -> subprocess.Popen[str]:
    path = f"{project.venv / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}"
    return subprocess.Popen(
        ["mlops", *words],
        cwd=project.root,
        env={**ENVIRONMENT, "PATH": path},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_at(project: Project, step: str, *words: str) -> None:
    """Kill the command and all its children as soon as it says that a step begins."""
    process = start(project, *words)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"[{step}]"):
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it never came to step {step}"


def registry(project: Project) -> str:
    return project.git("ls-remote", "origin", "refs/heads/registry", "refs/tags/*")


@pytest.mark.parametrize("step", ["1/5", "2/5", "3/5", "4/5", "5/5"])
def test_register_killed_at_any_step_is_completed_by_running_it_again(
    step: str, trained: Project
) -> None:
    kill_at(trained, step, "register")
    known = trained.git("ls-remote", "origin", "refs/heads/registry", "refs/tags/*")
    assert known == "" or ("registry" in known and "v1.0.0" in known)
    assert trained.ask("register")["version"] == "1.0.0"
    assert "v1.0.0" in registry(trained)


@pytest.mark.parametrize("step", ["1/6", "2/6", "3/6", "4/6", "5/6", "6/6"])
def test_promote_killed_at_any_step_leaves_the_old_or_the_new(
    step: str, september: Project
) -> None:
    kill_at(september, step, "promote", "1.0.1", "--to", "staging")
    live = september.live()
    assert live["staging"] in ("1.0.0", "1.0.1")
    assert (live["dev"], live["production"]) == ("1.0.1", "1.0.0")
    september.mlops("promote", "1.0.1", "--to", "staging")
    assert september.live()["staging"] == "1.0.1"
    colleague = september.clone("colleague")
    assert colleague.mlops("promote", "1.0.1", "--to", "production").returncode == 0


@pytest.mark.parametrize("step", ["1/3", "2/3", "3/3"])
def test_rollback_killed_at_any_step_leaves_the_old_or_the_new(
    step: str, september: Project
) -> None:
    kill_at(september, step, "rollback", "dev")
    assert september.live()["dev"] in ("1.0.0", "1.0.1")
    september.mlops("rollback", "dev", "--to", "1.0.0")
    assert september.live()["dev"] == "1.0.0"


def test_of_two_promotions_at_once_one_is_first_and_the_other_verifies_again(
    september: Project,
) -> None:
    """Two colleagues, one origin: both end well, and history holds both in some order."""
    september.mlops("promote", "1.0.1", "--to", "staging")
    other = september.clone("colleague")
    other.mlops("status")
    processes = [
        start(september, "promote", "1.0.1", "--to", "production"),
        start(other, "rollback", "staging"),
    ]
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert september.live() == {"dev": "1.0.1", "staging": "1.0.0", "production": "1.0.1"}
    commits = september.git("rev-list", "--min-parents=2", "refs/mlops/origin/registry")
    assert commits == "", "the registry stays one line"


def test_two_promotions_of_the_same_version_give_one_event(september: Project) -> None:
    other = september.clone("colleague")
    processes = [start(p, "promote", "1.0.1", "--to", "staging") for p in (september, other)]
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    events = [e for e in september.ask("history", "staging") if e["version"] == "1.0.1"]
    assert len(events) == 1


def stored(project: Project, environment: str, version: str, path: str) -> Path:
    """Where a version's file lies in a colleague's checkout of the storage branch."""
    record = yaml.safe_load(project.git("show", f"refs/mlops/seen:versions/{version}.yaml"))
    (md5,) = [item["md5"] for item in record["files"] if item["path"] == path]
    return Path(environment, "files/md5", md5[:2], md5[2:])


def truncate(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:1000])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def swap(path: Path) -> None:
    """Another honest file of the same storage takes its place."""
    others = [p for p in path.parents[1].rglob("*") if p.is_file() and p != path]
    path.chmod(0o644)
    shutil.copyfile(others[0], path)


@pytest.mark.parametrize("damage", [truncate, alter, swap, Path.unlink])
def test_damaged_storage_is_refused_and_nothing_changes(
    damage: Callable[[Path], None], september: Project
) -> None:
    attacker = september.clone("attacker")
    attacker.git("checkout", "--quiet", "dvc-storage")
    damage(attacker.root / stored(september, "dev", "1.0.1", "model/model.skops"))
    attacker.git("commit", "--quiet", "--no-verify", "-am", "Nothing to see here")
    attacker.git("push", "--quiet", "--no-verify", "origin", "dvc-storage")

    before = registry(september)
    done = september.mlops("promote", "1.0.1", "--to", "staging", expect=1)
    word = "is missing from" if damage is Path.unlink else "truncated or altered"
    assert word in done.stderr
    assert registry(september) == before
    assert september.live()["staging"] == "1.0.0"


def test_a_rollback_verifies_the_files_it_goes_back_to(september: Project) -> None:
    attacker = september.clone("attacker")
    attacker.git("checkout", "--quiet", "dvc-storage")
    alter(attacker.root / stored(september, "dev", "1.0.0", "model/model.skops"))
    attacker.git("commit", "--quiet", "--no-verify", "-am", "Nothing to see here")
    attacker.git("push", "--quiet", "--no-verify", "origin", "dvc-storage")
    done = september.mlops("rollback", "dev", expect=1)
    assert "truncated or altered" in done.stderr
    assert september.live()["dev"] == "1.0.1"


def test_a_rewritten_registry_is_refused(september: Project) -> None:
    attacker = september.clone("attacker")
    attacker.git("checkout", "--quiet", "registry")
    attacker.git("reset", "--quiet", "--hard", "HEAD~1")
    attacker.git("push", "--quiet", "--no-verify", "--force", "origin", "registry")
    done = september.mlops("promote", "1.0.1", "--to", "staging", expect=1)
    assert "was rewritten or removed" in done.stderr


def test_a_rewritten_registry_is_seen_by_a_fresh_clone(september: Project) -> None:
    attacker = september.clone("attacker")
    attacker.git("checkout", "--quiet", "registry")
    attacker.git("rm", "--quiet", "versions/1.0.1.yaml")
    attacker.git("commit", "--quiet", "--no-verify", "--amend", "-m", "Clean up")
    attacker.git("push", "--quiet", "--no-verify", "--force", "origin", "registry")
    done = september.clone("fresh").mlops("status", expect=1)
    assert "the branch registry was rewritten" in done.stderr


def test_a_record_edited_by_hand_is_refused(september: Project) -> None:
    attacker = september.clone("attacker")
    attacker.git("checkout", "--quiet", "registry")
    path = attacker.root / "versions/1.0.1.yaml"
    path.write_text(path.read_text().replace("only data changed", "only  data changed"))
    attacker.git("commit", "--quiet", "--no-verify", "-am", "Typo")
    attacker.git("push", "--quiet", "--no-verify", "origin", "registry")
    done = september.mlops("promote", "1.0.1", "--to", "staging", expect=1)
    assert "there is another record of 1.0.1 before it" in done.stderr


REFUSED = {
    "a version that never was in staging": (["promote", "1.0.1", "--to", "production"], 1),
    "an unknown version": (["promote", "9.9.9", "--to", "dev"], 1),
    "no version at all": (["promote", "latest", "--to", "dev"], 64),
    "an unknown environment": (["promote", "1.0.1", "--to", "prod"], 64),
    "a rollback where nothing was before": (["rollback", "staging"], 1),
    "a retirement of what is live": (["retire", "1.0.0", "--reason", "old"], 1),
}


@pytest.mark.parametrize(("words", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_may_not_be_is_refused_and_changes_nothing(
    words: list[str], status: int, september: Project
) -> None:
    before = registry(september)
    done = september.mlops(*words, expect=status)
    assert len(done.stderr.splitlines()[-1]) > 40, "the refusal explains itself"
    assert "Traceback" not in done.stderr
    assert registry(september) == before


def test_the_whole_way_and_back(september: Project) -> None:
    for environment in ("staging", "production"):
        said = september.ask("promote", "1.0.1", "--to", environment)
        assert said["verdict"]["champion"] == "1.0.0"
    assert set(september.live().values()) == {"1.0.1"}
    september.mlops("rollback", "production", "--reason", "rehearsal")
    assert september.live()["production"] == "1.0.0"
    september.mlops("rollback", "production", expect=1)  # nothing before the first

    events = september.ask("history", "production")
    assert [(e["event"], e["version"]) for e in events] == [
        ("promote", "1.0.0"),
        ("promote", "1.0.1"),
        ("roll back", "1.0.0"),
    ]
    then = september.ask("history", "--at", events[1]["since"])
    assert then["production"]["version"] == "1.0.1"
    assert september.ask("history", "--at", "2001-01-01")["production"] is None

    for environment in ("staging", "dev"):
        september.mlops("rollback", environment)
    september.mlops("retire", "1.0.1", "--reason", "it was a rehearsal")
    done = september.mlops("promote", "1.0.1", "--to", "dev", expect=1)
    assert "it was a rehearsal" in done.stderr
