"""`mlops doctor`: what protects this repository, here and on GitHub.

Everything is asked for, nothing is believed: what cannot be seen counts as not protected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gatewright.adapters.github_answers import Repository
from gatewright.errors import Refused, Undecided
from gatewright.release.workspace import Workspace
from gatewright.repo_settings.audit import files, github, library, policy, registry
from gatewright.repo_settings.audit.rows import Row

Question = Callable[[], Iterator[Row]]


def examine(workspace: Workspace) -> list[Row]:
    """All that can be said; a question that fails is an answer too."""
    root, project, hub = workspace.root, workspace.project, workspace.github
    rows = [
        *_answer("policy", lambda: policy.approvals(project)),
        *_answer("protection", lambda: policy.protection(project)),
        *_answer("reproduction", lambda: policy.reproduction(project)),
        *_answer("library", lambda: library.versions(root)),
        *_answer("owners", lambda: files.owners(root)),
        *_answer("pins", lambda: files.pins(root, hub)),
        *_answer("data in Git", lambda: files.data_in_git(root)),
    ]
    if workspace.git.has_remote():
        rows += _answer("registry", lambda: registry.records(workspace))
    if hub is None:
        words = "origin is no GitHub repository: whoever can push can promote"
        return [*rows, Row("bad", "GitHub", words)]
    try:
        branch = hub.get("", Repository).default_branch
    except Undecided:
        raise
    except Refused as error:
        return [*rows, Row("bad", "GitHub", str(error))]
    questions: list[tuple[str, Question]] = [
        ("default branch", lambda: github.default_branch(hub, branch)),
        ("registry", lambda: github.registry(hub)),
        ("tags", lambda: github.rulesets(hub)),
        ("environments", lambda: github.environments(root, project, hub)),
        ("secrets", lambda: github.secrets(root, hub)),
        ("workflow token", lambda: github.token(root, hub)),
        ("owners", lambda: github.owners(root, hub)),
        ("workflows", lambda: github.workflows(root, hub)),
        ("what is live", lambda: registry.approved(workspace, hub)),
    ]
    for subject, question in questions:
        rows += _answer(subject, question)
    return rows


def _answer(subject: str, question: Question) -> list[Row]:
    rows: list[Row] = []
    try:
        rows += question()
    except Undecided:
        raise
    except Refused as error:
        rows.append(Row("bad", subject, f"cannot be seen: {error}"))
    return rows
