"""Files that would change what other code does, by where they lie or what they are called.

Python imports from the first place that has a module of a name, and runs some files unasked. A
stage sees `src` and what is installed; what would stand in the way of either is refused.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Collection
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import PurePosixPath

SOURCE = "src"  # where stages look for modules
_UNASKED = {"sitecustomize", "usercustomize"}  # Python imports them at its start
_VARIABLE = re.compile(r"^\s*(?:export\s+)?((?:PYTHON|LD_|DYLD_|UV_)\w*|PATH)\s*=", re.MULTILINE)


def shadows(held: Collection[str], taken: Collection[str], env: str = "") -> list[str]:
    """What lies where it changes which code runs, a sentence each.

    `held` are the paths that Git holds, `taken` the names of modules that are not the project's,
    `env` is the text of a `.env` that Git holds.
    """
    inside = {_top(path.removeprefix(f"{SOURCE}/")) for path in held if _in_source(path)}
    beside = {_top(path) for path in held if path.endswith(".py") and not _in_source(path)}
    return [
        *(said for path in sorted(held) if (said := _by_itself(path))),
        *(
            f"{SOURCE}/{name} has the name of a module that is not the project's, and would be "
            "imported in its place. Give it another name"
            for name in sorted(inside & {*taken, *_UNASKED, *sys.stdlib_module_names})
        ),
        *(
            f"{name} lies beside {SOURCE}/{name}, and which of them is meant depends on where a "
            f"command runs. Stages import from {SOURCE}: remove the other"
            for name in sorted(inside & beside)
        ),
        *(
            f".env sets {name}, which says where code is looked for. Remove it"
            for name in sorted(set(_VARIABLE.findall(env)))
        ),
    ]


def local_packages(lock: str | None) -> list[str]:
    """What a uv.lock installs from a folder of the project's, a sentence each."""
    return [
        f"{folder} is installed as the package {name}, and DVC watches nothing of it. Move its "
        f"code into {SOURCE}"
        for name, source in _packages(lock)
        for folder in (source.get("directory"), source.get("editable"))
        if folder not in (None, ".")
    ]


def module_names(lock: str | None) -> set[str]:
    """The names of modules that are installed here, or that a uv.lock would install.

    What the lock file builds from the project's own folder is the project's.
    """
    own: set[str] = set()
    packages: set[str] = set()
    for name, source in _packages(lock):
        local = {"virtual", "editable", "directory"} & set(source)
        (own if local else packages).add(_normal(name))
    installed = {name for name, by in _installed().items() if not {*map(_normal, by)} <= own}
    return packages | installed


def _packages(lock: str | None) -> list[tuple[str, dict[str, object]]]:
    """The packages of a uv.lock with their sources; none of a text that is no lock."""
    try:
        packages = tomllib.loads(lock or "").get("package", [])
        return [(str(package["name"]), dict(package.get("source", {}))) for package in packages]
    except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return []


@cache
def _installed() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _in_source(path: str) -> bool:
    return path.startswith(f"{SOURCE}/")


def _top(path: str) -> str:
    return PurePosixPath(path).parts[0].partition(".")[0]


def _by_itself(path: str) -> str | None:
    place = PurePosixPath(path)
    if place.suffix in (".pyc", ".pyo"):
        return f"{path} is bytecode. Remove it: `git rm {path}`"
    if place.suffix == ".pth" or place.name == "pyvenv.cfg" or "site-packages" in place.parts:
        return f"{path} is of an installed Python, which `uv sync` makes. Remove it from Git"
    if place.stem in _UNASKED and len(place.parts) == 1:
        return f"{path} is run by every Python that starts here. Remove it"
    return None
