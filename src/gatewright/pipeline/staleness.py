"""Which stages of the pipeline do not agree with dvc.lock: what `dvc repro` would run again.

Nothing need be here but what Git holds. Of data that is not here, the digest counts that its
stage in dvc.lock or its .dvc file names.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gatewright.adapters.dvc import as_dvc_reads
from gatewright.adapters.strict_yaml import as_python_reads
from gatewright.errors import Refused
from gatewright.pipeline.dvc_lock import LockedStage, locked_stages
from gatewright.pipeline.pipeline_file import NAME, DeclaredStage, parse_pipeline, parse_tracked
from gatewright.pipeline.work_tree import WorkTree

_NOTHING = object()


@dataclass(frozen=True)
class PipelineStage:
    """One stage of the pipeline.

    `deps` are the files and folders that DVC watches for it, seen from the project's root. A
    `frozen` stage is watched for nothing. `changed` says that its command, inputs or outputs are
    not those of dvc.lock.
    """

    name: str
    commands: tuple[str, ...]
    deps: frozenset[str]
    frozen: bool
    changed: bool


@dataclass(frozen=True)
class Pipeline:
    """The stages, the names of what is stale, and sentences on what no run would mend."""

    stages: tuple[PipelineStage, ...]
    stale: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def read_pipeline(root: Path) -> Pipeline:
    """The pipeline of a checkout, perhaps of somebody who is not trusted; nothing of it is run."""
    tree = WorkTree(root)
    declared = parse_pipeline(tree.text(NAME))
    lock = tree.text("dvc.lock") if os.path.lexists(root / "dvc.lock") else None
    locked = locked_stages(lock) if lock is not None else {}
    tracked = {name: parse_tracked(tree.text(name), name) for name in tree.dvc_files()}
    reader = _Reader(tree, declared, locked, dict(tracked.values()))
    stages = tuple(map(reader.stage, declared))
    stale = [stage.name for stage in stages if stage.changed]
    stale += [name for name, (path, md5) in tracked.items() if reader.is_other(path, md5)]
    return Pipeline(stages, tuple(stale), tuple(reader.doubts))


@dataclass
class _Reader:
    tree: WorkTree
    declared: tuple[DeclaredStage, ...]
    locked: dict[str, LockedStage]
    tracked: dict[str, str]
    doubts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.named = dict(self.tracked)
        self.elsewhere = {*self.tracked}  # what Git does not hold
        for stage in self.declared:
            outs = self.locked[stage.name].outs if stage.name in self.locked else {}
            self.elsewhere |= stage.cached
            for text, path in stage.outs.items():
                if path in self.tracked:
                    raise Refused(
                        f"{path} is written by the stage {stage.name} and tracked by a .dvc file. "
                        "Remove one of them."
                    )
                if self.tree.hidden(path):
                    raise Refused(f".dvcignore hides {path}, which the stage {stage.name} writes.")
                self.named |= {path: outs.get(text, "")}

    def stage(self, stage: DeclaredStage) -> PipelineStage:
        locked = self.locked.get(stage.name)
        checks = [self._dep(stage, text, path, locked) for text, path in stage.deps.items()]
        changed = (
            locked is None
            or stage.always
            or not (stage.deps or stage.params or stage.outs)
            or stage.cmd != locked.cmd
            or any(checks)
            or self._params(stage, locked)
            or any(self.is_other(path, locked.outs.get(text)) for text, path in stage.outs.items())
        )
        for out in sorted(set(locked.outs if locked else ()) - set(stage.outs)):
            self.doubts.append(
                f"dvc.lock says that the stage {stage.name} writes {out}, and {NAME} does not. "
                "Bring it back, or remove it there"
            )
        if locked and (left := _left_out(stage, locked)):
            self.doubts.append(
                f"dvc.lock says that the stage {stage.name} stands on {', '.join(left)}, and "
                f"{NAME} does not. Bring it back, or run `uv run dvc repro --force {stage.name}`"
            )
        commands = (stage.cmd,) if isinstance(stage.cmd, str) else tuple(stage.cmd)
        deps = frozenset(stage.deps.values())
        return PipelineStage(stage.name, commands, deps, stage.frozen, changed)

    def is_other(self, path: str, md5: str | None) -> bool:
        """Whether what lies there, if anything does, is other than the digest says."""
        return md5 is None or self.tree.digest(path) not in (None, md5)

    def _dep(self, stage: DeclaredStage, text: str, path: str, locked: LockedStage | None) -> bool:
        """Whether a dependency is another one than dvc.lock says."""
        for other in self.elsewhere - {path}:
            if PurePosixPath(path) in PurePosixPath(other).parents:
                self.doubts.append(
                    f"stage {stage.name}: {path} holds {other}, which is not in Git. List what it "
                    "reads by name"
                )
                return True
            if PurePosixPath(other) in PurePosixPath(path).parents:
                self.doubts.append(
                    f"stage {stage.name}: {path} lies in {other}, of which the digest of the whole "
                    f"is known. List {other}"
                )
                return True
        if path not in self.named and self.tree.digest(path) is None:
            self.doubts.append(
                f"stage {stage.name}: {path} is not there, and nothing says what it was. Bring it "
                f"back, or remove it from its deps"
            )
            return True
        md5 = locked.deps.get(text) if locked else None
        return self.named.get(path, md5) != md5 or self.is_other(path, md5)

    def _params(self, stage: DeclaredStage, locked: LockedStage) -> bool:
        """Whether a parameter has another value than dvc.lock says."""
        changed = False
        for file, keys in stage.params.items():
            values = self._values(file) if os.path.lexists(self.tree.root / file) else {}
            plain = self._as_code_reads(file)
            before = locked.params.get(file, {})
            for key in keys or dict.fromkeys((*values, *before)):
                now = _at(values, key) if keys else values.get(key, _NOTHING)
                then = before.get(key, _NOTHING)
                if plain is not None and not _alike(now, other := _at(plain, key)):
                    self.doubts.append(
                        f"stage {stage.name}: {key} in {file} is {now!r} for DVC, and for most "
                        f"code {other!r}. Write it so that both read the same: true for yes, 8 for "
                        "010, text in quotes"
                    )
                if _NOTHING in (now, then) or now != then:
                    changed = True
                elif not _same(now, then):
                    self.doubts.append(
                        f"stage {stage.name}: {key} in {file} is {now!r} and was {then!r}, which "
                        f"DVC takes for the same. Run `uv run dvc repro --force {stage.name}`"
                    )
        return changed

    def _as_code_reads(self, file: str) -> dict[str, Any] | None:
        """The values of a YAML file in the reading of YAML 1.1; None if it is none."""
        if not file.endswith((".yaml", ".yml")) or not os.path.lexists(self.tree.root / file):
            return None
        return as_python_reads(self.tree.text(file), file)

    def _values(self, file: str) -> dict[Any, Any]:
        text = self.tree.text(file)
        try:
            if file.endswith(".json"):
                values = json.loads(text)
            elif file.endswith(".toml"):
                values = tomllib.loads(text)
            else:
                values = as_dvc_reads(text, file)
        except (ValueError, RecursionError) as error:
            raise Refused(f"{file} cannot be read ({error}). Correct it and run again.") from None
        if not isinstance(values, dict):
            raise Refused(f"{file} must be a mapping of keys to values. Correct it and run again.")
        return values


def _left_out(stage: DeclaredStage, locked: LockedStage) -> list[str]:
    """The dependencies and parameters that a lock holds and nobody would compare any more."""
    left = sorted(set(locked.deps) - set(stage.deps))
    for file, values in locked.params.items():
        if keys := stage.params.get(file, ("",)):  # none: the whole file
            left += [f"{key} of {file}" for key in sorted(set(values) - set(keys))]
    return left


def _at(values: Any, key: str) -> Any:
    """The value at `a.b.0`: keys of mappings and places in lists."""
    for step in key.split("."):
        place = int(step) if re.fullmatch(r"[0-9]{1,9}", step) else -1
        if isinstance(values, dict) and {step, place} & values.keys():
            values = values[step if step in values else place]
        elif isinstance(values, list) and 0 <= place < len(values):
            values = values[place]
        else:
            return _NOTHING
    return values


def _alike(one: Any, other: Any) -> bool:
    """Whether two readings of one value mean the same; text is what it is as a number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(v, other[k]) for k, v in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if one == other:
        return _same(one, other)
    numbers = [value for value in (one, other) if isinstance(value, (bool, int, float))]
    texts = [value for value in (one, other) if isinstance(value, str)]
    if not numbers:
        return _NOTHING not in (one, other)
    try:
        return float(texts[0]) == numbers[0] and not isinstance(numbers[0], bool)
    except (IndexError, ValueError):
        return False


def _same(one: Any, other: Any) -> bool:
    """Whether equal values are of the same types: 1, 1.0 and true mean different things."""
    if isinstance(one, dict):
        return all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(_same, one, other))
    numbers = (bool, int, float)
    return not isinstance(one, numbers) or type(one) is type(other)
