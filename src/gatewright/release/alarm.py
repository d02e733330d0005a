"""One issue for what runs by schedule and fails: opened, kept up to date, closed when it is green.

GitHub tells of a scheduled run that fails only whoever edited its workflow last.
"""

from __future__ import annotations

from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Issue, Page
from gatewright.release.approval import ACTIONS


def alarm(github: GitHub, subject: str, results: list[str], page: str | None) -> str:
    """Open or renew the issue unless every result is a success, else close it; what was done."""
    title = f"{subject} fails"
    there = _open(github, title)
    where = f"The run: {page}" if page else "It was run by hand."
    if all(result == "success" for result in results):
        if there is None:
            return f"{subject} is green."
        github.send("POST", f"issues/{there.number}/comments", {"body": f"Green again. {where}"})
        github.send("PATCH", f"issues/{there.number}", {"state": "closed"})
        return f"{subject} is green again: issue {there.number} is closed."
    if there is not None:
        github.send("POST", f"issues/{there.number}/comments", {"body": f"Still so. {where}"})
        return f"{title}: issue {there.number} says so."
    return f"{title}: {open_issue(github, title, _body(subject, where))}"


def open_issue(github: GitHub, title: str, body: str) -> str:
    """Open an issue, unless one with that title is open; its address."""
    there = _open(github, title)
    if there is not None:
        return there.html_url
    return github.make("POST", "issues", {"title": title, "body": body}, Page).html_url


def _open(github: GitHub, title: str) -> Issue | None:
    listed = github.every("issues", Issue, state="open", creator=ACTIONS)
    return next((issue for issue in listed if issue.title == title), None)


def _body(subject: str, where: str) -> str:
    return (
        f"{subject} runs by schedule, and GitHub tells nobody when such a run fails. {where}\n\n"
        "This issue is closed by the first run that is green again. `docs/runbook.md` says what "
        "to do."
    )
