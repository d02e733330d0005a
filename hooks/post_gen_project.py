"""Turn the files into a repository: Git, locked environment, DVC, storage, first commit."""

import json
import os
import shutil
import subprocess
import sys

SLUG = "{{ cookiecutter.project_slug }}"  # pre_gen_project.py has checked it
MAIL = "{{ cookiecutter.author_email }}"
NAME = json.loads(r'''{{ cookiecutter.author_name | tojson }}''')  # fmt: skip
UV = shutil.which("uv") or os.environ.get("UV") or ""
# The environment of whoever runs cookiecutter must not become the project's.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
LATER = ["uv sync", "uv run mlops setup", "git add --all", "git commit -m 'Lock the environment'"]


def run(*command: str) -> bool:
    print(f"  {' '.join(command[:4])}", flush=True)
    try:
        return subprocess.run(command, env=ENVIRONMENT).returncode == 0
    except OSError:
        return False


def commit() -> bool:
    """The first commit; where Git does not know its user, in the author's name."""
    who = []
    if not subprocess.run(["git", "config", "user.email"], capture_output=True).stdout:
        who = ["-c", f"user.name={NAME}", "-c", f"user.email={MAIL}"]
    message = "Start from the Steelthread template"
    return run("git", "add", "--all") and run(
        "git", *who, "commit", "--quiet", "--no-verify", "-m", message
    )


def main() -> None:
    if not shutil.which("git"):
        sys.exit("Git is missing, and the project lives in it: install Git, then generate again.")
    run("git", "init", "--quiet", "-b", "main")
    ready = bool(UV) and run(UV, "lock", "--quiet") and run(UV, "sync", "--quiet")
    ready = ready and run(UV, "run", "--quiet", "mlops", "setup")
    committed = commit()
    print(f"\n{SLUG} is {'ready' if ready and committed else 'written, but not set up'}.")
    if not ready:
        print("uv or the network was missing. When both are there:")
    print(f"\n  cd {SLUG}")
    for line in ("uv run mlops run", "uv run mlops gate") if ready else LATER:
        print(f"  {line}")


main()
