"""Runs of the workflows on the small GitHub, and what people approve and merge there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hub import Hub
from parcels import Project

from gatewright.paths import MODEL

SERVER = "https://github.com"
RUN = f"{SERVER}/acme/late-flights/actions/runs/"
LIVE = "environments/production.yaml"


class Runs:
    """A project whose origin is on GitHub, and the runs of its workflows."""

    def __init__(self, project: Project, hub: Hub, patch: pytest.MonkeyPatch) -> None:
        self.project, self.hub, self.patch = project, hub, patch
        project.on_github()
        hub.permissions["can_approve_pull_request_reviews"] = True
        hub.head_sha = lambda branch: project.git("ls-remote", "origin", branch).split()[0]
        patch.setenv("GITHUB_SERVER_URL", SERVER)
        patch.setenv("GITHUB_REPOSITORY", "acme/late-flights")
        patch.setenv("GITHUB_ACTOR", "octocat")

    def start(self, number: int, workflow: str = "promote.yml", approved_by: str = "") -> None:
        self.patch.setenv("GITHUB_RUN_ID", str(number))
        self.hub.run(number, workflow)
        if approved_by:
            self.hub.approve(number, "production", approved_by)

    def promote(self, *words: str, expect: int = 0) -> Any:
        return self.project.mlops(
            "promote", *words[:1], "--to", "production", *words[1:], expect=expect
        )

    def record(self) -> Any:
        self.project.mlops("status")
        return yaml.safe_load(self.project.git("show", f"refs/mlops/seen:{LIVE}"))

    def slip_in(self, version: str = "1.1.0", **fields: Any) -> None:
        """Somebody lets a version into production past the machinery, by a record that fits."""
        files = self.project.record(version)["files"]
        (model,) = [file["sha256"] for file in files if file["path"] == MODEL]

        def change(tree: Path) -> None:
            path = tree / LIVE
            record = yaml.safe_load(path.read_text())
            record |= {"version": version, "previous": record["version"], "model": model}
            path.write_text(yaml.safe_dump(record | fields, sort_keys=False))

        self.project.change_branch("registry", change)

    def merge(self, reviewer: str = "ada", **review: Any) -> None:
        """Somebody approves the newest proposal, and it is merged."""
        pull = self.hub.pulls[-1]
        if reviewer:
            self.hub.review(pull["number"], reviewer, **review)
        clone = self.project.stranger("registry")
        clone.git("merge", "--quiet", "--no-ff", "-m", "Merge", f"origin/{pull['head']['ref']}")
        clone.git("push", "--quiet", "origin", "HEAD:registry")
        self.hub.merge(pull["number"], "octocat")


def as_app(hub: Hub, patch: pytest.MonkeyPatch) -> None:
    """The jobs hold the key of a GitHub App, which is installed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    hub.installation, hub.apps["flights"] = 5, 4711
    hub.variables["APP_ID"] = "4711"
    patch.setenv("APP_ID", "4711")
    patch.setenv("APP_KEY", pem)
    hub.logins["ghs_app"] = "flights[bot]"
    hub.app_public = key.public_key()


def approved_once(project: Project, hub: Hub, patch: pytest.MonkeyPatch) -> Runs:
    """On GitHub, which remembers that ada approved run 1 of a project as `made_approved` is."""
    runs = Runs(project, hub, patch)
    hub.run(1, "release.yml")
    hub.approve(1, "production", "ada")
    return runs
