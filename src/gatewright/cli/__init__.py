"""The commands: one module a group. Each reads its words, calls one function and prints the rest.

What a command needs is imported when it runs: `mlops --help` is there at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gatewright.adapters.commands import share_processors
from gatewright.adapters.console import complete_streams, drop_unwritten, sanitised
from gatewright.adapters.git import leave_hook
from gatewright.cli import (
    adopting,
    failures,
    judging,
    pipeline,
    registry,
    releases,
    repository,
    serving,
    tuning,
)
from gatewright.cli.parser import Arguments, Parser
from gatewright.errors import Misuse
from gatewright.run_context import current

SOURCE = "src"  # the team's code, which is not installed
GROUPS = (pipeline, adopting, tuning, judging, releases, registry, serving, repository)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and catch whatever goes wrong: here is the one place for it.

    Exit status: 0 yes, 1 no, 2 could not decide, 64 wrong use. Whoever interrupts a command, or
    stops reading what it says, gets 2.
    """
    command = "mlops"
    share_processors()
    try:
        try:
            complete_streams()
            arguments = _read(argv)
            command = f"mlops {arguments.command}"
            with sanitised(exact=arguments.json or arguments.command == "bom"):
                return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        pass  # nobody is there to be told
    except (OSError, KeyboardInterrupt) as error:
        with suppress(OSError):
            print(f"{command}: {failures.unanswered(error)}", file=sys.stderr, flush=True)
    finally:
        drop_unwritten()
    return failures.STATUS


def _read(argv: Sequence[str] | None) -> Arguments:
    parser = Parser()
    for group in GROUPS:
        group.add_to(parser)
    arguments = parser.parse_args(argv)
    arguments.json = getattr(arguments, "json", False)
    return arguments


def _run(arguments: Arguments) -> int:
    """The status of the command. Raises only what comes of streams that cannot be written."""
    try:
        arguments.called_from = Path.cwd()  # paths are meant from where the command was called
        if not _stands_alone(arguments):
            arguments.root = _enter_project(arguments.called_from)
        return int(arguments.run(arguments) or 0)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and arguments.command == "stage":
            raise
        words, status = failures.answer(error)
        if current().debug:
            import traceback

            traceback.print_exc()
    if arguments.json:
        print(json.dumps({"error": words, "status": status}, ensure_ascii=False))
    print(f"mlops {arguments.command}: {words}", file=sys.stderr)
    return status


def _stands_alone(arguments: Arguments) -> bool:
    """Whether a command needs no project around it."""
    bundled = arguments.command == "serve" and arguments.bundle is not None
    return bundled or arguments.command in ("explain", "key")


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
