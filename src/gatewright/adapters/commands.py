"""Commands of the pipeline's stages: which code they can import, and how one is run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# Variables of Python that say nothing of which code it runs.
_PYTHON = {
    *("PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONUNBUFFERED"),
    *("PYTHONUTF8", "PYTHONFAULTHANDLER"),
}
# What a stage that is built again has no business with.
_SECRET = {
    *("GITHUB_TOKEN", "GH_TOKEN", "SIGNING_KEY", "REGISTRY_KEY", "TRAINING_KEY"),
    *("ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
}


def share_processors() -> None:
    """Let threads of OpenMP turn in a loop for microseconds while they wait, and then sleep.

    Turning longer they keep a busy machine from its work: with 10,000 turns a training takes twice
    the CPU time there, and alone it is no faster than with 1,000. Asleep at once they take long to
    wake, and a training alone takes half as long again. Somebody's own choice stands. It must be
    said before scikit-learn is imported.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def only_source(variables: Mapping[str, str], root: Path) -> dict[str, str]:
    """The variables with which a Python imports from `src` and from what is installed.

    As with `python -P`, the folder in which it starts or its script lies is not looked into.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if name in _PYTHON or not (name.startswith("PYTHON") or name == "UV_ENV_FILE")
    }
    source = str((root / "src").resolve())
    return kept | {"PYTHONPATH": source, "PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"}


def run_command(command: str, root: Path) -> int:
    """Run a command by the shell in a project's root; its exit status.

    It gets no key, and its output goes to our standard error.
    """
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=root,
        env=_environment(root),
        stdout=2,
        start_new_session=True,
    ) as process:
        try:
            return process.wait()
        finally:  # nothing that it started in the background goes on
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _environment(root: Path) -> dict[str, str]:
    """Commands call `python` and `mlops` by name, so this Python environment comes first."""
    kept = {name: value for name, value in os.environ.items() if name not in _SECRET}
    path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath)))
    return only_source(kept, root) | {"PATH": path}
