"""Turn the files into a repository: library, environment, Git, DVC, storage, first commit."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ANSWERS: "dict[str, str]" = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
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


def find_template() -> "Path | None":
    """The folder of the template. cookiecutter hands on what was typed, which may be relative."""
    typed = ANSWERS.get("_repo_dir", "")
    output = Path(ANSWERS.get("_output_dir", "."))
    for base in (Path(os.environ.get("PWD", ".")), output, *output.parents):
        if typed and (base / typed / "src/gatewright").is_dir():
            return base / typed
    return None


def clone_template(folder: str) -> "Path | None":
    """cruft does not say where it has the template, so it is cloned again at the same commit."""
    address, commit = ANSWERS.get("_template"), ANSWERS.get("_commit")
    ready = (
        commit
        and run("", "git", "clone", "--quiet", "--no-checkout", str(address), folder)
        and run("", "git", "-C", folder, "checkout", "--quiet", str(commit))
    )
    return Path(folder) if ready else None


def build_library() -> bool:
    """Build the wheel of the library that lies beside the template into vendor/."""
    with tempfile.TemporaryDirectory() as folder:
        source = find_template() or clone_template(folder)
        if source is None:
            return False
        build = (str(UV), "build", "--quiet", "--wheel", "--out-dir", "vendor", str(source))
        run("library", *build)
    Path("vendor/.gitignore").unlink(missing_ok=True)  # uv leaves one that hides the wheel
    return wheel().is_file()


def find_file(typed: str) -> str:
    """The table that was typed, seen from where cookiecutter was called."""
    output = Path(ANSWERS.get("_output_dir", "."))
    for base in (Path(os.environ.get("PWD", ".")), output, *output.parents):
        if "://" not in typed and (base / Path(typed).expanduser()).is_file():
            return str((base / Path(typed).expanduser()).resolve())
    return typed


def adopt() -> "tuple[str, ...]":
    """The command that makes the project be about the table."""
    words = (f"--name={ANSWERS['project_name']}", f"--description={ANSWERS['description']}")
    place = find_file(ANSWERS["data_file"])
    return ("mlops", "adopt", *words, f"--target={ANSWERS['target']}", "--", place)


def wheel() -> Path:
    return Path("vendor", f"gatewright-{ANSWERS['_library_version']}-py3-none-any.whl")


def introduce() -> None:
    """Where Git does not know its user, the first commits are in the author's name."""
    if not subprocess.run(["git", "config", "user.email"], capture_output=True).stdout:
        for role in ("AUTHOR", "COMMITTER"):
            ENVIRONMENT[f"GIT_{role}_NAME"] = ANSWERS["author_name"]
            ENVIRONMENT[f"GIT_{role}_EMAIL"] = ANSWERS["author_email"]


def main() -> None:
    if not shutil.which("git"):
        sys.exit("Git is missing, and the project lives in it: install Git, then generate again.")
    if UV is None:
        sys.exit(
            "uv is missing, and it builds the library that judges the project's models: install "
            "uv (https://docs.astral.sh/uv), then generate again."
        )
    print(f"Setting up {SLUG}:")
    if not build_library():
        sys.exit(
            f"The library could not be built from {ANSWERS.get('_template')}, and without it "
            "nothing judges the project's models: mend what stands above, or name the template by "
            "its whole path, then generate again."
        )
    run("Git repository", "git", "init", "--quiet", "-b", "main")
    introduce()
    ready = run("lock the environment", UV, "lock", "--quiet") and run(
        "install it", UV, "sync", "--quiet"
    )
    has_table = bool(ANSWERS["data_file"])
    if ready and has_table and not run("your table", UV, "run", "--quiet", *adopt()):
        sys.exit(
            "The project could not be made from your table, so there is none (why, stands above): "
            "mend that, then generate again; without data_file it is made with the example."
        )
    ready = ready and run("DVC, storage and hooks", UV, "run", "--quiet", "mlops", "setup")
    message = "Start from the Gatewright template"
    run("first commit", "git", "add", "--all")
    run("", "git", "commit", "--quiet", "--no-verify", "-m", message)
    if ready:
        print(f"{SLUG} is ready. Next:")
        first = "uv run mlops adopt --review" if has_table else "uv run mlops run"
        steps = [first, "uv run mlops gate"]
    else:
        print(f"{SLUG} is whole, but the network was missing. When it is there:")
        steps = ["uv sync", "uv run mlops setup", "git add --all", "git commit -m 'Lock'"]
        if has_table:
            steps.insert(1, "uv run " + shlex.join(adopt()))
    print("\n".join(f"  {step}" for step in (f"cd {SLUG}", *steps)))


main()
