"""Which events hold: every history of five events by commands and by somebody else."""

from __future__ import annotations

from itertools import product

import pytest

from gatewright.errors import Refused
from gatewright.registry.event_log import Event, judge_events, judge_last
from gatewright.registry.records import EnvironmentRecord, Record, RetirementRecord

PATH = "environments/dev.yaml"


class Branch:
    """The file of one environment, and what each content says."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.says: dict[str, Record] = {}
        self.good: list[str | None] = [None]  # what the file held by commands

    @property
    def now(self) -> str | None:
        return self.events[-1].content if self.events else None

    def put(self, content: str | None) -> None:
        if content != self.now:
            number = len(self.events)
            self.events.append(Event(number, f"c{number}", PATH, content))

    def new(self, version: str, previous: str | None) -> str:
        content = f"content {len(self.says)}"
        self.says[content] = record(version, previous)
        return content

    def read(self, event: Event) -> Record:
        if event.content not in self.says:
            raise Refused("no record")
        return self.says[event.content]

    def command(self) -> None:
        """A promotion; no command does anything on what does not hold."""
        if self.now == self.good[-1]:
            before = self.says[self.now].version if self.now else None
            self.put(self.new(f"1.{len(self.says)}.0", before))
            self.good.append(self.now)

    def forge(self) -> None:
        self.put(self.new("9.0.0", "8.0.0"))

    def chain(self) -> None:
        """Somebody writes a record that fits the newest one, whoever wrote that."""
        newest = list(dict.fromkeys(e.content for e in self.events if e.content))[-1:]
        if newest and newest[0] in self.says:
            self.put(self.new(f"9.{len(self.says)}.0", self.says[newest[0]].version))
            self.good.append(self.now)

    def junk(self) -> None:
        self.put(f"junk {len(self.events)}")

    def replay(self) -> None:
        self.put(next((e.content for e in self.events if e.content), None))

    def remove(self) -> None:
        self.put(None)

    def revert(self) -> None:
        self.put(self.good[-1])


def record(version: str, previous: str | None) -> EnvironmentRecord:
    return EnvironmentRecord(
        "dev", version, "promote", "2026-01-01", "ada", None, None, None, previous, "0" * 64, {}
    )


@pytest.mark.parametrize("first", ["command", "forge"])
def test_only_what_commands_wrote_holds_and_the_last_of_it_can_be_put_back(first: str) -> None:
    words = ("command", "forge", "chain", "junk", "replay", "remove", "revert")
    for others in product(words, repeat=4):
        branch = Branch()
        for word in (first, *others):
            getattr(branch, word)()
        told = judge_events(branch.events, branch.read)
        held = [each.event.content for each in told if each.state == "holds"]
        assert [None, *held] == branch.good, others
        if told:
            assert judge_last(branch.events, branch.read) == told[-1], others
            assert (told[-1].state == "passed over") == (branch.now != branch.good[-1]), others


def test_what_is_written_once_holds_as_it_was_first() -> None:
    says: dict[str | None, Record] = {
        "a": RetirementRecord("1.0.0", "2026-01-01", "ada", None, "it leaks"),
        "b": RetirementRecord("1.0.0", "2026-01-01", "ada", None, "never mind"),
    }
    path = "retired/1.0.0.yaml"
    contents = ["a", "b", None, "a"]
    events = [Event(n, f"c{n}", path, content) for n, content in enumerate(contents)]
    told = judge_events(events, lambda event: says[event.content])
    assert [each.state for each in told] == ["holds", "passed over", "passed over", "put back"]
    assert "another record of 1.0.0" in told[1].why


def test_the_last_event_is_told_from_few_records() -> None:
    branch = Branch()
    for _ in range(500):
        branch.command()
    read: list[int] = []

    def reading(event: Event) -> Record:
        read.append(event.number)
        return branch.read(event)

    assert judge_last(branch.events, reading).state == "holds"
    assert set(read) == {498, 499}
