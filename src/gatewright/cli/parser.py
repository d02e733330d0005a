"""The words of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from gatewright.errors import Misuse

Arguments = argparse.Namespace
Run = Callable[[Arguments], int | None]


class Parser(argparse.ArgumentParser):
    """Wrong words are exit status 64 (EX_USAGE of sysexits.h)."""

    def __init__(self, **settings: Any) -> None:
        if settings:  # argparse makes the parser of each command by this class
            super().__init__(**settings)
            return
        super().__init__(
            prog="mlops",
            description="Judge, register and promote the model of this project.",
            epilog="Exit status: 0 yes, 1 no, 2 could not decide or was interrupted (treat it as "
            "no), 64 wrong use. MLOPS_DEBUG=1 shows the traceback of a command that failed.",
        )
        self._commands = self.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(self, name: str, run: Run, words: str, reads: bool = False) -> Parser:
        """Add a command; one that machines read takes `--json`."""
        command: Parser = self._commands.add_parser(name, help=words, description=words)
        command.set_defaults(run=run)
        if reads:
            command.add_argument("--json", action="store_true", help="print JSON for machines")
        return command

    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(Misuse.status, f"{self.prog}: {message}\n")


def plain(text: str) -> str:
    """The type of an argument that is written down: bytes that are no UTF-8 become `?`."""
    return text.encode("utf-8", "replace").decode()


def required(text: str, what: str) -> str:
    """As `plain`. Raises Misuse if it is empty; `what` is what an error calls it."""
    if not text.strip():
        raise Misuse(f"The {what} is empty. Say it, and run again.")
    return plain(text)
