"""What a version is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gatewright.adapters.files import read_text
from gatewright.adapters.git import Git

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
        return cls(
            git.show(commit, "contract.yaml"),
            git.show(commit, "dvc.lock"),
            *_environment_and_words(git, commit),
        )

    @classmethod
    def in_work_tree(cls, root: Path) -> Source:
        words = root / WORDS
        return cls(
            read_text(root / "contract.yaml"),
            read_text(root / "dvc.lock"),
            None,
            read_text(words) if words.is_file() else "",
        )


def _environment_and_words(git: Git, commit: str) -> tuple[str | None, str]:
    environment, words = git.blobs([f"{commit}:uv.lock", f"{commit}:{WORDS}"])
    return environment, words or ""
