"""What a version is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gatewright.adapters.files import read_text
from gatewright.adapters.git import Git, whole

WORDS = "docs/model-card-words.md"


@dataclass(frozen=True)
class Source:
    """What a version is made from, as texts of one commit; `words` are people's, in its card."""

    contract: str
    lock: str
    environment: str | None
    words: str = ""

    @classmethod
    def at(cls, git: Git, commit: str) -> Source:
        names = ("contract.yaml", "dvc.lock", "uv.lock", WORDS)
        texts = git.blobs([f"{commit}:{name}" for name in names])
        contract, lock = (
            whole(text, commit, name) for text, name in zip(texts[:2], names, strict=False)
        )
        return cls(contract, lock, texts[2], texts[3] or "")

    @classmethod
    def in_work_tree(cls, root: Path) -> Source:
        words = root / WORDS
        return cls(
            read_text(root / "contract.yaml"),
            read_text(root / "dvc.lock"),
            None,
            read_text(words) if words.is_file() else "",
        )
