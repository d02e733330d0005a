"""What a version is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gatewright.adapters.files import read_text
from gatewright.adapters.git import Git


@dataclass(frozen=True)
class Source:
    """What a version is made from, as texts of one commit."""

    contract: str
    lock: str
    environment: str | None

    @classmethod
    def at(cls, git: Git, commit: str) -> Source:
        return cls(
            git.show(commit, "contract.yaml"),
            git.show(commit, "dvc.lock"),
            git.blobs([f"{commit}:uv.lock"])[0],
        )

    @classmethod
    def in_work_tree(cls, root: Path) -> Source:
        return cls(read_text(root / "contract.yaml"), read_text(root / "dvc.lock"), None)
