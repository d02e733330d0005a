"""Bake once per set of answers, make each state once, copy it for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stages
from filelock import FileLock
from postgres import Postgres, started
from projects import ENVIRONMENT, Parcels, Project, bake, copy, make_parcels, owned
from published import Description, fetch

from gatewright.pipeline import reproduction

GIT = """\
[user]
    name = Tester
    email = tester@example.com
[init]
    defaultBranch = main
[gc]
    auto = 0
"""


def shared_by_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run that all workers see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the machine's own Git, DVC or CI; the same for all tests, in whatever order."""
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text(GIT)
    rules = shared_by_workers(tmp_path_factory) / "kingfisher"  # compiled once, which takes seconds
    own = {"KF_RULE_CACHE_DIR": str(rules)}
    own |= {"GIT_CONFIG_GLOBAL": str(home / "gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"}
    own |= {"DVC_NO_ANALYTICS": "1"}
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        own[f"DVC_{name}_DIR"] = str(home / "dvc")
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(ENVIRONMENT):
            patch.delenv(name)
        for name, value in (ENVIRONMENT | own).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def _stages() -> Iterator[None]:
    """The commands of stages run in this process; tests/support/stages.py says why."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvc.stage.run._run", stages.OfDvc())
        patch.setattr(reproduction, "run_command", stages.in_process)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a folder once for all workers: `shared(name, make)` calls make(folder) if needed."""
    base = shared_by_workers(tmp_path_factory)

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
def postgres() -> Iterator[Postgres]:
    """A server for the tests of this worker. Each makes tables of its own."""
    with started() as server:
        yield server


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
def _flights(baked: Project, shared: Callable[..., Path]) -> Project:
    def make(folder: Path) -> None:
        project = copy(baked, folder)
        project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
        project.git("remote", "add", "origin", str(project.origin))
        project.git("push", "--quiet", "--no-verify", "-u", "origin", "main", "dvc-storage")
        project.inside("run")
        project.commit("Train the first model")

    return Project(shared("flights", make) / "late-flights", baked.venv)


@pytest.fixture(scope="session")
def _flights_live(_flights: Project, shared: Callable[..., Path]) -> Project:
    def make(folder: Path) -> None:
        project = copy(_flights, folder)
        project.inside("register")
        project.inside("promote", "1.0.0", "--to", "dev")

    return Project(shared("flights-live", make) / "late-flights", _flights.venv)


@pytest.fixture(scope="session")
def _trained(baked: Project, shared: Callable[..., Path]) -> Parcels:
    def make(folder: Path) -> None:
        project = make_parcels(baked, folder)
        project.git("push", "--quiet", "--no-verify", "-u", "origin", "main", "dvc-storage")
        project.mlops("run")
        project.commit("Train the first model")

    return Parcels(shared("trained", make) / "parcels", baked.venv)


@pytest.fixture(scope="session")
def _live(_trained: Parcels, shared: Callable[..., Path]) -> Parcels:
    def make(folder: Path) -> None:
        project = copy(_trained, folder)
        project.mlops("register")
        for environment in ("dev", "staging", "production"):
            project.mlops("promote", "1.0.0", "--to", environment)

    return Parcels(shared("live", make) / "parcels", _trained.venv)


@pytest.fixture(scope="session")
def _second(_live: Parcels, shared: Callable[..., Path]) -> Parcels:
    def make(folder: Path) -> None:
        project = copy(_live, folder)
        project.add_rows()
        project.mlops("run")
        project.commit("Add the parcels of March")
        project.mlops("register")
        project.mlops("promote", "1.0.1", "--to", "dev")

    return Parcels(shared("second", make) / "parcels", _live.venv)


@pytest.fixture(scope="session")
def _staged(_trained: Parcels, shared: Callable[..., Path]) -> Parcels:
    def make(folder: Path) -> None:
        project = copy(_trained, folder)
        owned(project)
        project.commit("Ada owns it")
        for version in ("1.0.0", "1.0.1"):
            if version == "1.0.1":
                project.add_rows()
                project.mlops("run")
                project.commit("Add the parcels of March")
            project.mlops("register")
            for environment in ("dev", "staging"):
                project.mlops("promote", version, "--to", environment)

    return Parcels(shared("staged", make) / "parcels", _trained.venv)


@pytest.fixture
def project(baked: Project, tmp_path: Path) -> Project:
    """A copy of the baked project."""
    return copy(baked, tmp_path)


@pytest.fixture
def flights(_flights: Project, tmp_path: Path) -> Project:
    """The first model of the flights is trained and committed; a bare repository is its origin."""
    return copy(_flights, tmp_path)


@pytest.fixture
def flights_live(_flights_live: Project, tmp_path: Path) -> Project:
    """As `flights`, with 1.0.0 live in dev."""
    return copy(_flights_live, tmp_path)


@pytest.fixture
def trained(_trained: Parcels, tmp_path: Path) -> Parcels:
    """The first model of the parcels is trained and committed; nothing of it is stored yet."""
    return copy(_trained, tmp_path)


@pytest.fixture
def live(_live: Parcels, tmp_path: Path) -> Parcels:
    """Version 1.0.0 is live in dev, staging and production."""
    return copy(_live, tmp_path)


@pytest.fixture
def second(_second: Parcels, tmp_path: Path) -> Parcels:
    """1.0.0 is live everywhere; 1.0.1, with the data of March, is in dev."""
    return copy(_second, tmp_path)


@pytest.fixture
def staged(_staged: Parcels, tmp_path: Path) -> Parcels:
    """1.0.0 and after it 1.0.1 came to staging; nothing is in production. Ada owns it."""
    return copy(_staged, tmp_path)
