"""One thing to change on GitHub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gatewright.adapters.github import GitHub
from gatewright.errors import Refused


@dataclass(frozen=True)
class Step:
    """What is told of a change, and how it is done."""

    words: str
    do: Callable[[], str | None]  # what was done instead, if it was not all


def sending(github: GitHub, method: str, path: str, body: Any = None) -> Callable[[], None]:
    """What sends this, once it is called."""

    def send() -> None:
        github.send(method, path, body)

    return send


def failing(error: Refused) -> Callable[[], None]:
    """What cannot be done, and is told when it is tried."""

    def fail() -> None:
        raise error

    return fail
