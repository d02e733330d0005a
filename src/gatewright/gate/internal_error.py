"""An error of the machinery itself: what it was, and in which line."""

from __future__ import annotations

import traceback
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def describe(error: BaseException, inside: Path = _PACKAGE) -> str:
    """The error, and the last line below the folder `inside` that it went through."""
    return f"{type(error).__name__}: {error}".rstrip(": ") + place(error, inside)


def place(error: BaseException, inside: Path = _PACKAGE) -> str:
    """That line, like " (gatewright/x.py, line 3)"; empty if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(inside)] or frames
    if not ours:
        return ""
    path = Path(ours[-1].filename)
    shown = path.relative_to(inside.parent) if path.is_relative_to(inside) else path
    return f" ({shown.as_posix()}, line {ours[-1].lineno})"
