"""A function of the team's package, by the path that gates.yaml gives."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from gatewright.errors import Refused

PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def find_function(path: str, what: str) -> Callable[..., Any]:
    """Import `package.module:name`. `what` it is opens the refusal. Raises Refused."""
    module, _, name = path.partition(":")
    try:
        with redirect_stdout(sys.stderr):  # machines read standard output
            function = getattr(import_module(module), name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the team's module does when it is imported
        raise Refused(
            f"{what} {path} of gates.yaml cannot be imported ({failure(error)}), so nothing can "
            "be measured by it. Write package.module:function."
        ) from None
    if not callable(function):
        raise Refused(f"{what} {path} of gates.yaml is no function, so it measures nothing.")
    return function  # type: ignore[no-any-return]


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Whatever a team's code raises in here becomes a refusal; `what` it is opens it.

    SystemExit too: it would end the command with the status that the team's code chose.
    """
    try:
        yield
    except (Refused, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Refused(f"{what} fails: {failure(error)}.") from None


def failure(error: BaseException) -> str:
    """The error and the line in which it was raised, in words for a sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    words = f"{type(error).__name__}: {error}".rstrip(": ")
    if not frames or isinstance(error, ImportError):
        return words
    return f"{words}, in {Path(frames[-1].filename).name}, line {frames[-1].lineno}"
