"""Commands of a pipeline in this process: what they do, without the second that Python starts in.

`test_reproduction.py` runs the same stages by the shell, and holds this to it.
"""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path

from gatewright.adapters import commands
from gatewright.cli import main

by_shell = commands.run_command


def in_process(command: str, folder: Path) -> int:
    """`mlops COMMAND` and `python FILE` in this process; the shell runs anything else."""
    words = shlex.split(command)
    before = list(sys.path)
    module = words[2] if words[:2] == ["mlops", "stage"] else ""
    hidden = sys.modules.pop(module, None)  # one of the tests' own has the name of a stage's
    with chdir(folder), redirect_stdout(sys.stderr):
        try:
            if re.fullmatch(r"mlops [\w ./-]+", command):
                return main(words[1:])
            if re.fullmatch(r"python src/\w+\.py", command):
                runpy.run_path(words[1], run_name="__main__")
                return 0
        except SystemExit as end:
            return int(end.code or 0)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
        finally:
            sys.path[:] = before
            if hidden:
                sys.modules[module] = hidden
    return by_shell(command, folder)
