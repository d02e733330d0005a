"""Standard output and error, sanitised: no terminal and no runner takes them for commands.

A record, a file name or a value of the data may hold what moves a terminal's cursor or, in the
log of a workflow, sets a step's output:
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# All but tab, end of line, and the colours of a terminal; then what turns the order of letters.
_CONTROL = re.compile(
    r"\x1b(?!\[[\d;]*m)|[\0-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|[\u202a-\u202e\u2066-\u2069]"
)
_ESCAPE = re.compile("\x1b")
_COMMAND = re.compile(r"^(\s*:)(?=:)|(#)(?=#\[)", re.MULTILINE)


class Sanitised:
    """A stream that shows control characters, and breaks what a runner would obey."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._fresh = True  # nothing but space stands on the line yet

    def write(self, text: str) -> int:
        shown = _CONTROL.sub(_escaped, text)
        lead = "" if self._fresh else "."
        self.stream.write(_COMMAND.sub(r"\1\2 ", lead + shown)[len(lead) :])
        line = (lead + shown).rpartition("\n")[2]
        self._fresh = not line.strip()
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def complete_streams() -> None:
    """Make it so that whatever is printed can be written.

    A standard stream that is closed becomes the null device; else the next file that is opened
    would be it. A letter that the terminal's encoding lacks is shown by its number.
    """
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(null, True)
    os.close(null)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_unwritten() -> None:
    """Let go of what cannot be written, so that the end of the process does not try again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):  # a stream that is no file has nothing to point elsewhere
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


@contextmanager
def sanitised(exact: bool) -> Iterator[None]:
    """Sanitise standard output and error; output that is `exact` is for machines, and UTF-8."""
    if exact and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    out = sys.stdout if exact else Sanitised(sys.stdout)
    with redirect_stdout(out), redirect_stderr(Sanitised(sys.stderr)):
        yield


@contextmanager
def as_it_is() -> Iterator[None]:
    """For a tool that draws on the terminal itself."""
    out, err = (getattr(s, "stream", s) for s in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield


@contextmanager
def aside() -> Iterator[None]:
    """For a tool whose words are no answer: what it and its processes print goes to stderr."""
    sys.stdout.flush()
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(answer, 1)
        os.close(answer)


def terminal(**settings: Any) -> Console:
    """Rich's console; whoever stops reading it is no end of the program with a status of Rich's."""
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Terminal(**settings)


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> None:
    """Print rows in columns; on a terminal too narrow for them, each cell wrapped in its column.

    No cell is taken for markup, and none can colour the terminal.
    """
    cells = [[_ESCAPE.sub(_escaped, _CONTROL.sub(_escaped, cell)) for cell in row] for row in rows]
    if header:
        cells.insert(0, list(header))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if header:
        cells.insert(1, ["-" * width for width in widths])
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) > shutil.get_terminal_size().columns:
        _wrap(cells)
        return
    for row in cells:
        print("  ".join(c.ljust(width) for c, width in zip(row, widths, strict=True)).rstrip())


def _wrap(cells: Sequence[Sequence[str]]) -> None:
    # Imported only here: it costs as much time as all else that `mlops status` does.
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    terminal(color_system=None).print(table)


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"
