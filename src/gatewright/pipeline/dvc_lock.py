"""dvc.lock: what the pipeline read and what it wrote."""

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gatewright.adapters.dvc import as_dvc_reads
from gatewright.adapters.files import digest
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Refused

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class LockedStage:
    """What dvc.lock says of one stage: digests by path, and parameters by file, as DVC reads them.

    Paths are written as in dvc.yaml.
    """

    cmd: str | list[str]
    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, dict[str, object]]

    @property
    def commands(self) -> list[str]:
        return [self.cmd] if isinstance(self.cmd, str) else list(self.cmd)


@dataclass(frozen=True)
class Lock:
    """Digests (md5, as DVC names files) by path, and what was read to make each output.

    `stages` are there by name, as dvc.yaml should have them.
    """

    outs: dict[str, str]
    deps: dict[str, str]
    params: dict[str, object]
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stages: dict[str, LockedStage] = field(default_factory=dict)

    def differences(self, root: Path, paths: list[str]) -> list[str]:
        """Which of these files are not the ones that the lock names, and how."""
        wrong = []
        for path in paths:
            if path not in self.outs:
                wrong.append(f"{path} is not in dvc.lock")
            elif not (root / path).exists():
                wrong.append(f"{path} is missing")
            elif digest(root / path, "md5") != self.outs[path]:
                wrong.append(f"{path} is not the file that dvc.lock names")
        return wrong


def locked_stages(text: str) -> dict[str, LockedStage]:
    """The stages by name. Raises Refused as `parse_lock`, and for digests of DVC 2."""
    stages = _stages(text)
    read = as_dvc_reads(text, "dvc.lock")["stages"]
    found = {}
    for name, stage in stages.items():
        locked = _stage(name, stage)
        for item in (*stage.get("deps", []), *stage.get("outs", [])):
            if item.get("hash") != "md5":
                raise Refused(
                    f"dvc.lock: {item['path']} of the stage {name} has a digest of DVC 2. Run "
                    "`uv run dvc cache migrate --dvc-files`."
                )
        params = read[name].get("params", {}) if name in read else {}
        found[str(name)] = replace(locked, params=params)
    return found


@lru_cache(maxsize=16)  # a command meets the same text in several places
def parse_lock(text: str) -> Lock:
    """Raises Refused for anything but what DVC writes: stages with paths and their md5."""
    stages = _stages(text)
    outs: dict[str, str] = {}
    deps: dict[str, str] = {}
    params: dict[str, object] = {}
    reads: dict[str, tuple[str, ...]] = {}
    locked = {str(name): _stage(name, stage) for name, stage in stages.items()}
    for stage in locked.values():
        outs |= stage.outs
        deps |= stage.deps
        reads |= dict.fromkeys(stage.outs, tuple(stage.deps))
        params |= {key: value for of in stage.params.values() for key, value in of.items()}
    return Lock(outs, deps, params, reads, locked)


def _stage(name: object, stage: object) -> LockedStage:
    made, read = _digests(name, stage, "outs"), _digests(name, stage, "deps")
    return LockedStage(_cmd(name, stage), read, made, _params(name, stage))


def _cmd(name: object, stage: object) -> str | list[str]:
    found = stage.get("cmd", []) if isinstance(stage, dict) else None
    commands = found if isinstance(found, list) else [found]
    if not all(isinstance(command, str) for command in commands):
        raise _wrong(name, "cmd")
    return found  # type: ignore[return-value]


def _stages(text: str) -> dict[Any, Any]:
    stages = parse_yaml(text, "dvc.lock").get("stages")
    if not isinstance(stages, dict) or not stages:
        raise Refused("dvc.lock names no stages. Run `uv run mlops run` to make it again.")
    return stages


def _digests(name: object, stage: object, kind: str) -> dict[str, str]:
    """The digest by path of what a stage reads or writes."""
    items = stage.get(kind, []) if isinstance(stage, dict) else None
    if not isinstance(items, list):
        raise _wrong(name, kind)
    found = {}
    for item in items:
        path, md5 = (item.get(key) if isinstance(item, dict) else None for key in ("path", "md5"))
        if not isinstance(path, str) or not isinstance(md5, str) or not _MD5.fullmatch(md5):
            raise _wrong(name, kind)
        found[path] = md5
    return found


def _params(name: object, stage: object) -> dict[str, dict[str, object]]:
    """The parameters of a stage, by file."""
    by_file = stage.get("params", {}) if isinstance(stage, dict) else None
    if not isinstance(by_file, dict) or not all(isinstance(v, dict) for v in by_file.values()):
        raise _wrong(name, "params")
    return by_file


def _wrong(name: object, kind: str) -> Refused:
    return Refused(
        f"dvc.lock: `{kind}` of the stage {name} are not as DVC writes them, so nobody knows what "
        "the model was made from. Run `uv run mlops run` to make it again."
    )
