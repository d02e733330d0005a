"""Is dvc.lock honest? Do code, parameters and data agree with it, and are its outputs stored?"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from gatewright.adapters.dvc import Storage, record_stages, run_pipeline
from gatewright.adapters.files import digest, read_text, replace_with, write_whole
from gatewright.adapters.git import Git
from gatewright.errors import Refused
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.changes import find_changes, lock_at
from gatewright.pipeline.committed import other_when_checked_out
from gatewright.pipeline.dvc_lock import Lock, parse_lock
from gatewright.pipeline.reproduction import (
    Reproduce,
    changed_stages,
    needed_for,
    reproduce_stages,
)
from gatewright.pipeline.shadows import local_packages, module_names, shadows
from gatewright.pipeline.stage_code import code_gaps, source_files
from gatewright.pipeline.staleness import Pipeline, read_pipeline
from gatewright.pipeline.work_tree import WorkTree
from gatewright.run_context import current

JUDGED = (MODEL, BASELINE, TRAIN, TEST)
REPORT = "claims.json"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class LockReport:
    """What the candidate's own job found of its dvc.lock; all but names are sentences.

    `unlisted_code` is run by a stage and not watched by DVC; `stale_stages` have other inputs
    than dvc.lock says; `missing_outputs` are in no storage; `not_reproduced` says what did not
    come out of its inputs again. `reproduced` are the stages that were run again.
    """

    affects_model: bool
    unlisted_code: list[str] = field(default_factory=list)
    stale_stages: list[str] = field(default_factory=list)
    missing_outputs: list[str] = field(default_factory=list)
    not_reproduced: list[str] = field(default_factory=list)
    reproduced: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Why the lock is not honest. A missing output is no reason: it was built."""
        return [*self.unlisted_code, *self.stale_stages, *self.not_reproduced]


# What needs no run of the pipeline


def lock_problems(root: Path) -> list[str]:
    """Why dvc.lock does not describe the work tree; outputs that are not here are not looked at.

    Empty where it does, and where there is no dvc.lock.
    """
    if not os.path.lexists(root / "dvc.lock"):
        return []
    lock = parse_lock(read_text(root / "dvc.lock"))
    here = [path for path in lock.outs if (root / path).is_file()]
    pipeline = read_pipeline(root)
    inputs = [f"the inputs of {name} are other ones" for name in pipeline.stale]
    return [*unlisted_code(root, pipeline, lock), *inputs, *lock.differences(root, here)]


def unlisted_code(
    root: Path, pipeline: Pipeline, lock: Lock, held: Collection[str] | None = None
) -> list[str]:
    """What the pipeline's stages run and DVC does not watch, a sentence each; nothing is run.

    `held` are the paths that Git holds, where Git is not to be asked in `root`. Of a stage that
    dvc.yaml does not have nobody knows what it ran.
    """
    if held is None:
        held = [path for path in Git(root)("ls-files", "-z").split("\0") if path]
    orphans = sorted(set(lock.stages) - {stage.name for stage in pipeline.stages})
    tree = WorkTree(root)
    locked = tree.text("uv.lock") if "uv.lock" in held else None
    hidden = filter(tree.hidden, source_files(root))
    read = {dep for stage in pipeline.stages for dep in stage.deps}
    return [
        *(
            f"dvc.lock has a stage {name}, and dvc.yaml has not. Bring it back, or remove it there"
            for name in orphans
        ),
        *pipeline.doubts,
        *(
            f"{path} is in Git, lies in what a stage reads, and .dvcignore hides it from DVC. "
            "Remove it, or what hides it"
            for path in sorted(held)
            if read & {str(place) for place in PurePosixPath(path).parents} and tree.hidden(path)
        ),
        *map(str, code_gaps(root, pipeline.stages, hidden)),
        *local_packages(locked),
        *shadows(held, module_names(locked), tree.text(".env") if ".env" in held else ""),
    ]


def missing_outputs(storage: Storage, lock: Lock, environment: str) -> list[str]:
    """Which of the judged outputs the lock does not name or the environment's storage lacks."""
    remote = storage.remote(environment)
    named = {path: lock.outs.get(path) for path in JUDGED}
    return [path for path, md5 in named.items() if not md5 or not remote.holds(md5)]


# The candidate's own job


def verify_lock(
    root: Path, base: str, environment: str, out: Path, reproduce: Reproduce
) -> LockReport:
    """Find whether dvc.lock is honest, and whether the outputs follow from their inputs.

    Stages that are not the base branch's run again, all of them but where `reproduce` says that
    an attestation stands for that. Writes to the folder `out`: the report; the mended dvc.lock,
    if the one at hand is wrong; the judged outputs, if storage lacks them; and predictions on the
    test rows, if the Python environment is another than the base branch's.
    """
    git, storage = Git(root), Storage(root)
    changes = find_changes(git, base)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if changes.model:
        proven = lock_at(git, base)
        report = _verify(root, storage, environment, out, changes.storage, proven, reproduce)
        if changes.environment and not report.problems:
            _log("the environment changes: score the test rows in it")
            storage.get(path for path in (MODEL, BASELINE, TEST) if not (root / path).is_file())
            _write_predictions(root, out / PREDICTIONS)
    else:
        report = LockReport(affects_model=False)
    write_whole(out / REPORT, json.dumps(asdict(report), indent=2) + "\n")
    return report


def _verify(
    root: Path,
    storage: Storage,
    environment: str,
    out: Path,
    storage_moves: bool,
    proven: Lock | None,
    reproduce: Reproduce,
) -> LockReport:
    """The report on a lock that a model depends on.

    Where the candidate moves the storage, the judge cannot read it there: it gets copies.
    """
    _log("does dvc.lock agree with code, parameters and data?")
    written = read_text(root / "dvc.lock")
    lock, pipeline = parse_lock(written), read_pipeline(root)
    stale = list(pipeline.stale)
    _log("are its outputs in storage?")
    storage.ready()
    absent = missing_outputs(storage, lock, environment)
    # No run of such a pipeline proves anything.
    if unlisted := [*other_when_checked_out(Git(root), root), *unlisted_code(root, pipeline, lock)]:
        return LockReport(True, unlisted, stale, absent)
    if stale:
        _log(f"no ({', '.join(stale)}): run the pipeline, so that there is a mended one")
        storage.get_what_is_there()
        run_pipeline(root)
        if read_text(root / "dvc.lock") != written:
            shutil.copy(root / "dvc.lock", out / "dvc.lock")
        return LockReport(True, [], stale, absent)
    names = set()
    if reproduce == "always":
        names = {*changed_stages(lock, proven), *needed_for(lock, absent)}
    _log(f"do outputs follow from their inputs? To build again: {', '.join(names) or 'nothing'}")
    with reproduce_stages(root, lock, names, storage.get_if_there, _log) as again:
        built = [path for path in JUDGED if (again.folder / path).is_file()]
        if again.mendable or not again.problems:
            outs = [path for name in again.stages for path in lock.stages[name].outs]
            _copy(outs, again.folder, root)
    if again.mendable:
        _log("run what follows, so that there is a mended dvc.lock")
        record_stages(root, again.stages)
        run_pipeline(root)
        shutil.copy(root / "dvc.lock", out / "dvc.lock")
    if not again.problems:
        wanted = JUDGED if storage_moves else [path for path in absent if path in built]
        if current().is_public and not storage.branch.embedded:
            _log("no rows are offered: anybody could download them, and the storage is closed")
            wanted = [path for path in wanted if path not in (TRAIN, TEST)]
        if kept := [path for path in wanted if path not in built]:
            storage.get(kept)
        _copy(wanted, root, out / "files")
    return LockReport(True, [], [], absent, again.words, list(again.stages))


def _copy(paths: Iterable[str], source: Path, folder: Path) -> None:
    for path in paths:
        replace_with(source / path, folder / path)


def _write_predictions(root: Path, path: Path) -> None:
    """The answers of each model by number of the test row; no key and no label is written."""
    from gatewright.contract.schema import read_contract
    from gatewright.evaluation.predictions import offered_answers, score

    contract = read_contract(root)
    _, answers = score(root, contract)
    write_whole(path, offered_answers(answers, contract).to_parquet(index=False))


# What the judge takes from that job


def read_report(folder: Path) -> LockReport:
    """The report that the candidate's job wrote. What it says against itself is believed.

    Raises Refused for a file that is none.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(LockReport).validate_json(read_text(folder / REPORT), strict=True)
    except ValidationError:
        raise Refused(f"{folder / REPORT} is no report that `mlops prove` writes.") from None


def copy_built_output(path: str, md5: str, built: Path, folder: Path) -> bool:
    """Copy an output that the candidate's job built, if it is, byte for byte, what dvc.lock names.

    `built` is the folder that the job wrote; False if the output is not there or other bytes.
    """
    source = built / "files" / path
    if not source.is_file() or source.is_symlink() or digest(source, "md5") != md5:
        return False
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return True


def _log(text: str) -> None:
    print(f"[prove] {text}", file=sys.stderr, flush=True)
