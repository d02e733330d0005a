"""One line of the doctor's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Row:
    """One thing that protects, or does not."""

    state: State
    subject: str
    words: str


def row(good: bool, subject: str, words: str) -> Row:
    """Good, or bad with the words of what should hold."""
    return Row("good" if good else "bad", subject, words if good else f"does not hold: {words}")
