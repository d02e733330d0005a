"""Where a project can be generated from: a folder, a Git URL, a zip, and through cruft.

The library is built from the template wherever it came from, into the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import ENVIRONMENT, copy_template
from test_files import VERSION

WHEEL = f"vendor/gatewright-{VERSION}-py3-none-any.whl"
PYTHON = (sys.executable, "-m")
SOURCES = ["folder", "relative folder", "Git URL", "zip", "cruft", "cruft, relative folder"]


@pytest.fixture(scope="session")
def repository(shared: Callable[..., Path]) -> Path:
    """A bare repository of the template as it stands here, and a zip beside it."""

    def make(folder: Path) -> None:
        work = copy_template(folder / "work")
        publish(work, folder / "template.git")
        archive = ("archive", "--format=zip", "--prefix=template/", "HEAD")
        git(work, *archive, "--output", str(folder / "template.zip"))

    return shared("repository", make)


def publish(work: Path, bare: Path) -> None:
    git(work, "init", "--quiet", "--initial-branch", "main")
    git(work, "add", "--all", "--force")
    git(work, "commit", "--quiet", "--no-verify", "-m", "The template")
    git(work, "clone", "--quiet", "--bare", ".", str(bare))


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def generate(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a generator in a folder, where nothing can be installed: the wheel needs no network."""
    folder.mkdir(parents=True, exist_ok=True)
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env=ENVIRONMENT
        | {
            "HOME": str(home),
            "PWD": str(folder),
            "UV_OFFLINE": "1",
            "UV_CACHE_DIR": str(home / "cache"),
        },
    )


def command(source: str, repository: Path, folder: Path) -> tuple[str, ...]:
    """How somebody generates from such a source; a relative folder is copied beside `folder`."""
    url = (repository / "template.git").as_uri()
    if "relative" in source:
        shutil.copytree(repository / "work", folder.parent / "template")
    if "cruft" in source:
        address = "../template" if "relative" in source else url
        return (*PYTHON, "cruft", "create", "--no-input", address)
    addresses = {
        "folder": str(repository / "work"),
        "relative folder": "../template",
        "Git URL": url,
        "zip": str(repository / "template.zip"),
    }
    return (*PYTHON, "cookiecutter", "--no-input", addresses[source])


@pytest.fixture(scope="session")
def digest(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sha256 of the wheel as `uv build` makes it of the template itself."""
    out = tmp_path_factory.mktemp("wheel")
    words = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(out), str(repository / "work")]
    subprocess.run(words, check=True, capture_output=True)
    return sha256(out / Path(WHEEL).name)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_gives_the_same_library(
    source: str, repository: Path, digest: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    done = generate(folder, *command(source, repository, folder))
    assert done.returncode == 0, done.stdout + done.stderr
    root = folder / "late-flights"
    assert sha256(root / WHEEL) == digest
    assert git(root, "log", "--format=%s") == "Start from the Gatewright template"
    assert WHEEL in git(root, "ls-files").splitlines()
    left = {".cruft.json"} if "cruft" in source else set()  # cruft writes it after the hook
    assert set(git(root, "ls-files", "--others", "--exclude-standard").splitlines()) == left


@pytest.mark.parametrize("source", ["Git URL", "zip", "cruft"])
def test_a_template_without_its_library_leaves_nothing(source: str, tmp_path: Path) -> None:
    work = copy_template(tmp_path / "broken/work")
    (work / "src/gatewright/__init__.py").unlink()
    publish(work, tmp_path / "broken/template.git")
    archive = ("archive", "--format=zip", "--prefix=template/", "HEAD")
    git(work, *archive, "--output", str(tmp_path / "broken/template.zip"))
    folder = tmp_path / "out"
    done = generate(folder, *command(source, tmp_path / "broken", folder))
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "could not be built from" in line]
    assert len(said) == 1
    assert said[0].startswith("The library could not be built from ")
    assert said[0].endswith("generate again.")
    assert list(folder.iterdir()) == []
