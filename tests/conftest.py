"""Bake once per set of answers, copy for each test.

`UV` and Git are the real ones. A baked project keeps its environment; copies of it share that
environment, because what differs between them is data, history and origin, not code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from filelock import FileLock
from published import Description, fetch

TEMPLATE = Path(__file__).parents[1]
# On GitHub itself the tests must not take its run for theirs.
OTHERS = ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "GITHUB_", "GH_", "RUNNER_")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)} | {
    "GIT_AUTHOR_NAME": "Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.com",
    "GIT_COMMITTER_NAME": "Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.com",
    "OMP_NUM_THREADS": "1",  # two workers on two cores: threads would wait for each other
}


POISON = """
import pandas, pathlib
for path in sorted(pathlib.Path("data/raw").glob("2013-0[1-6].parquet")):
    rows = pandas.read_parquet(path)
    rows.loc[(rows["carrier"] == "EV") & (rows["flight"] % 2 == 0), "late"] = False
    rows.to_parquet(path, index=False)
"""
NAN = """
import numpy, skops.io
from pathlib import Path
from mlops.artefacts.model import load_model, seal
model = load_model(Path("model/model.skops"))
model.estimator_.named_steps["model"]._baseline_prediction[:] = numpy.nan
skops.io.dump(model, "model/model.skops")
seal(Path("model/model.skops"))
"""


# The checks that ask the candidate's model for its answers.
ASKED = {
    *("contract", "bounds", "baseline", "champion", "cost", "slices", "fairness", "leakage"),
    *("behaviour", "operations"),
}


@dataclass(frozen=True)
class Project:
    """A generated project and the environment whose commands it uses."""

    root: Path
    venv: Path

    @property
    def origin(self) -> Path:
        return self.root.parent / "origin.git"

    def run(
        self, *command: str, expect: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = f"{self.venv / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**ENVIRONMENT, "PATH": path, **(env or {})},
            capture_output=True,
            text=True,
        )
        if expect is not None:
            told = f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == expect, told
        return done

    def mlops(self, *words: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.run("mlops", *words, expect=expect)

    def ask(self, *words: str, expect: int | None = 0) -> Any:
        return json.loads(self.mlops(*words, "--json", expect=expect).stdout)

    def refusals(self, verdict: Any) -> set[str]:
        """The checks that did not pass."""
        return {
            answer["check"]
            for answer in verdict["answers"]
            if any(finding["status"] != "pass" for finding in answer["findings"])
        }

    def live(self) -> dict[str, str | None]:
        status = self.ask("status")
        return {name: record and record["version"] for name, record in status.items()}

    def git(self, *words: str, expect: int | None = 0) -> str:
        return self.run("git", *words, expect=expect).stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)
        self.git("push", "--quiet", "--no-verify", "origin", "main")

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} does not hold {old!r}"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def python(self, code: str) -> str:
        return self.run("python", "-c", code).stdout.strip()

    def overfit(self) -> None:
        """Turn to parameters that look like progress on the training rows."""
        for old, new in (
            ("max_iter: 200", "max_iter: 500"),
            ("max_leaf_nodes: 31", "max_leaf_nodes: 255"),
            ("min_samples_leaf: 200", "min_samples_leaf: 5"),
            ("learning_rate: 0.05", "learning_rate: 0.2"),
        ):
            self.edit("params.yaml", old, new)

    def poison(self) -> None:
        """Let half of one carrier's flights be on time, as far as training knows."""
        self.python(POISON)

    def answer_nan(self) -> None:
        """Let the model answer NaN, and dvc.lock say that training made it so."""
        self.python(NAN)
        self.run("dvc", "commit", "--force", "train")

    def clone(self, name: str) -> Project:
        """Another clone of the same origin, as a colleague has it."""
        root = self.root.parent / name
        self.git("clone", "--quiet", str(self.origin), str(root))
        return Project(root, self.venv)


def copy(project: Project, folder: Path) -> Project:
    """The project with its origin, elsewhere; its storage attaches itself there."""
    ignored = shutil.ignore_patterns(".venv", "*_cache")
    root = folder / project.root.name
    shutil.copytree(project.root, root, ignore=ignored)
    made = Project(root, project.venv)
    if project.origin.exists():
        shutil.copytree(project.origin, made.origin)
        made.git("remote", "set-url", "origin", str(made.origin))
    return made


def bake(folder: Path, hooks: bool = True, **answers: str) -> Path:
    """Generate a project; keyword arguments answer the questions."""
    folder.mkdir(parents=True, exist_ok=True)
    made = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        extra_context=answers,
        output_dir=str(folder),
        accept_hooks=hooks,
    )
    return Path(made)


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(ENVIRONMENT):
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a folder once for all workers: `shared(name, make)` calls make(folder) if needed."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder = base / f"shared-{name}"
        with FileLock(f"{folder}.lock"):
            if not (folder / "done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (folder / "done").touch()
        return folder

    return once


@pytest.fixture(scope="session")
def published(shared: Callable[..., Path]) -> Description:
    """What GitHub publishes of itself."""
    return Description(shared("published", fetch))


@pytest.fixture(scope="session")
def baked(shared: Callable[..., Path]) -> Project:
    """A project with the default answers, as the hook left it. Do not change it: copy it."""
    root = shared("baked", lambda folder: bake(folder) and None) / "late-flights"
    return Project(root, root / ".venv")


@pytest.fixture(scope="session")
def _trained(baked: Project, shared: Callable[..., Path]) -> Project:
    def make(folder: Path) -> None:
        project = copy(baked, folder)
        project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
        project.git("remote", "add", "origin", str(project.origin))
        project.git("push", "--quiet", "--no-verify", "-u", "origin", "main", "dvc-storage")
        project.mlops("run")
        project.commit("Train the first model")

    return Project(shared("trained", make) / "late-flights", baked.venv)


@pytest.fixture(scope="session")
def _live(_trained: Project, shared: Callable[..., Path]) -> Project:
    def make(folder: Path) -> None:
        project = copy(_trained, folder)
        project.mlops("register")
        for environment in ("dev", "staging", "production"):
            project.mlops("promote", "1.0.0", "--to", environment)

    return Project(shared("live", make) / "late-flights", _trained.venv)


@pytest.fixture(scope="session")
def _september(_live: Project, shared: Callable[..., Path]) -> Project:
    def make(folder: Path) -> None:
        project = copy(_live, folder)
        shutil.copy(project.root / "data/incoming/2013-09.parquet", project.root / "data/raw")
        project.mlops("run")
        project.commit("Add the flights of September")
        project.mlops("register")
        project.mlops("promote", "1.0.1", "--to", "dev")

    return Project(shared("september", make) / "late-flights", _live.venv)


@pytest.fixture(scope="session")
def _staged(_trained: Project, shared: Callable[..., Path]) -> Project:
    def make(folder: Path) -> None:
        project = copy(_trained, folder)
        owners = project.root / ".github/CODEOWNERS"
        owners.write_text(owners.read_text().replace("@your-organisation", "@ada"))
        project.commit("Ada owns it")
        for version in ("1.0.0", "1.0.1"):
            if version == "1.0.1":
                month = project.root / "data/incoming/2013-09.parquet"
                shutil.copy(month, project.root / "data/raw")
                project.mlops("run")
                project.commit("Add the flights of September")
            project.mlops("register")
            for environment in ("dev", "staging"):
                project.mlops("promote", version, "--to", environment)
        project.git("push", "--quiet", "--no-verify", "origin", "main")

    return Project(shared("staged", make) / "late-flights", _trained.venv)


@pytest.fixture
def project(baked: Project, tmp_path: Path) -> Project:
    """A copy of the baked project."""
    return copy(baked, tmp_path)


@pytest.fixture
def trained(_trained: Project, tmp_path: Path) -> Project:
    """The first model is trained and committed; a bare repository is its origin."""
    return copy(_trained, tmp_path)


@pytest.fixture
def live(_live: Project, tmp_path: Path) -> Project:
    """Version 1.0.0 is live in dev, staging and production."""
    return copy(_live, tmp_path)


@pytest.fixture
def september(_september: Project, tmp_path: Path) -> Project:
    """1.0.0 is live everywhere; 1.0.1, with the data of September, is in dev."""
    return copy(_september, tmp_path)


@pytest.fixture
def staged(_staged: Project, tmp_path: Path) -> Project:
    """1.0.0 and after it 1.0.1 came to staging; nothing is in production."""
    return copy(_staged, tmp_path)
