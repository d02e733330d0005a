"""Shell commands of the pipeline, run as the stages of a project are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

# What would let code from elsewhere run in a stage, or give it what it has no business with.
_DROPPED = (
    *("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "GITHUB_TOKEN", "SIGNING_KEY", "REGISTRY_KEY"),
    "TRAINING_KEY",
    *("ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
)


def run_command(command: str, folder: Path) -> int:
    """Run one command by the shell in `folder`; its exit status. Its output goes to our stderr."""
    words = ["/bin/sh", "-c", command]
    with subprocess.Popen(
        words, cwd=folder, env=_environment(), stdout=2, start_new_session=True
    ) as process:
        try:
            return process.wait()
        finally:  # nothing that it started in the background goes on
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Commands call `python` and `mlops` by name, so this Python environment comes first."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    ours = str(Path(sys.executable).parent)
    path = os.pathsep.join((ours, kept.get("PATH", os.defpath)))
    return kept | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
