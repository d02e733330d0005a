"""The tiny project is made once; each test gets a copy of it at some point of its life."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub import Hub
from parcels import Project, make_project
from runs import LIVE, RUN

from gatewright.adapters import github

Shared = Callable[[str, Callable[[Path], object]], Path]


def project_in(folder: Path) -> Project:
    return Project(folder / "parcels")


@pytest.fixture(scope="session")
def made_project(shared: Shared) -> Project:
    return project_in(shared("parcels", lambda folder: make_project(folder, trained=(0.5, 0.25))))


@pytest.fixture(scope="session")
def made_release(made_project: Project, shared: Shared) -> Project:
    def make(folder: Path) -> None:
        project = made_project.copy(folder)
        project.mlops("register")
        for environment in ("dev", "staging", "production"):
            project.mlops("promote", "1.0.0", "--to", environment)

    return project_in(shared("parcels-released", make))


@pytest.fixture(scope="session")
def made_second(made_release: Project, shared: Shared) -> Project:
    def make(folder: Path) -> None:
        project = made_release.copy(folder)
        project.retrain(0.5)
        project.mlops("register")
        project.mlops("promote", "1.1.0", "--to", "dev")

    return project_in(shared("parcels-second", make))


@pytest.fixture(scope="session")
def made_third(made_second: Project, shared: Shared) -> Project:
    def make(folder: Path) -> None:
        project = made_second.copy(folder)
        project.retrain(0.25)
        project.mlops("register")
        project.mlops("promote", "1.2.0", "--to", "dev")

    return project_in(shared("parcels-third", make))


@pytest.fixture(scope="session")
def made_approved(made_second: Project, shared: Shared) -> Project:
    """1.1.0 is in staging; the record of 1.0.0 in production says that ada approved run 1."""

    def make(folder: Path) -> None:
        project = made_second.copy(folder)
        project.mlops("promote", "1.1.0", "--to", "staging")
        project.edit("gates.yaml", "sampling:", "approval: [production]\nsampling:")
        project.commit("Ask for approval")
        project.git("push", "--quiet", "origin", "HEAD")
        project.rewrite(LIVE, "run: null", f"run: {RUN}1")
        project.rewrite(LIVE, "approved_by: null", "approved_by: ada")
        shutil.rmtree(folder / "stranger")

    return project_in(shared("parcels-approved", make))


@pytest.fixture
def trained(made_project: Project, tmp_path: Path) -> Project:
    """Trained and committed, nothing registered."""
    return made_project.copy(tmp_path)


@pytest.fixture
def released(made_release: Project, tmp_path: Path) -> Project:
    """1.0.0 is live in dev, staging and production."""
    return made_release.copy(tmp_path)


@pytest.fixture
def second(made_second: Project, tmp_path: Path) -> Project:
    """As `released`, then 1.1.0 came to dev."""
    return made_second.copy(tmp_path)


@pytest.fixture
def third(made_third: Project, tmp_path: Path) -> Project:
    """As `second`, then 1.2.0 came to dev."""
    return made_third.copy(tmp_path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """GitHub, as a workflow's job reaches it."""
    with Hub() as hub:
        monkeypatch.setenv("GITHUB_API_URL", hub.url)
        monkeypatch.setenv("GITHUB_TOKEN", "ghs_token")
        monkeypatch.setattr(github, "PAUSES", (0.01, 0.01, 0.01))
        yield hub
    assert hub.errors == []
