"""Which events of the registry hold: rules over the list of events, which ask nobody.

Only commands write the registry, and each leaves one event. A version and a retirement are written
once. What is live in an environment names the version that was live before, and no record is
written twice. An event that does not fit is passed over: nothing is decided on it, and the next
one has to fit the last that holds. Whoever puts back what held last has mended the file.

A record that fits the one right before it holds even if that one does not: whoever could write
both could as well write one that fits. So the newest few tell what holds, and the rules stop what
is careless; who let a record in is asked of GitHub (`approval.py`), who made a version, of its
signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from gatewright.errors import Refused
from gatewright.registry.records import EnvironmentRecord, Record

State = Literal["holds", "put back", "passed over"]


@dataclass(frozen=True)
class Event:
    """One change of one file: its place in the history, and what the file holds since then.

    `content` is as Git names it, None if the file was removed.
    """

    number: int
    commit: str
    path: str
    content: str | None


@dataclass(frozen=True)
class Told:
    """What an event says, whether it holds, and if not, why."""

    event: Event
    record: Record | None
    state: State
    why: str = ""


Read = Callable[[Event], Record]


def tell(events: Sequence[Event], read: Read, sure: int = 0) -> list[Told]:
    """Judge the events of one file, oldest first.

    Those before `sure` are not read, and the one at `sure`, if it is not the first, is taken to
    hold. `read` raises Refused for what is no record.
    """
    held: Told | None = None
    newest: Record | None = None
    seen = {event.content for event in events[:sure]}
    told = []
    for number, event in enumerate(events[sure:], sure):
        if sure and number == sure:
            this = Told(event, read(event), "holds")
        else:
            this = _judge(event, held, newest, event.content in seen, read)
        held = this if this.state == "holds" else held
        if event.content and event.content not in seen:
            newest = this.record
        seen.add(event.content)
        told.append(this)
    return told


def last(events: Sequence[Event], read: Read) -> Told:
    """As the last of `tell`, from as few records as decide it."""
    first: dict[str | None, int] = {}
    for number, event in enumerate(events):
        first.setdefault(event.content, number)
    records = [number for content, number in first.items() if content]
    for before, after in reversed(list(pairwise(records))):
        if _fits(events[before], events[after], read):
            return tell(events, read, before)[-1]
    return tell(events, read)[-1]


def _judge(event: Event, held: Told | None, newest: Record | None, again: bool, read: Read) -> Told:
    before = held.record if held else None
    if event.content == (held.event.content if held else None):
        return Told(event, before, "put back")
    if event.content is None:
        return Told(event, None, "passed over", "it was removed")
    if again:
        why = "it was there once before, and newer ones came after it"
        return Told(event, None, "passed over", why)
    try:
        record = read(event)
    except Refused as error:
        return Told(event, None, "passed over", str(error))
    why = _misfit(record, before)
    if why and newest and not _misfit(record, newest):
        why = ""
    return Told(event, record, "passed over" if why else "holds", why)


def _fits(before: Event, after: Event, read: Read) -> bool:
    try:
        return not _misfit(read(after), read(before))
    except Refused:
        return False


def _misfit(record: Record, before: Record | None) -> str:
    """Why a new record does not fit the one that held before it; empty if it does."""
    if not isinstance(record, EnvironmentRecord):
        return f"there is another record of {record.version} before it" if before else ""
    was = before.version if before else None
    if record.previous != was:
        names = f"{record.previous or 'nothing'} was live before, where {was or 'nothing'} was"
        return f"it says that {names}"
    return f"it replaces {was} by {was}" if record.version == was else ""
