"""Reading the registry: what is live, what happened, what was live on a given day."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gatewright.adapters.files import read_text
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Misuse
from gatewright.registry.event_log import Told
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import EnvironmentRecord, Record, RetirementRecord, VersionRecord


def status(root: Path, as_json: bool) -> None:
    registry = Registry(root).fetch()
    live = {name: registry.live(name) for name in _environments(root)}
    if as_json:
        print(json.dumps({n: asdict(r) if r else None for n, r in live.items()}, indent=2))
        return
    rows = [
        (name, r.version, r.since, r.by, r.previous or "-", r.model[:12])
        if r
        else (name, "-", "-", "-", "-", "-")
        for name, r in live.items()
    ]
    _table(("environment", "version", "since", "by", "before", "model"), rows)
    print(f"{len(registry.versions)} versions registered.")


def history(root: Path, environment: str | None, at: str | None, as_json: bool) -> None:
    known = _environments(root)
    if environment is not None and environment not in known:
        raise Misuse(f"There is no environment '{environment}'. There are: {', '.join(known)}.")
    told = Registry(root).fetch().told(environment)
    if at is not None:
        live = live_at([t.record for t in told if t.state == "holds"], _moment(at))
        names = [environment] if environment else known
        if as_json:
            print(json.dumps({n: asdict(live[n]) if n in live else None for n in names}, indent=2))
            return
        rows: list[tuple[Any, ...]] = [
            (n, live[n].version, live[n].since, live[n].model[:12])
            if n in live
            else (n, "-", "-", "-")
            for n in names
        ]
        _table(("environment", "version", "since", "model"), rows)
    elif as_json:
        print(json.dumps([_values(each) for each in told], indent=2))
    else:
        _table(("when", "event", "what", "by", "why"), [_row(each) for each in told])


def live_at(events: Iterable[Record | None], moment: datetime) -> dict[str, EnvironmentRecord]:
    """The record that was in force in each environment at a moment."""
    live = {}
    for event in events:
        if isinstance(event, EnvironmentRecord) and datetime.fromisoformat(event.since) <= moment:
            live[event.environment] = event
    return live


def _moment(text: str) -> datetime:
    """A day means its end, in UTC."""
    try:
        moment = datetime.fromisoformat(text if "T" in text else f"{text}T23:59:59.999999")
    except ValueError:
        raise Misuse(f"'{text}' is no date; write 2026-03-31 or 2026-03-31T14:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _environments(root: Path) -> list[str]:
    # Not by the policy's own reader: that imports all that the gate needs, for half a second.
    return list(parse_yaml(read_text(root / "gates.yaml"), "gates.yaml").get("environments", {}))


def _values(told: Told) -> dict[str, Any]:
    if told.state == "holds" and told.record:
        return {"event": _event(told.record), **asdict(told.record)}
    event = told.event
    return {"event": told.state, "path": event.path, "commit": event.commit, "why": told.why}


def _row(told: Told) -> tuple[Any, ...]:
    if told.state == "holds" and (record := told.record):
        return _when(record), _event(record), _what(record), record.by, _why(record)
    return "-", told.state, told.event.path, f"commit {told.event.commit[:12]}", told.why


def _event(record: Record) -> str:
    if isinstance(record, EnvironmentRecord):
        return record.action
    return "register" if isinstance(record, VersionRecord) else "retire"


def _when(record: Record) -> str:
    return record.created if isinstance(record, VersionRecord) else record.since


def _what(record: Record) -> str:
    if isinstance(record, EnvironmentRecord):
        return f"{record.environment}: {record.previous or 'nothing'} -> {record.version}"
    return record.version


def _why(record: Record) -> str:
    if isinstance(record, VersionRecord):
        return "; ".join(record.because)
    if isinstance(record, RetirementRecord):
        return record.reason
    return record.reason or f"gate: {record.evidence.get('decision')}"


def _table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    cells = [header, *[tuple(map(str, row)) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for number, row in enumerate(cells):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
        if number == 0:
            print("  ".join("-" * width for width in widths))
