"""What was trained elsewhere comes home to its branch."""

from dataclasses import dataclass
from pathlib import Path

from gatewright.adapters.app_token import as_app
from gatewright.adapters.files import write_whole
from gatewright.adapters.git import REMOTE, Git
from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Pull, Repository
from gatewright.errors import Refused
from gatewright.pipeline.attestation import PLACE, attest, not_attested
from gatewright.project import Project
from gatewright.run_context import current

WHAT = ("dvc.lock", "reports")


@dataclass(frozen=True)
class Delivery:
    """What came home: the commit that holds it, and what was done.

    `attest` says that the policy asks for an attestation, and that there is none of it yet.
    """

    commit: str
    attest: bool
    sentence: str


def deliver(root: Path) -> Delivery:
    """Commit dvc.lock and the reports to the branch at hand, push, and say how its checks start.

    GitHub holds the checks of what a workflow's token pushed until somebody approves them; one
    that is started by name does not count. A GitHub App starts them (`recheck`).
    """
    git, github = Git(root), GitHub.of(root)
    branch = git("branch", "--show-current")
    default = github.get("", Repository).default_branch if github else "main"
    if not branch or branch == default:
        raise Refused(f"A model is not delivered to {branch or 'no branch'}: train a branch.")
    git("add", "--all", "--", *WHAT)
    if git.ok("diff", "--cached", "--quiet"):
        sentence = f"{branch} has what was trained already."
    else:
        git("commit", "--quiet", "--no-verify", "-m", "Train on GitHub")
        git("push", "--quiet", REMOTE, f"HEAD:refs/heads/{branch}")
        sentence = f"dvc.lock and reports are committed to {branch}."
    commit = git("rev-parse", "HEAD")
    if Project(root).reproduce == "attested" and not_attested(root, git, commit):
        return Delivery(commit, True, f"{sentence} It is not attested yet.")
    if github is not None:
        sentence += f" {how_checks_start(github, branch)}"
    return Delivery(commit, False, sentence)


def recheck(github: GitHub, branch: str) -> str:
    """Close and open the branch's pull request as the App, which starts its checks.

    https://docs.github.com/en/actions/reference/security/github_token
    """
    app = as_app(github)
    if app.token is None:
        raise Refused(
            "There is no GitHub App here (APP_ID, APP_KEY), and what a workflow's own token does "
            f"starts no checks. {how_checks_start(github, branch)}"
        )
    pulls = _open(github, branch)
    for pull in pulls:
        app.send("PATCH", f"pulls/{pull.number}", {"state": "closed"})
        try:
            app.send("PATCH", f"pulls/{pull.number}", {"state": "open"})
        except Refused as error:
            where = f"{github.page}/pull/{pull.number}"
            raise Refused(f"{where} was closed to start its checks: reopen it. {error}") from None
    return f"The checks of {branch} are started." if pulls else how_checks_start(github, branch)


def how_checks_start(github: GitHub, branch: str) -> str:
    """Who has to press what, so that the branch's checks run."""
    pulls = _open(github, branch)
    if not pulls:
        return f"Open a pull request of {branch}: its checks start with it."
    if current().app_id:
        return "The GitHub App starts its checks."
    return (
        "Its checks wait, because a workflow pushed: somebody who may write presses `Approve "
        f"workflows to run` at {github.page}/pull/{pulls[0].number}."
    )


def _open(github: GitHub, branch: str) -> list[Pull]:
    return github.every("pulls", Pull, state="open", head=f"{github.owner}:{branch}")


def attest_and_deliver(root: Path, trained: Path, commit: str, run: str | None) -> str:
    """Sign what the training in the checkout `trained` gave, and bring the attestation home."""
    made = attest(root, trained, commit, run)
    write_whole(trained / PLACE, made.model_dump_json(indent=2) + "\n")
    return f"{commit[:12]} is attested. {deliver(trained).sentence}"
