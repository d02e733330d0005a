"""Reading the registry: what is live, what happened, what was live on a given day."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gatewright.adapters.console import print_table
from gatewright.adapters.files import read_text
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Misuse, Refused
from gatewright.registry.event_log import JudgedEvent
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
    print_table(rows, ("environment", "version", "since", "by", "before", "model"))
    print(f"{len(registry.versions)} versions registered.")


def history(root: Path, environment: str | None, at: str | None, as_json: bool) -> None:
    known = _environments(root)
    if environment is not None and environment not in known:
        raise Misuse(f"There is no environment '{environment}'. There are: {', '.join(known)}.")
    events = Registry(root).fetch().judged(environment)
    if at is not None:
        live = live_at([e.record for e in events if e.state == "holds"], _moment(at))
        names = [environment] if environment else known
        if as_json:
            print(json.dumps({n: asdict(live[n]) if n in live else None for n in names}, indent=2))
            return
        rows = [
            (n, live[n].version, live[n].since, live[n].model[:12])
            if n in live
            else (n, "-", "-", "-")
            for n in names
        ]
        print_table(rows, ("environment", "version", "since", "model"))
    elif as_json:
        print(json.dumps([_values(each) for each in events], indent=2))
    else:
        print_table([_row(each) for each in events], ("when", "event", "what", "by", "why"))


def live_at(events: Iterable[Record | None], moment: datetime) -> dict[str, EnvironmentRecord]:
    """The record that was in force in each environment at a moment."""
    live = {}
    for event in events:
        if isinstance(event, EnvironmentRecord) and _moment(event.since) <= moment:
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
    names = parse_yaml(read_text(root / "gates.yaml"), "gates.yaml").get("environments")
    if not isinstance(names, dict) or not names:
        raise Refused("gates.yaml names no environments. Correct it, and run again.")
    return [str(name) for name in names]


def _values(judged: JudgedEvent) -> dict[str, Any]:
    if judged.state == "holds" and judged.record:
        return {"event": _event(judged.record), **asdict(judged.record)}
    event = judged.event
    return {"event": judged.state, "path": event.path, "commit": event.commit, "why": judged.why}


def _row(judged: JudgedEvent) -> tuple[str, ...]:
    if judged.state == "holds" and (record := judged.record):
        return _when(record), _event(record), _what(record), record.by, _why(record)
    commit = f"commit {judged.event.commit[:12]}"
    return "-", judged.state, judged.event.path, commit, judged.why


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
    nobody = "; approved by nobody" if record.run and not record.approved_by else ""
    return record.reason or f"gate: {record.evidence.get('decision')}{nobody}"
