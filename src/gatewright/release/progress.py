"""Progress of long commands, on standard error."""

import sys


def say(text: str) -> None:
    """Tell what happens within a step."""
    print(f"      {text}", file=sys.stderr, flush=True)


def step(text: str) -> None:
    """Say which step begins, before it begins: "2/5 ask the gate" shows as "[2/5] ask the gate"."""
    number, _, words = text.partition(" ")
    print(f"[{number}] {words}", file=sys.stderr, flush=True)
