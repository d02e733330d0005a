"""One command for several environments: each judges for itself, and nothing is measured twice."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
from parcels import Project

from gatewright.adapters import files
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import measure
from gatewright.evaluation.operations import footprints
from gatewright.gate.inputs import GateInputs, Loaded, Unavailable
from gatewright.gate.same_inputs import are_same
from gatewright.paths import MODEL
from gatewright.release import workspace

THROUGH = ("promote", "1.1.0", "--to", "staging", "--to", "production")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> tuple[Mock, Mock]:
    """How often answers were measured, and how often models were timed."""
    counted = Mock(wraps=measure), Mock(wraps=footprints)
    monkeypatch.setattr("gatewright.gate.inputs.measure", counted[0])
    monkeypatch.setattr("gatewright.gate.checks.operations.footprints", counted[1])
    return counted


def told(project: Project) -> list[Any]:
    """The promotions, without the times of clocks and models."""
    events = project.ask("history")[-2:]
    for event in events:
        del event["since"]
        found = event["evidence"]["findings"]
        event["evidence"]["findings"] = [x for x in found if not x.startswith("operations")]
        assert len(found) > len(event["evidence"]["findings"]) > 10
    return list(events)


def test_what_is_the_same_is_measured_once_and_gives_the_same_events(
    second: Project, measured: tuple[Mock, Mock], tmp_path: Path
) -> None:
    (tmp_path / "one by one").mkdir()
    other = second.copy(tmp_path / "one by one")
    for environment in ("staging", "production"):
        other.mlops("promote", "1.1.0", "--to", environment)
    assert [each.call_count for each in measured] == [2, 2]
    for each in measured:
        each.reset_mock()
    said = second.mlops(*THROUGH)
    assert said.out == "1.1.0 is live in staging.\n1.1.0 is live in production.\n"
    assert [each.call_count for each in measured] == [1, 1]
    assert told(second) == told(other)
    assert second.live() == dict.fromkeys(("dev", "staging", "production"), "1.1.0")


def test_another_champion_is_measured_anew(second: Project, measured: tuple[Mock, Mock]) -> None:
    second.mlops("promote", "1.1.0", "--to", "staging")
    second.retrain(0.25)
    second.mlops("register")
    for each in measured:
        each.reset_mock()
    words = (word for name in ("dev", "staging", "production") for word in ("--to", name))
    second.mlops("promote", "1.2.0", *words)
    assert [each.call_count for each in measured] == [2, 2], "1.0.0 is live in production only"
    champions = [event["evidence"]["champion"] for event in second.ask("history")[-3:]]
    assert champions == ["1.1.0", "1.1.0", "1.0.0"]


def test_each_environment_judges_by_its_own_policy_up_to_the_first_no(second: Project) -> None:
    second.edit("gates.yaml", "roc_auc: {min: 0.72}", "roc_auc: {min: 0.95}")
    second.merge("Production asks for more")
    said = second.mlops(*THROUGH, expect=1)
    assert "1.1.0 is live in staging." in said.out
    assert "1.1.0 was not promoted. No: the model may not enter production." in said.out
    assert second.live() == {"dev": "1.1.0", "staging": "1.1.0", "production": "1.0.0"}


def test_after_a_no_the_next_is_not_asked(second: Project) -> None:
    second.edit("gates.yaml", "staging: {}", "staging: {bounds: {metrics: {roc_auc: {min: 0.95}}}}")
    second.merge("Staging asks for more")
    said = second.mlops(*THROUGH, expect=1)
    assert "production" not in said.out
    assert second.live() == {"dev": "1.1.0", "staging": "1.0.0", "production": "1.0.0"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--to", "staging", "--to", "nowhere"), "There is no environment 'nowhere'"),
        (("--to", "staging", "--to", "production", "--json"), "--json answers for one environment"),
    ],
)
def test_wrong_words_promote_nothing(words: tuple[str, ...], why: str, second: Project) -> None:
    before = second.registry()
    assert why in second.mlops("promote", "1.1.0", *words, expect=64).err
    assert second.registry() == before


def test_the_workflow_is_told_that_all_of_it_is_live(
    second: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    second.edit("gates.yaml", "roc_auc: {min: 0.72}", "roc_auc: {min: 0.95}")
    second.merge("Production asks for more")
    second.mlops(*THROUGH, expect=1)
    assert output.read_text() == "live=false\n"
    second.edit("gates.yaml", "roc_auc: {min: 0.95}", "roc_auc: {min: 0.72}")
    second.merge("Production asks for less")
    second.mlops(*THROUGH)
    assert output.read_text() == "live=false\nlive=true\n"


def test_nothing_is_left_behind(second: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    folder = tempfile.TemporaryDirectory

    def noted(*words: Any, **more: Any) -> Any:
        made.append(Path((kept := folder(*words, **more)).name))
        return kept

    monkeypatch.setattr("tempfile.TemporaryDirectory", noted)
    second.mlops(*THROUGH)
    assert made
    assert not any(path.exists() for path in made)


# What is the same


@pytest.fixture
def evidence(second: Project, monkeypatch: pytest.MonkeyPatch) -> GateInputs:
    """What the gate was asked about in dev, whose files are still there."""
    seen: list[GateInputs] = []

    def keep(known: GateInputs, _: GateInputs) -> bool:
        seen.append(known)
        raise Refused("Enough.")

    monkeypatch.setattr(workspace, "are_same", keep)
    monkeypatch.chdir(second.root)
    space = workspace.Workspace(second.root)
    with space.measuring_once():
        space.judge_work_tree("staging")
        with pytest.raises(Refused, match="Enough"):
            space.judge_work_tree("production")
    champion = seen[0].champion
    assert champion is not None
    live = replace(champion, model=second.root / MODEL, train=None, baseline=None)
    return replace(seen[0], root=second.root, champion=live, known_test=None)


def test_the_same_is_the_same_wherever_its_files_lie(evidence: GateInputs, tmp_path: Path) -> None:
    assert are_same(evidence, evidence)
    copy = tmp_path / "model.skops"
    copy.write_bytes((evidence.root / MODEL).read_bytes())
    assert evidence.champion is not None
    assert are_same(evidence, replace(evidence, champion=replace(evidence.champion, model=copy)))


ROWS = pd.DataFrame({"number": [1]})
OTHER: dict[str, dict[str, Any]] = {
    "another metric": {"metric_names": ("log_loss",)},
    "no champion": {"champion": None},
    "rows that wait": {"waiting": Loaded(ROWS)},
    "rows that cannot be had": {"waiting": Unavailable("gone")},
    "known rows may change": {"may_change": True},
    "another number": {"version": "9.9.9"},
    "holes": {"holes": ("a hole",)},
}


@pytest.mark.parametrize("fields", OTHER.values(), ids=OTHER.keys())
def test_what_is_asked_otherwise_is_measured_anew(
    fields: dict[str, Any], evidence: GateInputs
) -> None:
    assert not are_same(evidence, replace(evidence, **fields))


def test_rows_that_wait_are_compared(evidence: GateInputs) -> None:
    one, same = (replace(evidence, waiting=Loaded(ROWS.copy())) for _ in range(2))
    assert are_same(one, same)
    assert not are_same(one, replace(one, waiting=Loaded(ROWS.assign(number=2))))


def test_other_bytes_are_measured_anew(evidence: GateInputs, tmp_path: Path) -> None:
    assert evidence.champion is not None
    other = tmp_path / "model.skops"
    files.write_whole(other, b"other bytes")
    changed = replace(evidence.champion, model=other)
    assert not are_same(evidence, replace(evidence, champion=changed))
    gone = replace(evidence.champion, model=tmp_path / "gone")
    assert not are_same(evidence, replace(evidence, champion=gone))
    best = replace(evidence.champion, best=changed)
    assert not are_same(evidence, replace(evidence, champion=best))
