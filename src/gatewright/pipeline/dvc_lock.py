"""dvc.lock: what the pipeline read and what it wrote."""

from dataclasses import dataclass, field
from pathlib import Path

from gatewright.adapters.files import digest
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Refused


@dataclass(frozen=True)
class Lock:
    """Digests (md5, as DVC names files) by path, and what was read to make each output."""

    outs: dict[str, str]
    deps: dict[str, str]
    params: dict[str, object]
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)

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


def parse_lock(text: str) -> Lock:
    stages = parse_yaml(text, "dvc.lock").get("stages")
    if not isinstance(stages, dict):
        raise Refused("dvc.lock names no stages. Run `uv run mlops run` to make it again.")
    outs: dict[str, str] = {}
    deps: dict[str, str] = {}
    params: dict[str, object] = {}
    reads: dict[str, tuple[str, ...]] = {}
    for stage in stages.values():
        outs |= {item["path"]: item["md5"] for item in stage.get("outs", ())}
        deps |= {item["path"]: item["md5"] for item in stage.get("deps", ())}
        read = tuple(item["path"] for item in stage.get("deps", ()))
        reads |= {item["path"]: read for item in stage.get("outs", ())}
        for values in stage.get("params", {}).values():
            params |= values
    return Lock(outs, deps, params, reads)
