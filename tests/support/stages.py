"""Commands of a pipeline in this process: what they do, without the seconds that Python starts in.

`test_reproduction.py` runs the same stages by the shell, and holds this to it.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from projects import environment

from gatewright.adapters import commands
from gatewright.cli import main

OURS = re.compile(r"mlops [\w ./-]+")
TESTS = str(Path(__file__).parents[1])
THEIRS = re.compile(r"python src/\w+\.py")
by_shell = commands.run_command


def in_process(command: str, folder: Path) -> int:
    """`mlops COMMAND` and `python FILE` in this process; the shell runs anything else."""
    if not (OURS.fullmatch(command) or THEIRS.fullmatch(command)):
        return by_shell(command, folder)
    words = shlex.split(command)
    source = str((folder / "src").resolve())
    with chdir(folder), redirect_stdout(sys.stderr), own_modules(source):
        try:
            if words[0] == "mlops":
                return main(words[1:])
            runpy.run_path(words[1], run_name="__main__")
            return 0
        except SystemExit as end:
            return int(end.code or 0)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1


@contextmanager
def own_modules(source: str) -> Iterator[None]:
    """A stage imports from its project, and nothing that it imported there stays."""
    path, writes = list(sys.path), sys.dont_write_bytecode
    own = {file.stem for file in Path(source).glob("*")}
    hidden = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in own and _of(m, TESTS)}
    for name in hidden:
        del sys.modules[name]
    sys.path[:] = [source, *(folder for folder in path if not folder.startswith(TESTS))]
    sys.dont_write_bytecode = True  # two texts of one length and second have the same name there
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, writes
        for name in [n for n, module in sys.modules.items() if _of(module, source)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _of(module: object, folder: str) -> bool:
    return (getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}")


class OfDvc:
    """Stands in for the function by which DVC runs one command of a stage."""

    def __init__(self) -> None:
        from dvc.stage import run

        self.by_shell = run._run

    def __call__(self, executable: str, command: str, **settings: Any) -> None:
        from dvc.stage.exceptions import StageCmdFailedError

        if not (OURS.fullmatch(command) or THEIRS.fullmatch(command)):
            self.by_shell(executable, command, **settings)
            return
        with environment(settings["env"]):
            status = in_process(command, Path(settings["cwd"]))
        if status:
            raise StageCmdFailedError(command, status)
