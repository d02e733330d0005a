"""What the registry says: who was live where, and when."""

from __future__ import annotations

from typing import Any

from parcels import Project

from gatewright.registry.event_log import live_versions
from gatewright.registry.git_registry import EnvironmentRecord


def test_a_version_holds_what_it_is_made_from(released: Project) -> None:
    record = released.record("1.0.0")
    assert record["because"] == ["the first version"]
    assert record["commit"] == released.git("rev-parse", "main")
    assert {f["path"] for f in record["files"]} == {
        "model/model.skops",
        "model/baseline.skops",
        "data/split/test.parquet",
        "data/split/train.parquet",
    }
    assert record["verdict"]["decision"] == "yes"
    assert record["data"].keys() == {"data/raw"}
    assert released.git("cat-file", "-t", "refs/mlops/origin/tags/v1.0.0") == "tag"


def test_history_and_what_was_live_then(second: Project) -> None:
    events = second.ask("history")
    assert [(e["event"], e["version"]) for e in events] == [
        ("register", "1.0.0"),
        *[("promote", "1.0.0")] * 3,
        ("register", "1.1.0"),
        ("promote", "1.1.0"),
    ]
    assert second.ask("history", "--at", "2001-01-01")["dev"] is None
    assert second.ask("history", "dev", "--at", "2999-01-01T00:00")["dev"]["version"] == "1.1.0"
    shown = second.mlops("history", "dev").out
    assert "dev: 1.0.0 -> 1.1.0" in shown
    assert "1.1.0" in second.mlops("history", "--at", "2999-01-01").out
    assert "2 versions registered." in second.mlops("status").out


def record(action: Any, version: str) -> EnvironmentRecord:
    return EnvironmentRecord(
        "dev", version, action, "2026-01-01", "", None, None, None, None, "", {}
    )


def test_the_stack_of_live_versions() -> None:
    events = [record("promote", v) for v in ("1", "2", "3")]
    events += [record("roll back", "1"), record("promote", "4"), record("roll back", "1")]
    assert live_versions(events[:3]) == ["1", "2", "3"]
    assert live_versions(events) == ["1"]
