"""Choosing thresholds: replay a policy over history, or start from what is live."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gatewright.adapters.model_file import allowed_types
from gatewright.adapters.strict_yaml import to_yaml
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import Measured
from gatewright.evaluation.intervals import to_digits
from gatewright.gate.inputs import BASELINE, CANDIDATE, CHAMPION, GateInputs, gather
from gatewright.gate.judged_rows import Place, with_judged_rows
from gatewright.gate.policy import Policy
from gatewright.gate.verdict import judge, measured_by
from gatewright.paths import TEST
from gatewright.pipeline.source import Source
from gatewright.registry.champion import fetch_champion
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import EnvironmentRecord, VersionRecord
from gatewright.release import progress
from gatewright.release.workspace import Workspace


@dataclass(frozen=True)
class Replayed:
    """What the policy at hand says of a version that was registered before."""

    version: str
    champion: str | None
    decision: str
    stopped: list[str]


def replay(workspace: Workspace, environment: str, as_json: bool) -> str:
    """Which of the registered versions would pass, judged by the policy at hand.

    Each is compared with what was live in the environment when it was registered, on the rows that
    judged then, and what they had been asked before counts.
    """
    rules = workspace.project.policy(environment)
    with workspace.git.alone():
        registry = workspace.registry()
        if not registry.versions:
            raise Refused("No version is registered, so there is no history to replay.")
        rows = []
        for number, version in enumerate(registry.versions, 1):
            progress.step(f"{number}/{len(registry.versions)} {version}")
            rows.append(_replayed(workspace, registry, rules, registry.version(version)))
    if as_json:
        return json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n"
    lines = []
    for row in rows:
        against = f"against {row.champion}" if row.champion else "as the first"
        lines.append(f"{row.version}  {row.decision:9}  {against}")
        lines += [f"    {line}" for line in row.stopped]
    good = sum(row.decision == "yes" for row in rows)
    lines.append(f"{good} of {len(rows)} versions would enter {environment}.")
    return "\n".join(lines) + "\n"


def _replayed(
    workspace: Workspace, registry: Registry, rules: Policy, record: VersionRecord
) -> Replayed:
    first = workspace.project.environments[0]
    before = _live_before(registry, record, rules.environment)
    with tempfile.TemporaryDirectory() as name:
        folder, other = Path(name) / "candidate", Path(name) / "champion"
        workspace.storage.fetch(record.stored, first, folder)
        champion = None
        if before is not None:
            earlier = registry.version(before)
            champion = fetch_champion(workspace.git, workspace.storage, earlier, first, other)
        known = other / TEST if champion else None
        source = Source.at(workspace.git, record.commit)
        inputs = gather(rules, folder, source, champion, known, allowed_types(workspace.root))
        place = Place(*(workspace.git, workspace.storage, registry, first, folder, Path(name)))
        test = inputs.lock.outs.get(TEST)
        inputs = with_judged_rows(inputs, rules, place, record.commit, test, until=record.created)
        verdict = judge(rules, inputs)
    stopped = [*verdict.lines("refuse"), *verdict.lines("unsure")]
    return Replayed(record.version, before, verdict.decision, stopped)


def _live_before(registry: Registry, record: VersionRecord, environment: str) -> str | None:
    """What was live in the environment before any promotion of the version itself."""
    live = None
    for event in registry.history(environment):
        if not isinstance(event, EnvironmentRecord):
            continue
        if event.version == record.version or event.since > record.created:
            break
        live = event.version
    return live


def propose(workspace: Workspace, environment: str, as_json: bool) -> str:
    """Thresholds that follow from a model's own intervals, to paste into gates.yaml.

    The model is what is live in the environment, or where nothing is, that in the work tree.

    A bound is where its interval ends, on the side on which it is bad. A margin is the smallest
    difference from the version before it (else from the baseline) that the test rows would show:
    less would often leave "cannot tell", more would let through what could have been seen.
    """
    rules, types = workspace.project.policy(environment), allowed_types(workspace.root)
    with workspace.git.alone(), tempfile.TemporaryDirectory() as name:
        registry = workspace.registry() if workspace.git.has_remote() else None
        live = registry.live(environment) if registry else None
        if registry and live:
            inputs = _of_live(workspace, registry, rules, live.version, Path(name))
        else:
            source = Source.in_work_tree(workspace.root)
            inputs = gather(rules, workspace.root, source, None, None, types)
        measured = measured_by(rules, inputs)
    checks = _proposed(measured, _asked(rules, "bounds"), _asked(rules, "champion"))
    if as_json:
        return json.dumps({"from": live and live.version, "checks": checks}, indent=2) + "\n"
    origin = f"{live.version}, live in {environment}" if live else "the model in the work tree"
    return f"# From {origin}.\n" + to_yaml({"checks": checks})


def _of_live(
    workspace: Workspace, registry: Registry, rules: Policy, version: str, folder: Path
) -> GateInputs:
    """What is live in an environment, compared with what was live there before it."""
    environment, record = rules.environment, registry.version(version)
    workspace.storage.fetch(record.stored, environment, folder)
    source = Source.at(workspace.git, record.commit)
    before, champion = _live_before(registry, record, environment), None
    if before is not None:
        earlier = registry.version(before)
        champion = fetch_champion(
            workspace.git, workspace.storage, earlier, environment, folder / "before"
        )
    return gather(rules, folder, source, champion, None, allowed_types(workspace.root))


def _asked(rules: Policy, check: str) -> list[str]:
    return list(getattr(rules.settings[check], "metrics", {}))


def _proposed(measured: Measured, bounds: list[str], margins: list[str]) -> dict[str, Any]:
    higher = {metric.name: metric.higher_is_better for metric in measured.metrics}
    other = CHAMPION if CHAMPION in measured.models else BASELINE
    got = {name: measured.estimate(name, CANDIDATE) for name in (*bounds, *margins)}
    return {
        "bounds": {
            "metrics": {
                name: {"min": to_digits(got[name].low, 3, -1)}
                if higher[name]
                else {"max": to_digits(got[name].high, 3, 1)}
                for name in bounds
            }
        },
        "champion": {
            "metrics": {
                name: to_digits(measured.smallest(name, CANDIDATE, other), 3, 1) for name in margins
            }
        },
    }
