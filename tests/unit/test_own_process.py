"""A team's function that ends the process that judges ends no command with its own status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from parcels import Project

from gatewright.adapters.own_process import apart
from gatewright.errors import Refused, Undecided

ENDS = {
    "a metric, with status 0": (
        "import os\ndef f(y, scores, sample_weight):\n    os._exit(0)\n",
        "metrics: {own: {function: parcel_ends:f, higher_is_better: true}}\n",
        "ended the process with status 0",
    ),
    "a check, by a signal": (
        "import os, signal\ndef f(rows):\n    os.kill(os.getpid(), signal.SIGKILL)\n",
        "own_checks: {own: {function: parcel_ends:f}}\n",
        "ended the process by the signal SIGKILL",
    ),
    "when it is imported": (
        "import os\nos._exit(0)\n",
        "own_checks: {own: {function: parcel_ends:f}}\n",
        "ended the process with status 0",
    ),
}


def ask(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """By a process: in this one it would end the tests."""
    command = [sys.executable, "-m", "gatewright", *words]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True)


@pytest.mark.parametrize(("code", "setting", "words"), ENDS.values(), ids=ENDS)
def test_a_function_that_ends_the_process_decides_nothing(
    code: str, setting: str, words: str, second: Project
) -> None:
    (second.root / "src/parcel_ends.py").write_text(code)
    second.edit("gates.yaml", "checks:\n", f"{setting}checks:\n")
    if setting.startswith("metrics"):
        second.edit("gates.yaml", "{max: 0.23}", "{max: 0.23}\n      own: {min: 0}")
    second.merge("Our own")
    before = second.registry()
    commands = [("gate",), ("promote", "1.1.0", "--to", "staging")]
    if setting.startswith("metrics"):
        commands.append(("policy", "propose"))
    for command in commands:
        done = ask(second, *command)
        assert done.returncode == 2, done
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert second.registry() == before


def test_what_is_done_apart_comes_back() -> None:
    here = os.getpid()
    child, large = apart(lambda: (os.getpid(), bytes(3_000_000)), "It")
    assert (child != here, len(large)) == (sys.platform == "linux", 3_000_000)


def test_what_is_raised_apart_is_raised() -> None:
    def no() -> NoReturn:
        raise Refused("Not so.")

    with pytest.raises(Refused, match=r"Not so\."):
        apart(no, "It")


def test_what_leaves_a_process_behind_is_not_waited_for(tmp_path: Path) -> None:
    """Which holds the way back open, so that its end is never seen."""

    def leave() -> None:
        if (child := os.fork()) == 0:
            signal.pause()
        (tmp_path / "left").write_text(str(child))
        os._exit(0)

    try:
        with pytest.raises(Undecided, match="with status 0 before there was an answer"):
            apart(leave, "It")
    finally:
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)


def test_an_answer_that_is_none_is_no_answer() -> None:
    with pytest.raises(Undecided, match="with status 1"):
        apart(lambda: lambda: None, "It")


def test_who_stops_reading_a_report_is_told_of_no_fault(trained: Project) -> None:
    """Rich would end the process itself, as if code that was called had done so."""
    command = [sys.executable, "-m", "gatewright", "gate"]
    with subprocess.Popen(
        command, cwd=trained.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 2
