"""What was trained elsewhere comes home to its branch."""

from pathlib import Path

from gatewright.adapters.git import REMOTE, Git
from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Repository
from gatewright.errors import Refused

WHAT = ("dvc.lock", "reports")
CHECKS = ("ci.yml", "model-gate.yml", "security.yml")


def deliver(root: Path) -> str:
    """Commit dvc.lock and the reports to the branch at hand, push, and start its checks.

    A push with a workflow's token starts no workflow, so they are started by name.
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
    if github is None:
        return sentence
    for workflow in CHECKS:
        github.send("POST", f"actions/workflows/{workflow}/dispatches", {"ref": branch})
    return f"{sentence} Its checks are started."
