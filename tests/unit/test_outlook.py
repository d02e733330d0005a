"""What later environments would say of a model, by what was measured once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skops.io
from parcels import CONTRACT, make_model, make_rows

from gatewright.adapters.files import digest
from gatewright.contract.schema import parse_contract
from gatewright.errors import Refused
from gatewright.gate import inputs as gate_inputs
from gatewright.gate import verdict as judging
from gatewright.gate.checks import CHECKS
from gatewright.gate.checks.base import Finding
from gatewright.gate.checks.behaviour import BehaviourCheck
from gatewright.gate.checks.operations import OperationsCheck
from gatewright.gate.inputs import GateInputs
from gatewright.gate.policy import parse_policies
from gatewright.gate.verdict import Later, Outlook, Verdict, judge
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.dvc_lock import Lock
from gatewright.registry.champion import Champion

GATES = """\
sampling: {resamples: 200}
cannot_tell: {dev: warn}
own_checks: {where: {function: where_checks:where}}
checks:
  rows: {min: 500, min_each_class: 100}
  bounds: {metrics: {roc_auc: {min: 0.70}}}
  baseline: {metrics: {roc_auc: 0.02}}
  champion: {metrics: {roc_auc: 0.05}}
  leakage: {time_order: allow}
environments:
  dev: {}
  staging:
    bounds: {metrics: {jaccard: {min: 0.2}}}
  production:
    bounds: {metrics: {roc_auc: {min: 0.95}}}
"""
OWN = "def where(environment):\n    yield 'pass', environment\n"
COMPARE = (
    *("holdout", "contract", "champion", "cost", "slices"),
    *("leakage", "data", "operations"),
)


class Candidate:
    """Files of a candidate, a champion that has the same, and how often they were measured."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        for folder in ("model", "data/split"):
            (root / folder).mkdir(parents=True)
        make_rows(1500).drop(columns="email").to_parquet(root / TEST)
        make_rows(1500, 5000).drop(columns="email").to_parquet(root / TRAIN)
        skops.io.dump(make_model(), root / MODEL)
        skops.io.dump(make_model(1.0, 0.0), root / BASELINE)
        (root / "where_checks.py").write_text(OWN)
        monkeypatch.syspath_prepend(str(root))
        # In this process, or what is counted would be counted in the copy that judges.
        monkeypatch.setattr(judging, "apart", lambda work, _: work())
        self.calls: dict[str, int] = {}
        for name in ("measure", "answer"):
            counted = self.counted(name, getattr(gate_inputs, name))
            monkeypatch.setattr(gate_inputs, name, counted)

        def operations(settings: Any, rows: Any) -> list[Finding]:
            return [Finding("pass", "measured")]

        def behaviour(settings: Any, rows: Any) -> list[Finding]:
            self.calls["behaviour"] = self.calls.get("behaviour", 0) + 1
            return [Finding("pass", "measured")]

        monkeypatch.setattr(OperationsCheck, "check", staticmethod(operations))
        monkeypatch.setattr(BehaviourCheck, "check", staticmethod(behaviour))

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            return function(*words, **named)

        return call

    def judge(self, gates: str = GATES, **live: str | None) -> Verdict:
        policies, contract = parse_policies(gates), parse_contract(CONTRACT)
        first, later = policies.of(policies.pull_request), policies.later(policies.pull_request)
        paths = (MODEL, BASELINE, TRAIN, TEST)
        lock = Lock({path: digest(self.root / path, "md5") for path in paths}, {}, {})
        requests = [{"request": {"weight": 1.0, "height": 1.0}}]
        model, train = self.root / MODEL, self.root / TRAIN
        champion = Champion("1.0.0", model, contract, train, requests)
        names = dict.fromkeys(name for p in (first, *later) for name in p.metric_names)
        given = GateInputs(
            *(self.root, contract, lock, champion, first.sampling), metric_names=tuple(names)
        )
        there = [Later(p, live.get(p.environment, "1.0.0")) for p in later]
        return judge(first, given, later=there)


@pytest.fixture
def candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candidate:
    return Candidate(tmp_path, monkeypatch)


def outlook(verdict: Verdict) -> dict[str, Outlook]:
    return {later.environment: later for later in verdict.outlook}


def test_later_bounds_are_held_against_what_was_measured_once(candidate: Candidate) -> None:
    verdict = candidate.judge()
    assert verdict.decision == "yes", verdict.sentence
    later = outlook(verdict)
    assert list(later) == ["staging", "production"]
    assert later["staging"] == Outlook("staging", "yes", "1.0.0", ())
    assert later["production"].decision == "no"
    (why,) = later["production"].findings
    assert why.startswith("bounds: roc_auc: 0.8")
    assert candidate.calls == {"measure": 1, "answer": 3, "behaviour": 1}


def test_what_only_warns_here_would_stop_there(candidate: Candidate) -> None:
    gates = GATES.replace("bounds: {metrics: {roc_auc: {min: 0.70}}}", "bounds: {metrics: AUC}")
    value = candidate.judge().metrics["roc_auc"]["candidate"]["value"]
    gates = gates.replace("AUC", f"{{roc_auc: {{min: {value:.4f}}}}}")
    verdict = candidate.judge(gates)
    assert verdict.decision == "yes"
    assert "Not proven, and let pass by cannot_tell: bounds" in verdict.notes
    staging = outlook(verdict)["staging"]
    assert staging.decision == "undecided"
    assert "would not take it, because it is not proven: bounds: roc_auc" in staging.sentence


@pytest.mark.parametrize("version", ["0.9.0", None])
def test_against_another_champion_nothing_is_claimed(
    version: str | None, candidate: Candidate
) -> None:
    later = outlook(candidate.judge(staging=version, production=version))
    assert (later["staging"].decision, later["staging"].not_asked) == ("open", COMPARE)
    assert f"{version or 'nothing'} is live there: holdout" in later["staging"].sentence
    assert later["production"].decision == "no"


def test_what_would_ask_the_model_again_is_not_asked(candidate: Candidate) -> None:
    gates = GATES.replace(
        "jaccard: {min: 0.2}}}", "jaccard: {min: 0.2}}}\n    behaviour: {rows: 60}"
    )
    staging = outlook(candidate.judge(gates))["staging"]
    assert (staging.decision, staging.not_asked) == ("open", ("behaviour",))
    assert candidate.calls["behaviour"] == 1


def test_an_exception_holds_where_it_is_for(candidate: Candidate) -> None:
    excused = "{id: X, check: bounds, environment: production, reason: it is a test of this,"
    gates = f"exceptions: [{excused} owner: ada, expires: 2999-01-01}}]\n{GATES}"
    assert outlook(candidate.judge(gates))["production"].decision == "yes"


def test_another_environment_may_decide_a_pull_request(candidate: Candidate) -> None:
    verdict = candidate.judge(f"pull_request: production\n{GATES}")
    assert (verdict.environment, verdict.decision, verdict.outlook) == ("production", "no", ())
    assert parse_policies(GATES).pull_request == "dev"


def test_an_environment_that_there_is_not_decides_nothing() -> None:
    with pytest.raises(Refused, match="line 2: pull_request names no environment of this file: qa"):
        parse_policies("sampling: {}\npull_request: qa\n" + GATES.partition("\n")[2])


# What cannot be had, and what is broken


def test_a_bug_on_the_way_to_an_input_is_told_by_all_that_need_it(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a column")

    monkeypatch.setattr(gate_inputs, "measure", broken)
    verdict = candidate.judge()
    assert (verdict.decision, verdict.metrics) == ("no", {})
    causes = {check: finding.cause for check, finding in verdict.found("refuse")}
    needing = ("bounds", "baseline", "champion", "slices", "leakage")
    assert causes == dict.fromkeys(needing, "internal error")
    message = verdict.found("refuse")[0][1].message
    assert "internal error: KeyError: 'a column' (" in message
    assert "line" in message
    assert "could not be measured" not in str(verdict)


def test_what_a_check_asks_for_is_an_input() -> None:
    given = {"settings", *vars(GateInputs), *GateInputs.__dataclass_fields__}
    for check in CHECKS:
        assert set(inspect.signature(check.check).parameters) <= given, check.id


def test_a_refusal_is_told_as_one(candidate: Candidate) -> None:
    (candidate.root / BASELINE).write_bytes(b"")
    verdict = candidate.judge()
    causes = {check: finding.cause for check, finding in verdict.found("refuse")}
    assert set(causes.values()) == {"unavailable"}
    assert {"bounds", "baseline", "champion", "slices"} <= set(causes)
    assert "internal error" not in str(verdict)


def test_a_bug_of_the_library_is_told_with_its_own_line(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_inputs, "chosen", lambda *_: [None])
    message = candidate.judge().found("refuse")[0][1].message
    assert "internal error: AttributeError" in message
    assert "(gatewright/evaluation/bootstrap.py, line " in message
