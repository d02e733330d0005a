"""The gate's report as one comment of its pull request, kept up to date.

It is written by a workflow of the default branch, from a file that a run of the pull request
offered: text that anybody may have written. Its shape is checked, nothing in it becomes markup,
and the pull request is found by what GitHub says of that run, not by what the file says.
"""

import json
from pathlib import Path
from typing import Any

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Comment, Page, Pull
from gatewright.adapters.markdown import cell
from gatewright.errors import Misuse, Refused
from gatewright.gate import report
from gatewright.run_context import current

MARK = "<!-- the model gate's comment -->"


def comment(root: Path, path: Path) -> str:
    """Write or renew the comment of the pull request whose gate run just ended; its address."""
    github = GitHub.of(root)
    if github is None:
        raise Refused("origin is no GitHub repository, so there is nothing to comment on.")
    run = _run()
    number = _number(github, run)
    if number is None:
        return "That run belongs to no open pull request; nothing is commented."
    body = f"{MARK}\n{_text(path, run)}\n\n[The run]({github.page}/actions/runs/{int(run['id'])})"
    return _write(github, number, body)


def _run() -> dict[str, Any]:
    event = current().event
    if event is None:
        raise Misuse("`mlops comment` works in a workflow that runs after another: see comment.yml")
    told = json.loads(event.read_text(encoding="utf-8"))
    run: dict[str, Any] = told["workflow_run"]
    return run


def _number(github: GitHub, run: dict[str, Any]) -> int | None:
    """The open pull request of the run's head: same owner, branch and commit."""
    owner = run["head_repository"]["owner"]["login"]
    head = f"{owner}:{run['head_branch']}"
    for pull in github.every("pulls", Pull, state="open", head=head):
        if pull.head.sha == run["head_sha"]:
            return pull.number
    return None


def _text(path: Path, run: dict[str, Any]) -> str:
    try:
        verdict = report.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return f"The gate came to no verdict ({cell(str(run['conclusion']))}): see its log."
    except Refused as error:
        return f"The gate's report cannot be read: {cell(str(error))}"
    if (verdict.decision == "yes") != (run["conclusion"] == "success"):
        return (
            f"The gate's run ended with {cell(str(run['conclusion']))}, and its report says "
            f"{verdict.decision}. **The run counts**; see its log."
        )
    return report.to_markdown(verdict)


def _write(github: GitHub, number: int, body: str) -> str:
    for old in github.every(f"issues/{number}/comments", Comment):
        if (old.body or "").startswith(MARK) and old.user.login == "github-actions[bot]":
            path = f"issues/comments/{old.id}"
            return github.make("PATCH", path, {"body": body}, Page).html_url
    return github.make("POST", f"issues/{number}/comments", {"body": body}, Page).html_url
