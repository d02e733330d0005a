"""A project with the settings of the template, as a maintainer applies them."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

from hub import Hub
from parcels import Project

from gatewright.adapters.files import digest

GITHUB = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}/.github"
PLACES = ("dev", "staging", "production", "rollback")
OWNERS = "* @ada\n/data/ @ada @acme/owners\n/gates.yaml @octocat # answers for it\n"


def put_library(project: Project, wheel: bytes = b"a wheel", **versions: str) -> Path:
    """The library as a project has it: pinned, locked by hash, in vendor/; the wheel."""
    here = version("gatewright")
    pinned, locked = versions.get("pinned", here), versions.get("locked", here)
    source = f"vendor/gatewright-{versions.get('source', here)}-py3-none-any.whl"
    path = project.root / source
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(wheel)
    (project.root / "pyproject.toml").write_text(
        '[project]\nname = "parcels"\n'
        f'dependencies = ["gatewright[project]=={pinned}", "numpy>=2"]\n'
        f'[tool.uv.sources]\ngatewright = {{ path = "{source}" }}\n'
    )
    (project.root / "uv.lock").write_text(
        f'[[package]]\nname = "gatewright"\nversion = "{locked}"\n'
        f'source = {{ path = "{source}" }}\n'
        f'wheels = [{{ filename = "{path.name}", hash = "sha256:{digest(path)}" }}]\n'
    )
    return path


def with_settings(project: Project, hub: Hub) -> None:
    """Give it the template's .github and the library, and let GitHub know the workflows."""
    put_library(project)
    shutil.copytree(GITHUB, project.root / ".github")
    (project.root / ".github/CODEOWNERS").write_text(OWNERS)
    hub.workflows = {path.name: "active" for path in (GITHUB / "workflows").iterdir()}
