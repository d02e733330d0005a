"""Turn the files into a repository: Git, locked environment, DVC, storage, first commit."""

import json
import os
import shutil
import subprocess
import sys

ANSWERS = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
SLUG = ANSWERS["project_slug"]
UV = shutil.which("uv") or os.environ.get("UV")
# The environment of whoever runs cookiecutter must not become the project's.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}


def run(what: str, *command: str) -> bool:
    if what:
        print(f"  {what}", flush=True)
    try:
        return subprocess.run(command, env=ENVIRONMENT).returncode == 0
    except OSError:
        return False


def introduce() -> None:
    """Where Git does not know its user, the first commits are in the author's name."""
    if not subprocess.run(["git", "config", "user.email"], capture_output=True).stdout:
        for role in ("AUTHOR", "COMMITTER"):
            ENVIRONMENT[f"GIT_{role}_NAME"] = ANSWERS["author_name"]
            ENVIRONMENT[f"GIT_{role}_EMAIL"] = ANSWERS["author_email"]


def main() -> None:
    if not shutil.which("git"):
        sys.exit("Git is missing, and the project lives in it: install Git, then generate again.")
    print(f"Setting up {SLUG}:")
    run("Git repository", "git", "init", "--quiet", "-b", "main")
    introduce()
    ready = (
        UV is not None
        and run("lock the environment", UV, "lock", "--quiet")
        and run("install it", UV, "sync", "--quiet")
        and run("DVC, storage and hooks", UV, "run", "--quiet", "mlops", "setup")
    )
    message = "Start from the Steelthread template"
    run("first commit", "git", "add", "--all")
    run("", "git", "commit", "--quiet", "--no-verify", "-m", message)
    if ready:
        print(f"{SLUG} is ready. Next:")
        steps = ["uv run mlops run", "uv run mlops gate"]
    else:
        print(f"{SLUG} is whole, but uv or the network was missing. When both are there:")
        steps = ["uv sync", "uv run mlops setup", "git add --all", "git commit -m 'Lock'"]
    print("\n".join(f"  {step}" for step in (f"cd {SLUG}", *steps)))


main()
