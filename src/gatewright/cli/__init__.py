"""The commands: one module a group. Each reads its words, calls one function and prints the rest.

What a command needs is imported when it runs: `mlops --help` is there at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gatewright.adapters.console import sanitised
from gatewright.adapters.git import leave_hook
from gatewright.cli import judging, pipeline, registry, releases, repository
from gatewright.cli.parser import Parser
from gatewright.errors import Misuse, Refused

SOURCE = "src"  # the team's code, which is not installed
GROUPS = (pipeline, judging, releases, registry, repository)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 yes, 1 no, 2 could not decide, 64 wrong use."""
    parser = Parser()
    for group in GROUPS:
        group.add_to(parser)
    arguments = parser.parse_args(argv)
    arguments.called_from = Path.cwd()  # paths are meant from where the command was called
    as_json = getattr(arguments, "json", False)
    with sanitised(exact=as_json or arguments.command == "bom"):
        try:
            if arguments.command != "explain":
                arguments.root = _enter_project(arguments.called_from)
            return int(arguments.run(arguments) or 0)
        except Refused as error:
            if as_json:
                print(json.dumps({"error": str(error), "status": error.status}, ensure_ascii=False))
            print(f"mlops {arguments.command}: {error}", file=sys.stderr)
            return error.status


def _enter_project(here: Path) -> Path:
    """Work in the project's root, wherever in it the command was called.

    The root as seen from there: messages, reports and records name files from the root.
    """
    leave_hook()
    for folder in (here, *here.parents):
        if (folder / "contract.yaml").exists():
            os.chdir(folder)  # DVC and the stages that it runs start from here
            sys.path.append(str(folder / SOURCE))  # a team's own metrics
            return Path()
    raise Misuse(f"{here} is not inside a project: no contract.yaml in it or above it.")
