"""Check `files`: is what is judged what dvc.lock names?"""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.gate.checks.base import Check, Finding


class FilesCheck(Check):
    """Are the judged files the ones that dvc.lock names?"""

    id = "files"

    @staticmethod
    def check(lock_differences: list[str]) -> Iterator[Finding]:
        for difference in lock_differences:
            yield Finding("refuse", f"{difference}; run `uv run mlops run` and commit dvc.lock")
        if not lock_differences:
            yield Finding("pass", "model, baseline, training and test set are those of dvc.lock")
