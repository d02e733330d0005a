"""Is dvc.lock honest? Do code, parameters and data agree with it, and are its outputs stored?"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gatewright.adapters.dvc import Pipeline, Storage, hidden, read_pipeline, run_pipeline
from gatewright.adapters.files import digest, read_text, write_whole
from gatewright.adapters.git import Git
from gatewright.errors import Refused
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.changes import find_changes
from gatewright.pipeline.dvc_lock import parse_lock
from gatewright.pipeline.stage_code import code_gaps, source_files

JUDGED = (MODEL, BASELINE, TRAIN, TEST)
FILE = "proof.json"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Proof:
    """What was found of a candidate in its own checkout, by its own environment."""

    model_touched: bool
    stale: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    unwatched: list[str] = field(default_factory=list)

    @property
    def honest(self) -> bool:
        return not self.stale and not self.differences and not self.unwatched


def stale(root: Path) -> list[str]:
    """The stages whose inputs are not those of dvc.lock, by DVC's own judgement."""
    return list(read_pipeline(root).stale)


def unwatched_code(root: Path, pipeline: Pipeline) -> list[str]:
    """What the pipeline's stages run and DVC does not watch, a sentence each; nothing is run.

    Bytecode that Git holds would run in place of a source that did not change.
    """
    gaps = map(str, code_gaps(root, pipeline.stages, hidden(root, source_files(root))))
    bytecode = Git(root)("ls-files", "--", ":(glob)**/__pycache__/**").splitlines()
    return [*gaps, *(f"{path} is bytecode. Remove it: `git rm {path}`" for path in bytecode)]


def disagreements(root: Path) -> list[str]:
    """Where dvc.lock does not agree with what is here; outputs that are not here are not asked."""
    if not (root / "dvc.lock").exists():
        return []
    lock = parse_lock(read_text(root / "dvc.lock"))
    here = [path for path in lock.outs if (root / path).is_file()]
    pipeline = read_pipeline(root)
    inputs = [f"the inputs of {name} are other ones" for name in pipeline.stale]
    return [*unwatched_code(root, pipeline), *inputs, *lock.differences(root, here)]


def missing(storage: Storage, outs: dict[str, str], environment: str) -> list[str]:
    """Which of these outputs (path to md5) the environment's storage lacks."""
    remote = storage.remote(environment)
    return [path for path, md5 in outs.items() if not md5 or not remote.holds(md5)]


def prove(root: Path, base: str, environment: str, out: Path) -> Proof:
    """Find whether dvc.lock is honest; where outputs are missing, build them and compare.

    Writes to `out`: proof.json; the mended dvc.lock, if the one at hand is wrong; what was
    built; predictions on the test rows, if the environment is another than the base branch's.
    """
    git, storage = Git(root), Storage(root)
    changes = find_changes(git, base)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if not changes.model:
        proof = Proof(model_touched=False)
    else:
        proof = _prove(root, storage, environment, out, ship=changes.storage)
        if proof.honest and changes.environment:
            _say("the environment changes: score the test rows in it")
            storage.get([MODEL, BASELINE, TEST])
            _predict(root, out / PREDICTIONS)
    write_whole(out / FILE, json.dumps(asdict(proof), indent=2) + "\n")
    return proof


def _prove(root: Path, storage: Storage, environment: str, out: Path, ship: bool) -> Proof:
    _say("does dvc.lock agree with code, parameters and data?")
    written = read_text(root / "dvc.lock")
    pipeline = read_pipeline(root)
    would_run, unwatched = list(pipeline.stale), unwatched_code(root, pipeline)
    _say("are its outputs in storage?")
    storage.ready()
    outs = {path: parse_lock(written).outs.get(path, "") for path in JUDGED}
    absent = missing(storage, outs, environment)
    if unwatched:  # no run of such a pipeline would prove anything
        return Proof(True, would_run, absent, [], unwatched)
    if not would_run and not absent:
        if ship:
            storage.get(JUDGED)
            _ship(root, out)
        return Proof(True)
    _say(f"no ({', '.join([*would_run, *absent])}); run the pipeline and compare")
    storage.get_what_is_there()
    run_pipeline(root)
    made = read_text(root / "dvc.lock")
    before, after = parse_lock(written).outs, parse_lock(made).outs
    differences = [
        f"{path} is {after.get(path, 'not made')[:12]}, where dvc.lock says "
        f"{before.get(path, 'nothing')[:12]}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
    if made != written:
        shutil.copy(root / "dvc.lock", out / "dvc.lock")
    _ship(root, out)
    return Proof(True, would_run, absent, differences)


def _ship(root: Path, out: Path) -> None:
    for path in JUDGED:
        target = out / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, target)


def _predict(root: Path, path: Path) -> None:
    """The key of each test row with the answers of each model; no label is written."""
    from gatewright.contract.schema import read_contract
    from gatewright.evaluation.predictions import score

    table, _ = score(root, read_contract(root))
    write_whole(path, table.to_parquet(index=False))


def read_proof(folder: Path) -> Proof:
    """A proof that a job of the candidate wrote: what it tells against itself is believed."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Proof).validate_json(read_text(folder / FILE), strict=True)
    except ValidationError:
        raise Refused(f"{folder / FILE} is no proof that `mlops prove` writes.") from None


def take(path: str, md5: str, proof: Path, folder: Path) -> bool:
    """Copy a built output if it is, byte for byte, what dvc.lock names."""
    built = proof / "files" / path
    if not built.is_file() or built.is_symlink() or digest(built, "md5") != md5:
        return False
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(built, target)
    return True


def _say(text: str) -> None:
    print(f"[prove] {text}", file=sys.stderr, flush=True)
