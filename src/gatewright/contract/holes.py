"""Words that only a person can write, and that are not written yet."""

from __future__ import annotations

import re

_HOLE = re.compile(r"\[to be written: ([^\]]*)\]")


def hole(words: str) -> str:
    """A place in a text that waits for words, and what they are to say."""
    return f"[to be written: {words}]"


def holes_of(text: str) -> tuple[str, ...]:
    """What the places of a text that wait for words are to say."""
    return tuple(_HOLE.findall(text))
