"""The gate of a pull request: its candidate, judged by the base branch.

Policy, gate code, champion and known test rows are the base branch's or the registry's. The
candidate's checkout is read as plain data: neither DVC nor Git opens it, so that none of its
settings count. None of its code runs here.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gatewright.adapters.dvc import Storage, StoredFile
from gatewright.adapters.files import read_text
from gatewright.adapters.git import Git, objects_of
from gatewright.adapters.model_file import allowed_types
from gatewright.contract.schema import parse_contract
from gatewright.errors import Refused
from gatewright.gate import policy
from gatewright.gate.checks.base import Finding
from gatewright.gate.inputs import GateInputs, Loaded, gather
from gatewright.gate.judged_rows import Place, with_judged_rows
from gatewright.gate.verdict import Answer, Later, Verdict, judge
from gatewright.paths import TEST
from gatewright.pipeline.attestation import not_attested
from gatewright.pipeline.changes import (
    Changes,
    find_changes,
    library_in,
    lock_at,
    settings_changes,
)
from gatewright.pipeline.committed import other_when_checked_out
from gatewright.pipeline.dvc_lock import Lock, parse_lock
from gatewright.pipeline.lock_verification import (
    JUDGED,
    PREDICTIONS,
    LockReport,
    copy_built_output,
    read_report,
    unlisted_code,
)
from gatewright.pipeline.pipeline_file import NAME as PIPELINE
from gatewright.pipeline.pipeline_file import parse_pipeline
from gatewright.pipeline.reproduction import Reproduce, changed_stages
from gatewright.pipeline.source import Source
from gatewright.pipeline.staleness import Pipeline, read_pipeline
from gatewright.registry.champion import live_champion
from gatewright.registry.git_registry import Registry, fetch_registry

POLICY = "gates.yaml"
_CHECK = re.compile(r"\bmlops check\b")
_AGREE = "code, parameters and data are those of dvc.lock"
_QUESTION = "Do code, parameters, data and dvc.lock agree, and are the outputs there?"


@dataclass(frozen=True)
class _Candidate:
    """A checkout, the Git that reads its commit from outside, and what its own job wrote.

    `lock` is its dvc.lock, `base` that of the branch that it wants to enter, if it has one.
    """

    checkout: Path
    git: Git
    claims: Path
    lock: Lock
    base: Lock | None


def review(root: Path, candidate: Path, claims: Path) -> Verdict:
    """Judge the checkout `candidate` by the checkout `root` of the branch that it wants to enter.

    `claims` is the folder that the candidate's own job wrote; there may be none. Its outputs are in
    the first environment's storage, whichever environment's policy decides.
    """
    with objects_of(candidate, root) as theirs:
        return _review(root, candidate, theirs, claims)


def _review(root: Path, candidate: Path, theirs: Git, claims: Path) -> Verdict:
    git, storage = Git(root), Storage(root)
    base = git("rev-parse", "HEAD")
    changes = find_changes(theirs, base)
    notes = _notes(theirs, base, changes)
    policies = policy.read_policies(root)
    rules, later = policies.of(policies.pull_request), policies.later(policies.pull_request)
    environment, stored = rules.environment, policies.environments[0]
    if not changes.model:
        finding = Finding("pass", "nothing that a model is made from changes")
        answers = (Answer("lock", _QUESTION, (finding,)),)
        return Verdict(environment, "yes", rules.digest, None, None, answers, {}, notes=notes)
    source = Source.at(theirs, "HEAD")
    lock, proven = parse_lock(source.lock), lock_at(theirs, base)
    asked = _Candidate(candidate, theirs, claims, lock, proven)
    with tempfile.TemporaryDirectory() as name, git.alone():
        folder = Path(name)
        registry = fetch_registry(root, storage) if git.has_remote() else None
        findings = [*_honest(root, asked, policies.reproduce), *_as_committed(asked)]
        findings += _collect(storage, stored, lock, claims, folder)
        known = _known(storage, stored, proven, folder)
        predictions = claims / PREDICTIONS if changes.environment else None
        champion = live_champion(
            *(git, storage, registry, environment, folder / "champion"),
            metrics=policy.champion_metrics(rules),
        )
        contract = theirs.blobs([f"{base}:contract.yaml"])[0]
        names = dict.fromkeys(name for p in (rules, *later) for name in p.metric_names)
        inputs = gather(
            *(rules, folder, source, champion, known, allowed_types(root)),
            review=True,
            predictions=predictions,
            metric_names=tuple(names),
            base=parse_contract(contract) if contract else None,
        )
        # The base branch's rows judge, and not all of these.
        place = Place(git, storage, registry, stored, folder, folder)
        test = proven.outs.get(TEST) if proven else None
        inputs = with_judged_rows(inputs, rules, place, base, test)
        answer = Answer("lock", _QUESTION, tuple(findings))
        return judge(
            *(rules, inputs, (answer,), notes + _test_set(inputs)),
            slices=True,
            later=[Later(p, _live_version(registry, p.environment)) for p in later],
        )


def _live_version(registry: Registry | None, environment: str) -> str | None:
    live = registry.live(environment) if registry else None
    return live.version if live else None


def _held(theirs: Git) -> list[str]:
    """The paths of the candidate's commit."""
    return [p for p in theirs("ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0") if p]


def _honest(root: Path, candidate: _Candidate, reproduce: Reproduce) -> list[Finding]:
    """Whether dvc.lock describes the candidate, and its outputs are what its inputs give."""
    try:
        reported = read_report(candidate.claims)
    except Refused:
        reported = None
    if found := _dishonest(root, candidate, reported):
        return found
    changed = changed_stages(candidate.lock, candidate.base)
    if reproduce == "attested" and changed:
        return [_attested(changed, not_attested(root, candidate.git, "HEAD"))]
    return [_built_again(changed, reported.reproduced if reported else [])]


def _as_committed(candidate: _Candidate) -> list[Finding]:
    """Whether what people and the judge read in the commit is what stages run."""
    other = other_when_checked_out(candidate.git, candidate.checkout)
    return [_no(f"what is judged is not what is run: {'; '.join(other)}")] if other else []


def _dishonest(root: Path, candidate: _Candidate, reported: LockReport | None) -> list[Finding]:
    """What the candidate's files say against its lock, and what its own job told against it."""
    mend = "take the dvc.lock that this run offers as an artifact, or run `uv run mlops run`"
    findings = []
    if reported is None:
        reported = LockReport(True)
        findings.append(_no("the candidate's own job told nothing: see its log"))
    try:
        pipeline = read_pipeline(candidate.checkout)
        held = _held(candidate.git)
        unguarded = _unguarded(root, pipeline)
        unlisted = unlisted_code(candidate.checkout, pipeline, candidate.lock, held)
    except Refused as error:
        return [*findings, _no(str(error).rstrip("."))]
    if unguarded:
        words = (
            f"`{unguarded}` is run by no stage with all of its deps any more: raw data could hold"
        )
        findings.append(_no(f"{words} anything. Bring the stage back as the base branch has it"))
    if unlisted := sorted({*unlisted, *reported.unlisted_code}):
        findings.append(_no(f"it stands on what DVC does not watch: {'; '.join(unlisted)}"))
    if stages := sorted({*pipeline.stale, *reported.stale_stages}):
        findings.append(_no(f"it is stale: {', '.join(stages)} would run again; {mend}"))
    if other := reported.not_reproduced:
        findings.append(_no(f"its outputs do not follow from its inputs: {'; '.join(other)}"))
    return findings


def _unguarded(root: Path, pipeline: Pipeline) -> str | None:
    """The command by which the base branch checks raw data, if the candidate's does not run it."""
    if not (root / PIPELINE).is_file():
        return None
    for stage in parse_pipeline(read_text(root / PIPELINE)):
        commands = [stage.cmd] if isinstance(stage.cmd, str) else stage.cmd
        for command in (c for c in commands if _CHECK.search(c)):
            deps = {*stage.deps.values()}
            if not any(command in s.commands and deps <= s.deps for s in pipeline.stages):
                return command
    return None


def _attested(changed: list[str], why_not: str | None) -> Finding:
    if why_not:
        return _no(f"nothing attests what {', '.join(changed)} gave: {why_not}")
    return Finding("pass", f"{_AGREE}; attested by the workflow that trained: {', '.join(changed)}")


def _built_again(changed: list[str], ran: list[str]) -> Finding:
    """Each stage that is not the base branch's must have run again."""
    if believed := [name for name in changed if name not in ran]:
        return _no(f"not built again by the candidate's own job: {', '.join(believed)}")
    again = f"; built again, byte for byte: {', '.join(changed)}" if changed else ""
    return Finding("pass", f"{_AGREE}{again}")


def _collect(
    storage: Storage, environment: str, lock: Lock, claims: Path, folder: Path
) -> list[Finding]:
    """Put the judged files into `folder`, from storage or, byte for byte, from CI's own build."""
    remote = storage.remote(environment)
    findings, built = [], []
    for path in JUDGED:
        md5 = lock.outs.get(path)
        if md5 is None:
            findings.append(_no(f"dvc.lock names no {path}"))
        elif remote.holds(md5):
            storage.fetch([StoredFile(path, None, md5, 0)], environment, folder)
        elif copy_built_output(path, md5, claims, folder):
            built.append(path)
        else:
            findings.append(
                _no(f"{path} is not in storage: run `uv run mlops push` where you trained it")
            )
    if built:
        words = "not in storage; CI built the same bytes"
        findings.append(Finding("pass", f"{', '.join(built)}: {words}"))
    return findings


def _known(storage: Storage, environment: str, lock: Lock | None, folder: Path) -> Path | None:
    """The test set of the base branch, if it has one."""
    md5 = lock.outs.get(TEST) if lock else None
    if md5 is None:
        return None
    storage.fetch([StoredFile(TEST, None, md5, 0)], environment, folder / "known")
    return folder / "known" / TEST


def _notes(git: Git, base: str, changes: Changes) -> tuple[str, ...]:
    """What a reader must know: which of the judges themselves would change."""
    notes = []
    judges = changes.judges()
    if POLICY in judges:
        old, new = git.blobs([f"{base}:{POLICY}", f"HEAD:{POLICY}"])
        would = settings_changes(old, new, POLICY) or ["words only"]
        notes.append(f"It changes the policy, {POLICY}: {'; '.join(would)}")
    if others := [path for path in judges if path != POLICY]:
        shown = ", ".join(others[:8]) + (f" and {len(others) - 8} more" if others[8:] else "")
        notes.append(f"It changes what judges: {shown}")
    before, after = map(library_in, git.blobs([f"{base}:uv.lock", "HEAD:uv.lock"]))
    if before != after:
        notes.append(f"It changes the library that judges: gatewright {before} -> {after}")
    if changes.environment:
        notes.append(
            "It changes the environment: these predictions were made by the candidate's own, in a "
            "job of its own; `mlops register` measures again after the merge"
        )
    return tuple(notes)


def _test_set(inputs: GateInputs) -> tuple[str, ...]:
    if not isinstance(inputs.holdout, Loaded):
        return ()  # the check of it says why
    rows = inputs.holdout.value
    if not (rows.gone or rows.changed or rows.added):
        return ()
    return (
        f"It changes the test set: {rows.gone:,} rows go, {rows.changed:,} change, "
        f"{rows.added:,} come; judged here are the known rows",
    )


def _no(words: str) -> Finding:
    return Finding("refuse", words)
