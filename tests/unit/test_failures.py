"""Whatever goes wrong around a command: the status that is documented, a sentence, no traceback."""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from parcels import Project, Said

from gatewright.cli import failures, main
from gatewright.cli import registry as reading

MLOPS = [sys.executable, "-m", "gatewright"]
FULL = Path("/dev/full")


def run(project: Project, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    env = {**os.environ, "PYTHONUNBUFFERED": "", **settings.pop("env", {})}
    return subprocess.run([*MLOPS, *words], cwd=project.root, text=True, env=env, **settings)


def answered(project: Project, *words: str) -> Said:
    """A command in this process, whatever its status."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(project.root), redirect_stdout(out), redirect_stderr(err):
        status = main(words)
    return Said(status, out.getvalue(), err.getvalue())


def no_traceback(*texts: str | None) -> None:
    for text in texts:
        assert "Traceback" not in (text or ""), text
        assert "Exception ignored" not in (text or ""), text


ERRORS: dict[str, tuple[BaseException, str]] = {
    "a bug": (KeyError("ada@example.com"), "internal error: KeyError"),
    "too little memory": (MemoryError(), "too little memory"),
    "Ctrl-C": (KeyboardInterrupt(), "interrupted"),
    "a file that cannot be written": (
        PermissionError(13, "Permission denied", "reports/gate.json"),
        "Permission denied: reports/gate.json",
    ),
    "a recursion without end": (RecursionError("deep"), "internal error: RecursionError"),
    "code that ends the process": (SystemExit(0), "ended it before it had an answer"),
}


@pytest.mark.parametrize(("error", "words"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_that_nobody_foresaw_is_a_sentence(
    error: BaseException, words: str, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: Any) -> None:
        raise error

    monkeypatch.setattr(reading, "_status", fail)
    said = trained.mlops("status", expect=2)
    assert words in said.err
    assert said.err.startswith("mlops status: ")
    assert said.err.count("\n") == 1
    assert "ada@example.com" not in said.err, "it may be a value of the data"
    assert trained.ask("status", expect=2)["status"] == 2
    monkeypatch.setenv(failures.VERBOSE, "1")
    assert "Traceback" in trained.mlops("status", expect=2).err


def test_ctrl_c_is_status_2_in_a_sentence(trained: Project) -> None:
    """A real signal, to a command that waits for an origin which does not answer."""
    started = trained.root.parent / "started"
    trained.git("config", "protocol.ext.allow", "always")
    silent = f"ext::sh -c touch% {started};% exec% sleep% 60"
    trained.git("remote", "set-url", "origin", silent)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell starts what runs in the background deaf to it, and a child stays so.
    pipes["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    waiting = subprocess.Popen([*MLOPS, "status"], cwd=trained.root, text=True, **pipes)
    while not started.exists():
        assert waiting.poll() is None, waiting.communicate()
        time.sleep(0.01)
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate()
    assert waiting.returncode == 2, err
    assert "mlops status: interrupted before it had an answer" in err
    no_traceback(out, err)


def test_a_reader_that_goes_away_is_told_nothing(released: Project) -> None:
    for words in ("mlops history", "mlops --help", "mlops status"):
        command = words.replace("mlops", f"{sys.executable} -m gatewright")
        done = subprocess.run(
            ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
            cwd=released.root,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        assert done.stdout.strip() in ("0", "2")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["--help"], ["explain"]])
def test_an_answer_that_cannot_be_written_is_status_2(words: list[str], released: Project) -> None:
    with FULL.open("w") as full:
        done = run(released, *words, stdout=full)
        assert run(released, *words, stdout=full, stderr=full).returncode == 2
    assert done.returncode == 2
    assert "could not be written (No space left on device)" in done.stderr
    no_traceback(done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_hurt_nobody(closed: str, released: Project) -> None:
    """Else Git's answers, or a file that is written, would be the closed stream."""
    for words, status in (("status", 0), ("rollback nowhere", 64)):
        command = f"{sys.executable} -m gatewright {words} {closed}"
        done = subprocess.run(["bash", "-c", command], cwd=released.root, capture_output=True)
        assert done.returncode == status, done
        no_traceback(done.stderr.decode())


PLACES = {
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "LC_ALL=C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no HOME": {"HOME": "/nonexistent", "TERM": "dumb"},
}


@pytest.mark.parametrize("variables", PLACES.values(), ids=PLACES.keys())
def test_any_locale_and_home_will_do(variables: dict[str, str], second: Project) -> None:
    second.mlops("rollback", "dev", "--reason", "zu spät, 遅い")
    for words in (["history"], ["history", "--json"], ["rollback", "sp\udce4t"]):
        done = run(second, *words, env=variables, encoding="utf-8")
        assert done.returncode in (0, 64), done
        no_traceback(done.stdout, done.stderr)


def test_without_git_it_says_so(released: Project) -> None:
    for words in (["status"], ["gate"], ["prove", "--base", "main"], ["rollback", "dev"]):
        done = run(released, *words, env={"PATH": "/nonexistent"})
        assert done.returncode == 2, done
        assert "no `git` on this machine's PATH" in done.stderr
        no_traceback(done.stderr)


def limited(blocks: int) -> Callable[[], None]:
    """No file may grow beyond so many bytes: as a disk that is full."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (blocks, blocks))

    return limit


@pytest.mark.parametrize("size", [0, 300, 5000])
def test_a_full_disk_leaves_the_old_state(size: int, released: Project) -> None:
    before = released.registry(), released.git("status", "--porcelain")
    env = {"PYTHONDONTWRITEBYTECODE": "1"}  # half a file of bytecode would stay
    for words in (["gate"], ["evaluate"], ["card"], ["promote", "1.0.0", "--to", "dev"]):
        done = run(released, *words, preexec_fn=limited(size), env=env)
        assert done.returncode in (0, 1, 2), done
        no_traceback(done.stdout, done.stderr)
    assert (released.registry(), released.git("status", "--porcelain")) == before
    assert not list(released.root.rglob("*.part"))


def test_a_step_summary_that_cannot_be_written_changes_no_verdict(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(trained.root))
    said = trained.mlops("gate")
    assert "summary of this job could not be written (Is a directory" in said.err


def test_an_output_that_cannot_be_written_stops_before_anything_is_done(
    second: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(second.root))
    before = second.registry()
    for words in (["register"], ["promote", "1.1.0", "--to", "staging"]):
        assert "from GITHUB_OUTPUT" in second.mlops(*words, expect=2).err
    assert second.registry() == before


def test_a_signing_key_of_git_that_is_broken_stops_nothing(second: Project) -> None:
    second.git("config", "commit.gpgsign", "true")
    second.git("config", "tag.gpgsign", "true")
    second.git("config", "push.gpgsign", "true")
    second.git("config", "gpg.program", "/bin/false")
    second.mlops("rollback", "dev")
    second.mlops("retire", "1.1.0", "--reason", "late")
    second.train(0.7)
    words = ("commit", "--quiet", "--no-verify", "--all", "-m", "Retrain")
    second.git("-c", "commit.gpgsign=false", *words)
    assert "Registered" in second.mlops("register").out


def test_the_code_of_a_stage_fails_in_a_sentence(trained: Project) -> None:
    (trained.root / "src/late.py").write_text("def f():\n    return {}['x']\n\nf()\n")
    said = trained.mlops("stage", "late", expect=1)
    assert "mlops stage: late failed: KeyError: 'x' (src/late.py, line 2)" in said.err
    assert "MLOPS_DEBUG=1" in said.err
    (trained.root / "src/ends.py").write_text("raise SystemExit('The test set is empty.')\n")
    done = run(trained, "stage", "ends")
    assert (done.returncode, done.stderr) == (1, "The test set is empty.\n")


def corrupt(project: Project) -> None:
    def change(tree: Path) -> None:
        (tree / "environments/dev.yaml").write_bytes(b"\xff: [")
        (tree / "environments/staging.yaml").write_text("version: {1: []}\nsince: null\n")

    project.change_branch("registry", change)


def start_again(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    project.git("init", "--quiet")


def put_folder(project: Project) -> None:
    (project.root / "contract.yaml").unlink()
    (project.root / "contract.yaml").mkdir()


STATES: dict[str, Callable[[Project], object]] = {
    "no Git": lambda p: shutil.rmtree(p.root / ".git"),
    "an empty repository": start_again,
    "a detached HEAD": lambda p: p.git("checkout", "--quiet", "--detach"),
    "no origin": lambda p: p.git("remote", "remove", "origin"),
    "an origin that is gone": lambda p: p.origin.rename(p.origin.with_name("gone")),
    "no branch registry": lambda p: p.git("push", "--quiet", "origin", ":registry"),
    "a registry that holds nonsense": corrupt,
    "no DVC": lambda p: shutil.rmtree(p.root / ".dvc"),
    "a lock of bytes": lambda p: (p.root / "dvc.lock").write_bytes(b"\xff\x00"),
    "a policy without environments": lambda p: (p.root / "gates.yaml").write_text("checks: {}"),
    "a file whose name nobody can read": lambda p: (
        p.root / os.fsdecode(b"data/raw/\xff\n'.parquet")
    ).write_bytes(b"PAR1"),
    "a contract that is a folder": put_folder,
}
COMMANDS = (
    *("status", "history", "gate", "prove", "rollback dev", "promote 1.0.0 --to dev", "register"),
    *("retire 1.0.0 --reason x", "check", "evaluate", "card", "smoke dev", "drill dev"),
    *("doctor", "bom", "bom 1.0.0", "policy test", "push", "history --at 2026-01-01"),
)


@pytest.mark.parametrize("spoil", STATES.values(), ids=STATES.keys())
def test_in_no_state_of_a_repository_a_command_ends_in_a_traceback(
    spoil: Callable[[Project], object], released: Project
) -> None:
    spoil(released)
    for words in COMMANDS:
        said = answered(released, *words.split())
        assert said.status in (0, 1, 2, 64), (words, said)
        assert "internal error" not in said.err, (words, said.err)


# Who is not root

# Root without the capabilities that pass by what a file's mode says.
AS_SOMEBODY = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
CLOSED: dict[str, tuple[str, int, str, str]] = {
    "reports that may not be written": ("reports", 0o555, "gate", "reports/gate.json"),
    "a policy that may not be read": ("gates.yaml", 0o000, "gate", "gates.yaml"),
    "a lock that may not be read": ("dvc.lock", 0o000, "gate", "dvc.lock"),
    "a contract that may not be read": ("contract.yaml", 0o000, "promote 1.0.0 --to dev", ""),
}


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may read and write everything"
)
@pytest.mark.parametrize(("path", "mode", "words", "told"), CLOSED.values(), ids=CLOSED)
def test_what_may_not_be_read_or_written_is_a_sentence(
    path: str, mode: int, words: str, told: str, released: Project
) -> None:
    (released.root / path).chmod(mode)
    first = AS_SOMEBODY if os.geteuid() == 0 else []
    done = subprocess.run(
        [*first, *MLOPS, *words.split()], cwd=released.root, capture_output=True, text=True
    )
    (released.root / path).chmod(0o755)
    no_traceback(done.stdout, done.stderr)
    assert done.returncode == 2, done
    assert f"Permission denied: {told or path}" in done.stderr
