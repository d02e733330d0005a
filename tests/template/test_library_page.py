"""`mlops explain library`: its commands, run as they stand there, bring another library."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from projects import Project, copy, copy_template
from test_files import LIBRARY, VERSION

from gatewright.pipeline.changes import library_in

pytestmark = pytest.mark.slow
PAGE = (LIBRARY / "pages/library.md").read_text(encoding="utf-8")
OURS = f"{VERSION}+acme.1"
BUILD, LOCK = re.findall(r"```console\n(.+?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def changed(baked: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a library of the team's own, brought as the page says."""
    folder = tmp_path_factory.mktemp("library")
    template = copy_template(folder / "template")
    words = ["git", "init", "--quiet", "--initial-branch", f"v{OURS}"]
    subprocess.run(words, cwd=template, check=True)
    theirs = Project(template, baked.venv)
    theirs.edit("pyproject.toml", f'version = "{VERSION}"', f'version = "{OURS}"')
    theirs.edit("src/gatewright/pages/library.md", "# The library", "# OUR library")
    theirs.git("add", "--all", "--force")
    theirs.git("commit", "--quiet", "--no-verify", "-m", "Our own")

    project = copy(baked, folder)
    typed = BUILD.replace("TEMPLATE", str(template)).replace("VERSION", OURS)
    project.run("sh", "-e", "-c", typed)
    text = (project.root / "pyproject.toml").read_text()
    lines = [line for line in text.splitlines() if VERSION in line and "gatewright" in line]
    assert len(lines) == 2, "as the page says"
    for line in lines:
        project.edit("pyproject.toml", line, line.replace(VERSION, OURS))
    project.run("sh", "-e", "-c", LOCK, env={"PRE_COMMIT_ALLOW_NO_CONFIG": "1", "SKIP": SKIPPED})
    return project


SKIPPED = "ruff-check,ruff-format,mypy,bandit,secrets"  # they would install it, which is below


def test_the_lock_names_the_new_library(changed: Project) -> None:
    wheels = list((changed.root / "vendor").iterdir())
    assert [wheel.name for wheel in wheels] == [f"gatewright-{OURS}-py3-none-any.whl"]
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    lock = changed.git("show", "HEAD:uv.lock")
    assert library_in(lock) == f"{OURS} (sha256:{digest})"
    names = changed.git("show", "--name-status", "--format=", "HEAD").splitlines()
    files = {part for name in names for part in name.split("\t")[1:]}
    assert {file.split("/")[0] for file in files} == {"pyproject.toml", "uv.lock", "vendor"}


def test_it_is_what_runs(changed: Project) -> None:
    environment = {"UV_PROJECT_ENVIRONMENT": str(changed.root.parent / "env")}
    words = ("uv", "run", "--locked", "--quiet", "--no-dev", "mlops", "explain", "library")
    assert changed.run(*words, env=environment).stdout.startswith("# OUR library")


def test_a_changed_wheel_is_not_installed(project: Project, tmp_path: Path) -> None:
    """By the hash in the lock, whatever the file's name says."""
    (wheel,) = (project.root / "vendor").iterdir()
    with wheel.open("ab") as file:
        file.write(b"\0")
    words = ["uv", "sync", "--locked", "--no-dev"]
    env = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "env")}
    done = project.run(*words, expect=None, env=env)
    assert done.returncode != 0
    assert "Hash mismatch" in done.stderr
    assert not list((tmp_path / "env").rglob("gatewright"))


def test_without_the_source_the_lock_asks_an_index(project: Project) -> None:
    """Once it is published: the line and the folder go, and nothing else changes."""
    pyproject = project.root / "pyproject.toml"
    before = tomllib.loads(pyproject.read_text())
    text = re.sub(r"\n\[tool\.uv\.sources\]\n#.*\ngatewright = .*\n", "\n", pyproject.read_text())
    pyproject.write_text(text)
    after = tomllib.loads(text)
    del before["tool"]["uv"]["sources"]
    assert after == before
    shutil.rmtree(project.root / "vendor")
    index = project.root.parent / "index"
    index.mkdir()
    template = Path(__file__).parents[2]
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", index, template], check=True)
    env = {"UV_FIND_LINKS": str(index), "PATH": os.environ["PATH"]}
    project.run("uv", "lock", "--quiet", env=env)
    packages = tomllib.loads((project.root / "uv.lock").read_text())["package"]
    (named,) = [package for package in packages if package["name"] == "gatewright"]
    assert named["version"] == VERSION
    assert named["source"].keys() == {"registry"}
