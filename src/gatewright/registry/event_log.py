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
from gatewright.registry.records import EnvironmentRecord, NewerFormat, Record

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
class JudgedEvent:
    """An event, the record that it brought, whether that holds, and if not, why."""

    event: Event
    record: Record | None
    state: State
    why: str = ""


Read = Callable[[Event], Record]


def judge_events(events: Sequence[Event], read: Read, sure: int = 0) -> list[JudgedEvent]:
    """Judge the events of one file, oldest first.

    Those before `sure` are not read, and the one at `sure`, if it is not the first, is taken to
    hold. `read` raises Refused for what is no record; NewerFormat, which is no answer, is let
    through.
    """
    held: JudgedEvent | None = None
    newest: Record | None = None
    seen = {event.content for event in events[:sure]}
    judged = []
    for number, event in enumerate(events[sure:], sure):
        if sure and number == sure:
            this = JudgedEvent(event, read(event), "holds")
        else:
            this = _judge(event, held, newest, event.content in seen, read)
        held = this if this.state == "holds" else held
        if event.content and event.content not in seen:
            newest = this.record
        seen.add(event.content)
        judged.append(this)
    return judged


def judge_last(events: Sequence[Event], read: Read) -> JudgedEvent:
    """As the last of `judge_events`, from as few records as decide it."""
    first: dict[str | None, int] = {}
    for number, event in enumerate(events):
        first.setdefault(event.content, number)
    records = [number for content, number in first.items() if content]
    for before, after in reversed(list(pairwise(records))):
        if _fits(events[before], events[after], read):
            return judge_events(events, read, before)[-1]
    return judge_events(events, read)[-1]


def _judge(
    event: Event, held: JudgedEvent | None, newest: Record | None, again: bool, read: Read
) -> JudgedEvent:
    before = held.record if held else None
    if event.content == (held.event.content if held else None):
        return JudgedEvent(event, before, "put back")
    if event.content is None:
        return JudgedEvent(event, None, "passed over", "it was removed")
    if again:
        why = "it was there once before, and newer ones came after it"
        return JudgedEvent(event, None, "passed over", why)
    try:
        record = read(event)
    except NewerFormat:
        raise
    except Refused as error:
        return JudgedEvent(event, None, "passed over", str(error))
    why = _misfit(record, before)
    if why and newest and not _misfit(record, newest):
        why = ""
    return JudgedEvent(event, record, "passed over" if why else "holds", why)


def _fits(before: Event, after: Event, read: Read) -> bool:
    try:
        return not _misfit(read(after), read(before))
    except NewerFormat:
        raise
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


def live_versions(history: Sequence[Record]) -> list[str]:
    """The versions that led to the live one, which is last: promotions push, rollbacks pop."""
    stack: list[str] = []
    for event in history:
        if getattr(event, "action", "") == "roll back":
            while stack and stack[-1] != event.version:
                stack.pop()
        else:
            stack.append(event.version)
    return stack
