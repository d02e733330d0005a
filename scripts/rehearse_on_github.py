"""Walk a generated project's first day on the real GitHub, and say where it differs from the table.

    GH_TOKEN=$(gh auth token) uv run scripts/rehearse_on_github.py PROJECT OWNER/EMPTY --kind KIND

PROJECT is the folder of a generated project with a trained model, KIND a row of the table. The
first push, the settings, a pull request, a release and a rollback are done for good in the
repository, so it must be empty and yours to delete. What GitHub answers is held against
`tests/support/plans.py`; the exit status is 1 where it differs. No test runs this: it needs an
account. It asks before it writes anything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from plans import FACTS, PLANS

API = "https://api.github.com"
PATIENCE = 45 * 60  # seconds for the runs of one step


@dataclass
class Rehearsal:
    """One walk, and what of it was otherwise than expected."""

    project: Path
    slug: str
    token: str
    kind: str
    differences: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """GitHub's status and answer, a refusal too."""
        where = path if path.startswith("/") else f"/repos/{self.slug}/{path}".rstrip("/")
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        answer = requests.request(method, API + where, json=body, headers=headers, timeout=30)
        return answer.status_code, answer.json() if answer.content else None

    def run(self, *words: str, status: int | None = 0) -> str:
        print("$", *words, flush=True)
        env = {**os.environ, "GH_TOKEN": self.token}
        done = subprocess.run(words, cwd=self.project, env=env, capture_output=True, text=True)
        print(done.stdout + done.stderr)
        if status is not None and done.returncode != status:
            self.differs(f"`{' '.join(words)}` ended with {done.returncode}, and not {status}")
        return done.stdout

    def differs(self, words: str) -> None:
        print(f"DIFFERS: {words}", flush=True)
        self.differences.append(words)

    def wait(self, workflow: str, since: int) -> dict[str, Any]:
        """The newest run of a workflow after run number `since`, once it waits or is over."""
        for _ in range(PATIENCE // 15):
            _, listed = self.ask("GET", f"actions/workflows/{workflow}/runs?per_page=1")
            runs: list[dict[str, Any]] = (listed or {}).get("workflow_runs", [])
            if runs and runs[0]["id"] > since and runs[0]["status"] in ("completed", "waiting"):
                return runs[0]
            time.sleep(15)
        self.differs(f"no run of {workflow} came to an end")
        return {"id": since, "status": "missing", "conclusion": None}

    def newest(self, workflow: str) -> int:
        _, listed = self.ask("GET", f"actions/workflows/{workflow}/runs?per_page=1")
        runs = (listed or {}).get("workflow_runs", [])
        return runs[0]["id"] if runs else 0

    # The walk

    def first_push(self) -> None:
        before = 0
        self.run("git", "remote", "add", "origin", f"https://github.com/{self.slug}.git")
        self.run("git", "push", "-u", "origin", "main")
        self.run("git", "push", "-u", "origin", "dvc-storage")
        _, repository = self.ask("GET", "")
        if repository["default_branch"] != "main":
            self.differs(f"the default branch is {repository['default_branch']}, and not main")
        self.ends(self.wait("release.yml", before), "success")
        if self.ask("GET", "git/ref/heads/registry")[0] != 404:
            self.differs("the first push released something before the settings were applied")

    def facts(self) -> None:
        """Ask for what a plan may lack, in a scratch environment, and compare the status."""
        scratch = "environments/rehearsal-scratch"
        policy = {"protected_branches": False, "custom_branch_policies": True}
        asked = {
            "rulesets": ("GET", "rulesets", None),
            "branches": ("PUT", scratch, {"deployment_branch_policy": policy}),
            "reviewers": ("PUT", scratch, {"wait_timer": 0}),
            "pull requests by Actions": (
                *("PUT", "actions/permissions/workflow"),
                {"can_approve_pull_request_reviews": True},
            ),
            "organisation rulesets": ("GET", f"/orgs/{self.slug.partition('/')[0]}/rulesets", None),
        }
        for name, (method, path, body) in asked.items():
            status, answer = self.ask(method, path, body)
            lacks = name in PLANS[self.kind].lacks
            expected = FACTS[name].status if lacks else 200
            if name == "organisation rulesets" and PLANS[self.kind].owner_type == "User":
                expected = 404
            if status not in ((expected,) if lacks else (200, 204, expected)):
                message = (answer or {}).get("message")
                self.differs(f"{name}: {method} {path} gave {status} ({message}), not {expected}")
        self.ask("DELETE", scratch)
        body = {"can_approve_pull_request_reviews": False}
        self.ask("PUT", "actions/permissions/workflow", body)

    def settings(self) -> None:
        lacks = PLANS[self.kind].lacks - {"reviewers", "organisation rulesets"}
        self.run("uv", "run", "mlops", "github", "apply", "--yes", status=1 if lacks else 0)
        keys = self.ask("GET", "keys")[1] or []
        if bool(keys) == bool({"deploy keys", "branches"} & lacks):
            self.differs(f"there are {len(keys)} deploy keys")
        self.run("uv", "run", "mlops", "doctor", status=None)

    def pull_request(self) -> None:
        self.run("git", "checkout", "-b", "rehearsal")
        with (self.project / "docs/runbook.md").open("a", encoding="utf-8") as file:
            file.write("\nRehearsed on GitHub.\n")
        self.run("git", "add", "docs/runbook.md", "security")
        self.run("git", "commit", "--no-verify", "-m", "Rehearse a pull request")
        self.run("git", "push", "-u", "origin", "rehearsal")
        body = {"title": "Rehearsal", "head": "rehearsal", "base": "main"}
        status, pull = self.ask("POST", "pulls", body)
        if status != 201:
            self.differs(f"the pull request was answered with {status}: {pull}")
            return
        for workflow in ("ci.yml", "security.yml", "model-gate.yml"):
            self.ends(self.wait(workflow, 0), "success")
        print(f"Approve and merge {pull['html_url']} in the browser, as a maintainer would.")
        input("Then press Enter. ")
        if not self.ask("GET", f"pulls/{pull['number']}")[1]["merged"]:
            self.differs("the pull request could not be merged")

    def release(self) -> None:
        before = self.newest("release.yml")
        if self.ask("GET", "git/ref/heads/registry")[0] == 404:
            self.ask("POST", f"actions/runs/{before}/rerun")
            time.sleep(30)
            before -= 1
        run = self.wait("release.yml", before)
        asks = "reviewers" not in PLANS[self.kind].lacks
        if (run["status"] == "waiting") != asks:
            self.differs(
                f"the release is {run['status']}; reviewers are {'' if asks else 'not '}had"
            )
        where = f"https://github.com/{self.slug}"
        print(f"Let it into production: {where}/actions/runs/{run['id']} or {where}/pulls")
        input("Then press Enter. ")
        self.run("gh", "workflow", "run", "settle.yml", "--repo", self.slug)
        self.ends(self.wait("settle.yml", 0), "success")
        self.run("uv", "run", "mlops", "status")

    def rollback(self) -> None:
        """Of a first version there is no way back, and the workflow must say so at once."""
        words = ("-f", "environment=production", "-f", "reason=rehearsal")
        self.run("gh", "workflow", "run", "rollback.yml", "--repo", self.slug, *words)
        run = self.wait("rollback.yml", 0)
        if run["status"] == "waiting":
            self.differs("the rollback waits for an approval")
        self.ends(run, "failure")

    def ends(self, run: dict[str, Any], conclusion: str) -> None:
        if run["conclusion"] != conclusion:
            self.differs(f"{run.get('html_url')} ended with {run['conclusion']}, not {conclusion}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("repository", help="OWNER/NAME, which is empty")
    parser.add_argument("--kind", choices=sorted(PLANS), required=True, help="which row it is")
    arguments = parser.parse_args()
    token = os.environ.get("GH_TOKEN")
    if not token:
        parser.error("set GH_TOKEN, for instance to `gh auth token`")
    rehearsal = Rehearsal(arguments.project, arguments.repository, token, arguments.kind)
    status, repository = rehearsal.ask("GET", "")
    if status != 200 or repository["size"]:
        parser.error(f"{arguments.repository} is not there, or not empty")
    print(f"This writes to {arguments.repository} for good. Type its name to go on.")
    if input("> ") != arguments.repository:
        return 1
    steps = (rehearsal.first_push, rehearsal.facts, rehearsal.settings, rehearsal.pull_request)
    for step in (*steps, rehearsal.release, rehearsal.rollback):
        print(f"\n== {step.__name__}", flush=True)
        step()
    print(f"\n{len(rehearsal.differences)} differences from the table.")
    print("\n".join(rehearsal.differences))
    return int(bool(rehearsal.differences))


if __name__ == "__main__":
    raise SystemExit(main())
