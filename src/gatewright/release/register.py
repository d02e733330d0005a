"""The committed model becomes a version, if the first environment would have it.

It happens whole or not at all: the last step is one push to the branch registry. Whatever stops
the command before that leaves the old state, and running it again completes it.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from gatewright.adapters.console import aside
from gatewright.adapters.dvc import describe, reproduce
from gatewright.adapters.files import read_text, text_digest
from gatewright.adapters.model_file import allowed_types
from gatewright.adapters.signing import sign
from gatewright.contract.schema import Contract, parse_contract
from gatewright.forms.make import Forms, make_forms
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.attestation import not_attested
from gatewright.pipeline.changes import lock_at
from gatewright.pipeline.committed import other_when_checked_out
from gatewright.pipeline.dvc_lock import Lock, parse_lock
from gatewright.pipeline.lock_verification import unlisted_code
from gatewright.pipeline.reproduction import (
    Reproduce,
    changed_stages,
    needed_for,
    reproduce_stages,
)
from gatewright.pipeline.source import Source
from gatewright.pipeline.staleness import read_pipeline
from gatewright.registry.champion import read_source
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import VersionRecord
from gatewright.release import progress, rules
from gatewright.release.semver import next_version
from gatewright.release.smoke_test import golden
from gatewright.release.workspace import Kind, Outcome, Workspace

VERSION_FILES = (MODEL, BASELINE, TRAIN, TEST)


def register(workspace: Workspace, build: bool = False) -> Outcome:
    """Make the committed model a version.

    `build` gets the outputs first, from storage or by running what is not there; a repository
    without a model has nothing to register then.
    """
    return workspace.settle(lambda: _register(workspace, build))


def _register(workspace: Workspace, build: bool) -> Outcome:
    progress.step("1/6 read the registry and check the work tree")
    git, first = workspace.git, workspace.project.environments[0]
    registry = workspace.registry()
    if build and lock_at(git, "HEAD") is None:
        words = "Nothing to register: no model is committed yet. Run `uv run mlops run`."
        return Outcome(Kind.NOTHING_TO_REGISTER, "", words)
    commit = _commit(workspace)
    workspace.require_merged_judges()
    source = Source.at(git, commit)
    contract, pipeline = text_digest(source.contract), text_digest(source.lock)
    match rules.registration(registry.made_from(contract, pipeline)):
        case rules.RegisteredBefore(same):
            words = f"This model is registered already, as {same}."
            return Outcome(Kind.REGISTERED_BEFORE, same, words)
        case rules.Register():
            pass
    if registry.versions:
        newest = registry.version(registry.versions[-1])
        follows = git.ok("merge-base", "--is-ancestor", newest.commit, commit)
        if no := rules.comes_after(newest.version, newest.commit, follows):
            raise rules.refused(no)
    if build:
        progress.step("1/6 get the outputs of the pipeline")
        with aside():
            reproduce(workspace.root)
        _commit(workspace)
    version, because = _number(workspace, registry, source)
    progress.step(f"2/6 ask the gate of {first}")
    verdict = workspace.judge(registry, first, workspace.root, source, commit, version, slices=True)
    if verdict.status:
        return Outcome(
            Kind.REFUSED, version, f"Not registered. {verdict.sentence}", verdict=verdict
        )
    progress.step("3/6 build again what no version has proven")
    how = _reproduced(workspace, registry, parse_lock(source.lock))
    progress.step("4/6 store data and models")
    workspace.storage.push()
    files = [describe(workspace.root, path) for path in VERSION_FILES]
    forms = _forms(workspace, parse_contract(source.contract), first)
    files += forms.files
    progress.step("5/6 verify them at the far end")
    workspace.storage.verify(files, first)
    progress.step(f"6/6 write {version} into the registry")
    record = VersionRecord(
        version=version,
        **workspace.stamp("created"),
        commit=commit,
        because=because,
        contract=contract,
        pipeline=pipeline,
        environment_lock=text_digest(source.environment) if source.environment else None,
        data={p: d for p, d in parse_lock(source.lock).deps.items() if p.startswith("data/raw")},
        files=[vars(file) for file in files],
        metrics=verdict.metrics,
        verdict=verdict.summary,
        golden=golden(workspace.root, parse_contract(source.contract)),
        slices=verdict.slices,
        reproduced=how,
        forms=forms.told or None,
    )
    record = replace(record, signature=sign(workspace.root, record.statement))
    registry.write(record, f"Register {version}", tag=(f"v{version}", commit))
    words = f"Registered {version}: {'; '.join(because)}."
    return Outcome(Kind.REGISTERED, version, words, verdict)


def _forms(workspace: Workspace, contract: Contract, environment: str) -> Forms:
    """Make, prove and store the forms that the contract asks for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forms = make_forms(workspace.root, contract, allowed_types(workspace.root), folder)
        workspace.storage.store(forms.files, folder, environment)
    for form, told in forms.told.items():
        if "refused" in told:
            progress.say(f"it cannot be asked by {form}: {told['refused']}")
    return forms


def _reproduced(workspace: Workspace, registry: Registry, lock: Lock) -> Reproduce:
    """How it is proven that the version's files follow from what is committed.

    Stages that are the newest version's were proven then. Raises Refused where it is not proven.
    """
    how = workspace.project.reproduce
    newest = registry.version(registry.versions[-1]) if registry.versions else None
    proven = None
    if newest and newest.reproduced:
        proven = parse_lock(read_source(workspace.git, newest).lock)
    names = needed_for(lock, VERSION_FILES) & set(changed_stages(lock, proven))
    if how == "attested":
        why = not_attested(workspace.root, workspace.git, "HEAD") if names else None
        if no := rules.is_attested(why):
            raise rules.refused(no)
        return how
    with reproduce_stages(
        workspace.root,
        lock,
        names,
        workspace.storage.get_if_there,
        progress.say,
    ) as again:
        if no := rules.is_reproduced(again.words):
            raise rules.refused(no)
    return how


def _commit(workspace: Workspace) -> str:
    """HEAD, if it is all that the model was made from."""
    git = workspace.git
    changes = git("status", "--porcelain", "--untracked-files=no")
    if no := rules.is_committed(changes):
        raise rules.refused(no)
    workspace.require_committed_judges(everything=True)
    pipeline = read_pipeline(workspace.root)
    lock = parse_lock(read_text(workspace.root / "dvc.lock"))
    other = other_when_checked_out(git, workspace.root)
    unlisted = [*other, *unlisted_code(workspace.root, pipeline, lock)]
    if no := rules.lock_is_honest(unlisted, pipeline.stale):
        raise rules.refused(no)
    return git("rev-parse", "HEAD")


def _number(workspace: Workspace, registry: Registry, source: Source) -> tuple[str, list[str]]:
    """The number of the new version, and why it is that."""
    newest = registry.version(registry.versions[-1]) if registry.versions else None
    return next_version(
        newest.version if newest else None,
        Source.at(workspace.git, newest.commit) if newest else None,
        source,
        registry.used,
    )
