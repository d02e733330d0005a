"""Whom CODEOWNERS names and GitHub asks for no review."""

from __future__ import annotations

from pathlib import Path

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Account, OwnersErrors
from gatewright.repo_settings import desired


def not_asked(root: Path, github: GitHub) -> list[str]:
    """A sentence each. GitHub tells of unknown owners, and of a bare organisation nothing.

    https://docs.github.com/en/rest/repos/repos#list-codeowners-errors
    """
    told = [
        f"line {error.line} of {error.path}: {error.message.splitlines()[0]}"
        for error in github.get("codeowners/errors", OwnersErrors).errors
    ]
    for login in desired.people(root):
        account = github.find(f"/users/{login}", Account)
        if account and not account.is_person:
            told.append(
                f"@{login} is an organisation: GitHub asks nobody for a review, without an error. "
                f"Name a team of it, like @{login}/TEAM, in {desired.OWNERS}"
            )
    return told
