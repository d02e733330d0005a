"""Promotion and rollback under fire: stopped, killed, raced, tampered with.

A fault is raised at every step in this process; three real kills a command show that the death of
the process and its children is no different. What else is tampered with: tests/unit.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from projects import ENVIRONMENT, Parcels, Project

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


class Stopped(BaseException):
    """No command catches it."""


def stop_at(project: Project, step: str, *words: str) -> None:
    """Let the command end as soon as it says that a step begins."""

    def say(text: str) -> None:
        if text.startswith(f"{step} "):
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gatewright.release.progress.step", say)
        with pytest.raises(Stopped):
            project.mlops(*words)


Stop = Callable[..., None]


def every(steps: int, killed: tuple[int, ...]) -> pytest.MarkDecorator:
    """Each step raises; some are killed too."""
    ways: list[tuple[Stop, int]] = [(stop_at, n + 1) for n in range(steps)]
    ways += [(kill_at, n) for n in killed]
    return pytest.mark.parametrize(
        ("stop", "step"),
        [pytest.param(stop, f"{n}/{steps}", id=f"{stop.__name__}-{n}") for stop, n in ways],
    )


def registry(project: Project) -> str:
    return project.git("ls-remote", "origin", "refs/heads/registry", "refs/tags/*")


@every(6, killed=(1, 3, 6))
def test_register_killed_at_any_step_is_completed_by_running_it_again(
    stop: Stop, step: str, trained: Parcels
) -> None:
    stop(trained, step, "register")
    known = trained.git("ls-remote", "origin", "refs/heads/registry", "refs/tags/*")
    assert known == "" or ("registry" in known and "v1.0.0" in known)
    assert trained.ask("register")["version"] == "1.0.0"
    assert "v1.0.0" in registry(trained)


@every(6, killed=(2, 4, 6))
def test_promote_killed_at_any_step_leaves_the_old_or_the_new(
    stop: Stop, step: str, second: Parcels
) -> None:
    stop(second, step, "promote", "1.0.1", "--to", "staging")
    live = second.live()
    assert live["staging"] in ("1.0.0", "1.0.1")
    assert (live["dev"], live["production"]) == ("1.0.1", "1.0.0")
    second.mlops("promote", "1.0.1", "--to", "staging")
    assert second.live()["staging"] == "1.0.1"
    colleague = second.clone("colleague")
    assert colleague.mlops("promote", "1.0.1", "--to", "production").returncode == 0


@every(3, killed=(1, 2, 3))
def test_rollback_killed_at_any_step_leaves_the_old_or_the_new(
    stop: Stop, step: str, second: Parcels
) -> None:
    stop(second, step, "rollback", "dev")
    assert second.live()["dev"] in ("1.0.0", "1.0.1")
    second.mlops("rollback", "dev", "--to", "1.0.0")
    assert second.live()["dev"] == "1.0.0"


def test_of_two_promotions_at_once_one_is_first_and_the_other_verifies_again(
    second: Parcels,
) -> None:
    """Two colleagues, one origin: both end well, and history holds both in some order."""
    second.mlops("promote", "1.0.1", "--to", "staging")
    other = second.clone("colleague")
    other.mlops("status")
    processes = [
        start(second, "promote", "1.0.1", "--to", "production"),
        start(other, "rollback", "staging"),
    ]
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert second.live() == {"dev": "1.0.1", "staging": "1.0.0", "production": "1.0.1"}
    commits = second.git("rev-list", "--min-parents=2", "refs/mlops/origin/registry")
    assert commits == "", "the registry stays one line"


def test_two_promotions_of_the_same_version_give_one_event(second: Parcels) -> None:
    other = second.clone("colleague")
    processes = [start(p, "promote", "1.0.1", "--to", "staging") for p in (second, other)]
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    events = [e for e in second.ask("history", "staging") if e["version"] == "1.0.1"]
    assert len(events) == 1


def stored(project: Project, environment: str, version: str, path: str) -> Path:
    """Where a version's file lies in a colleague's checkout of the storage branch."""
    record = yaml.safe_load(project.git("show", f"refs/mlops/seen:versions/{version}.yaml"))
    (md5,) = [item["md5"] for item in record["files"] if item["path"] == path]
    return Path(environment, "files/md5", md5[:2], md5[2:])


def test_damaged_storage_is_refused_and_nothing_changes(second: Parcels) -> None:
    """Another honest file of the same storage takes its place."""
    attacker = second.clone("attacker")
    attacker.git("checkout", "--quiet", "dvc-storage")
    path = attacker.root / stored(second, "dev", "1.0.1", "model/model.skops")
    others = [p for p in path.parents[1].rglob("*") if p.is_file() and p != path]
    path.chmod(0o644)
    shutil.copyfile(others[0], path)
    attacker.git("commit", "--quiet", "--no-verify", "-am", "Nothing to see here")
    attacker.git("push", "--quiet", "--no-verify", "origin", "dvc-storage")

    before = registry(second)
    done = second.mlops("promote", "1.0.1", "--to", "staging", expect=1)
    assert "truncated or altered" in done.stderr
    assert registry(second) == before
    assert second.live()["staging"] == "1.0.0"


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
    words: list[str], status: int, second: Parcels
) -> None:
    before = registry(second)
    done = second.mlops(*words, expect=status)
    assert len(done.stderr.splitlines()[-1]) > 40, "the refusal explains itself"
    assert "Traceback" not in done.stderr
    assert registry(second) == before


def test_the_whole_way_and_back(second: Parcels) -> None:
    for environment in ("staging", "production"):
        said = second.ask("promote", "1.0.1", "--to", environment)
        assert said["verdict"]["champion"] == "1.0.0"
    assert set(second.live().values()) == {"1.0.1"}
    second.mlops("rollback", "production", "--reason", "rehearsal")
    assert second.live()["production"] == "1.0.0"
    again = second.ask("rollback", "production")
    assert (again["version"], again["changed"]) == ("1.0.0", False)

    events = second.ask("history", "production")
    assert [(e["event"], e["version"]) for e in events] == [
        ("promote", "1.0.0"),
        ("promote", "1.0.1"),
        ("roll back", "1.0.0"),
    ]
    then = second.ask("history", "--at", events[1]["since"])
    assert then["production"]["version"] == "1.0.1"
    assert second.ask("history", "--at", "2001-01-01")["production"] is None

    for environment in ("staging", "dev"):
        second.mlops("rollback", environment)
    second.mlops("retire", "1.0.1", "--reason", "it was a rehearsal")
    done = second.mlops("promote", "1.0.1", "--to", "dev", expect=1)
    assert "it was a rehearsal" in done.stderr
