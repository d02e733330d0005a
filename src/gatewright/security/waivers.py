"""security/waivers.yaml: what a scanner finds and nobody can mend yet, until a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from gatewright.adapters.files import read_text
from gatewright.adapters.strict_yaml import line_of, parse_yaml
from gatewright.contract.schema import Strict, validated
from gatewright.errors import Refused

FILE = "security/waivers.yaml"
Tool = Literal["bandit", "pip-audit", "kingfisher", "zizmor", "data"]


@dataclass(frozen=True)
class Found:
    """One thing that a scanner found: its name for it, the file (or environment), what it is."""

    tool: Tool
    id: str
    where: str
    words: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.where if self.line is None else f"{self.where}:{self.line}"
        return f"{self.tool} {self.id} in {place}: {self.words}"


class Waiver(Strict):
    """Lets one finding wait until a day, because somebody answers for it.

    `where` narrows it to one place, as the scanner's report names it: a file, or the environment
    whose live version has the finding.
    """

    tool: Tool
    id: str = Field(min_length=1)
    where: str | None = None
    reason: str = Field(min_length=10)
    owner: str = Field(min_length=1)
    expires: date

    def fits(self, found: Found) -> bool:
        same = (self.tool, self.id) == (found.tool, found.id)
        return same and self.where in (None, found.where)


class _File(Strict):
    waivers: tuple[Waiver, ...]


def read_waivers(root: Path, today: date | None = None) -> tuple[Waiver, ...]:
    """The waivers in force. Raises Refused, with the line, for one that expired or stands twice."""
    text = read_text(root / FILE)
    file = validated(_File, parse_yaml(text, FILE), FILE, partial(line_of, text))
    keys = [(waiver.tool, waiver.id, waiver.where) for waiver in file.waivers]
    for number, waiver in enumerate(file.waivers):
        line = line_of(text, ("waivers", number, "id"))
        if waiver.expires < (today or datetime.now(UTC).date()):
            raise Refused(
                f"{FILE}, line {line}: the waiver of {waiver.id} expired on {waiver.expires}. "
                "Mend what it waives, or let its owner renew it."
            )
        if keys.count(keys[number]) > 1:
            raise Refused(f"{FILE}, line {line}: {waiver.id} is waived twice. Remove one.")
    return file.waivers


def settle(
    found: Sequence[Found], waivers: Sequence[Waiver]
) -> tuple[list[Found], list[tuple[Found, Waiver]], list[Waiver]]:
    """What is open, what waits by which waiver, and the waivers that found nothing to waive."""
    waits = [(f, next(w for w in waivers if w.fits(f))) for f in found if _fit(f, waivers)]
    unmet = [f for f in found if not _fit(f, waivers)]
    used = {id(waiver) for _, waiver in waits}
    return unmet, waits, [waiver for waiver in waivers if id(waiver) not in used]


def _fit(found: Found, waivers: Sequence[Waiver]) -> bool:
    return any(waiver.fits(found) for waiver in waivers)
