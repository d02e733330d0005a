"""The deploy key that opens the branch registry, as an environment's secret REGISTRY_KEY.

A ruleset closes the branch to everybody but this key, and only a job that was let into its
environment holds it. It is given to an ssh agent through a pipe and never lies on disk.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatewright.adapters.app_token import as_app
from gatewright.adapters.git import settings, signed_in
from gatewright.adapters.github import GitHub
from gatewright.adapters.github_answers import Meta
from gatewright.errors import Refused
from gatewright.run_context import current

KEY = "REGISTRY_KEY"  # of the secret
APP_KEY = "APP_KEY"  # of the secret, where a GitHub App takes the deploy key's place


@contextmanager
def registry_key(root: Path) -> Iterator[dict[str, str]]:
    """The environment in which Git pushes with the key, or as the App; empty without either."""
    key, github = current().registry_key, GitHub.of(root)
    if github is not None and (app := as_app(github)).token:
        yield signed_in(f"https://{github.host}", app.token)
        return
    if not key or github is None:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        agent = {**os.environ, "SSH_AUTH_SOCK": f"{folder}/agent"}
        process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", agent["SSH_AUTH_SOCK"]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _add(key, agent)
            env = {"SSH_AUTH_SOCK": agent["SSH_AUTH_SOCK"]}
            env |= settings(
                {f"url.ssh://git@{github.host}/.pushInsteadOf": f"https://{github.host}/"}
            )
            if "GIT_SSH_COMMAND" not in os.environ:
                known = Path(folder, "known_hosts")
                keys = github.get("/meta", Meta).ssh_keys
                known.write_text("".join(f"{github.host} {line}\n" for line in keys))
                env["GIT_SSH_COMMAND"] = (
                    f"ssh -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes "
                    "-o BatchMode=yes"
                )
            yield env
        finally:
            process.terminate()
            process.wait()


def _add(key: str, agent: dict[str, str]) -> None:
    for _ in range(100):  # the agent needs a moment for its socket
        done = subprocess.run(
            ["ssh-add", "-q", "-"],
            input=key.strip() + "\n",
            env=agent,
            capture_output=True,
            text=True,
        )
        if done.returncode != 2:
            break
        time.sleep(0.05)
    if done.returncode:
        raise Refused(
            f"The secret {KEY} holds no private key that ssh can read ({done.stderr.strip()}), "
            "so the registry stays closed. Make a new one with `uv run mlops github apply --yes`."
        )


def make_key(comment: str) -> tuple[str, str]:
    """A fresh Ed25519 key: (private, public), OpenSSH format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key")
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
            check=True,
        )
        return path.read_text(), path.with_suffix(".pub").read_text().strip()
