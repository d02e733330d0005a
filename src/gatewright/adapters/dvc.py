"""DVC, by its Python API: the one module that may import it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewright.errors import Refused


@dataclass(frozen=True)
class PipelineStage:
    """One stage of the pipeline that runs something.

    `folder` is where its commands run, and `deps` are the files and folders that DVC watches for
    it; both are seen from the project's root. A `frozen` stage is watched for nothing. `changed`
    says that its command or its inputs are not those of dvc.lock.
    """

    name: str
    commands: tuple[str, ...]
    folder: str
    deps: frozenset[str]
    frozen: bool
    changed: bool


@dataclass(frozen=True)
class Pipeline:
    """The stages as DVC reads them, and everything in dvc.lock or a .dvc file that is stale."""

    stages: tuple[PipelineStage, ...]
    stale: tuple[str, ...]


def read_pipeline(root: Path) -> Pipeline:
    """The stages of every dvc.yaml below `root`; nothing of them is run.

    Nothing need be here but what Git holds: inputs that are missing are not asked for, as a dry
    `dvc repro` would.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with chdir(root), redirect_stdout(io.StringIO()), Repo(".") as repo, repo.lock:
            inputs = repo.index.graph.successors
            changed = {
                stage.addressing: stage.changed(allow_missing=True, upstream=list(inputs(stage)))
                for stage in repo.index.stages
            }
            stages = tuple(
                _stage(repo, stage, changed[stage.addressing])
                for stage in repo.index.stages
                if stage.cmd
            )
            return Pipeline(stages, tuple(name for name, is_so in changed.items() if is_so))
    except DvcException as error:
        raise Refused(f"DVC cannot read the pipeline ({error}). Correct dvc.yaml.") from None


def hidden(root: Path, paths: Iterable[str]) -> set[str]:
    """Which of these files .dvcignore hides, so that no folder's digest holds them."""
    from dvc.repo import Repo

    with chdir(root), Repo(".") as repo:
        return {path for path in paths if repo.dvcignore.is_ignored_file(os.path.abspath(path))}


def _stage(repo: Any, stage: Any, changed: bool) -> PipelineStage:
    from dvc.dependency import ParamsDependency

    def seen(path: str) -> str:
        return Path(os.path.relpath(path, repo.root_dir)).as_posix()

    return PipelineStage(
        name=stage.addressing,
        commands=(stage.cmd,) if isinstance(stage.cmd, str) else tuple(stage.cmd),
        folder=seen(stage.wdir),
        deps=frozenset(
            seen(dep.fs_path)
            for dep in stage.deps
            # Of a file of parameters DVC watches some keys only.
            if dep.protocol == "local" and not isinstance(dep, ParamsDependency)
        ),
        frozen=bool(stage.frozen),
        changed=changed,
    )
