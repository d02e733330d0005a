"""What was trained elsewhere comes home to its branch."""

from dataclasses import dataclass
from pathlib import Path

from gatewright.adapters.files import write_whole
from gatewright.adapters.git import REMOTE, Git
from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Repository
from gatewright.errors import Refused
from gatewright.pipeline.attestation import PLACE, attest, not_attested
from gatewright.project import Project

WHAT = ("dvc.lock", "reports")
CHECKS = ("ci.yml", "model-gate.yml", "security.yml")


@dataclass(frozen=True)
class Delivery:
    """What came home: the commit that holds it, and what was done.

    `attest` says that the policy asks for an attestation, and that there is none of it yet.
    """

    commit: str
    attest: bool
    sentence: str


def deliver(root: Path) -> Delivery:
    """Commit dvc.lock and the reports to the branch at hand, push, and start its checks.

    A push with a workflow's token starts no workflow, so they are started by name; but not before
    there is the attestation that they would ask for.
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
        for workflow in CHECKS:
            github.send("POST", f"actions/workflows/{workflow}/dispatches", {"ref": branch})
        sentence += " Its checks are started."
    return Delivery(commit, False, sentence)


def attest_and_deliver(root: Path, trained: Path, commit: str, run: str | None) -> str:
    """Sign what the training in the checkout `trained` gave, and bring the attestation home."""
    made = attest(root, trained, commit, run)
    write_whole(trained / PLACE, made.model_dump_json(indent=2) + "\n")
    return f"{commit[:12]} is attested. {deliver(trained).sentence}"
