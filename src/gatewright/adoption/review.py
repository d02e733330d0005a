"""The guesses of contract.yaml as a table: what a person is to confirm."""

from __future__ import annotations

import re
from pathlib import Path

from gatewright.adapters.console import print_table
from gatewright.adapters.files import read_text
from gatewright.contract.schema import parse_contract

_LINE = re.compile(r"^(?P<lead>\s*)(?P<key>\"(?:[^\"\\]|\\.)*\"|[^\s:#]+):.*?\s#\s(?P<why>.+)$")


def guesses(text: str) -> list[tuple[str, str, str]]:
    """Of a contract's text: what is guessed, what is said of it, and the evidence."""
    contract = parse_contract(text)
    found = []
    for line in text.splitlines():
        if not (match := _LINE.match(line)):
            continue
        name = match["key"].strip('"')
        column = contract.columns.get(name)
        if column is None:
            said = "target" if name == "name" else str(getattr(contract, name, "") or name)
        else:
            said = column.type
            if column.personal:
                said += ", personal: kept out"
            elif column.afterwards:
                said += ", known afterwards: kept out"
            elif not column.feature:
                said += ", not for the model"
        found.append((name, said, match["why"]))
    return found


def show_guesses(root: Path) -> None:
    rows = guesses(read_text(root / "contract.yaml"))
    if not rows:
        print("Nothing is marked as guessed in contract.yaml.")
        return
    print_table(rows, ("what", "is taken for", "why"))
    print("\nDelete the comment of a line once somebody has confirmed it.")
