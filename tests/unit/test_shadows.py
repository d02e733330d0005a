"""A stage runs the code that dvc.yaml lists: no file gets in its way by its place or its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
from dvc.stage import run
from parcels import Project, red
from reviews import Review

from gatewright.pipeline.shadows import local_packages, module_names, shadows

Change = Callable[[Project], None]
HELD = ("src/shop/__init__.py", "src/shop/train.py", "tests/test_train.py", "docs/shop.md")

IN_THE_WAY = {
    "a package beside src": ("shop/train.py", "shop lies beside src/shop"),
    "a module beside src": ("shop.py", "shop lies beside src/shop"),
    "in place of the standard library": ("src/json.py", "src/json has the name of a module"),
    "a package in its place": ("src/random/deep.txt", "src/random has the name of a module"),
    "compiled in its place": ("src/ast.cpython-311-x86_64-linux-gnu.so", "src/ast has the name"),
    "in place of a library": ("src/pandas/__init__.py", "src/pandas has the name of a module"),
    "in place of the judge": ("src/gatewright/cli.py", "src/gatewright has the name of a module"),
    "in place of what is locked": ("src/late_night/x.py", "src/late_night has the name"),
    "what Python runs unasked": ("src/sitecustomize.py", "src/sitecustomize has the name"),
    "for a user, unasked": ("src/usercustomize/__init__.py", "src/usercustomize has the name"),
    "at the root, unasked": ("sitecustomize.py", "is run by every Python that starts here"),
    "a path file": ("src/shop/more.pth", "is of an installed Python"),
    "an environment": (".venv/pyvenv.cfg", "is of an installed Python"),
    "a library of one": (".venv/lib/python3.11/site-packages/x.py", "is of an installed Python"),
    "bytecode": ("src/shop/__pycache__/train.cpython-311.pyc", "is bytecode. Remove it"),
}
LOCK = """\
version = 1
[[package]]
name = "late.night"
version = "1.0"
source = { registry = "mirror" }
[[package]]
name = "shop"
version = "0.1.0"
source = { virtual = "." }
"""


@pytest.mark.parametrize(("path", "words"), IN_THE_WAY.values(), ids=IN_THE_WAY.keys())
def test_what_gets_in_the_way_is_refused(path: str, words: str) -> None:
    (said,) = shadows((*HELD, path), module_names(LOCK) | {"gatewright"})
    assert words in said


def test_what_is_usual_is_not() -> None:
    usual = (
        *HELD,
        "conftest.py",
        "src/late_flights.py",
        "src/shop/json.py",
        "shop/words.md",
        ".env",
    )
    assert shadows(usual, module_names(LOCK), "TOKEN=1\n# PATH=x\nMY_PYTHON=1\n") == []
    assert shadows((), module_names("no TOML = "), "") == []


def test_a_package_that_is_a_folder_of_the_project_is_refused() -> None:
    """Its code would be taken for a library's, and not be followed."""
    lock = LOCK + '[[package]]\nname = "near"\nsource = { SOURCE = "libs/near" }\n'
    for source in ("editable", "directory"):
        (said,) = local_packages(lock.replace("SOURCE", source))
        assert said.startswith("libs/near is installed as the package near")
    assert local_packages(LOCK) == local_packages("no TOML = ") == local_packages(None) == []


@pytest.mark.parametrize("name", ["PYTHONPATH", "PATH", "LD_PRELOAD", "UV_PYTHON"])
def test_a_dotenv_that_says_where_code_is_is_refused(name: str) -> None:
    (said,) = shadows((*HELD, ".env"), (), f"A=1\nexport {name} = other\n")
    assert f".env sets {name}" in said


# Which code a stage runs

DOOR = "import pathlib\npathlib.Path('walked').touch()\n"


def beside(name: str, text: str = DOOR) -> Change:
    def change(project: Project) -> None:
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text)

    return change


DOORS = {
    "a package at the root": "shop/train.py",
    "a module at the root": "yaml.py",
    "Python's start, at the root": "sitecustomize.py",
    "the library at the root": "gatewright/__init__.py",
    "beside the script": "src/deep/yaml.py",
}


@pytest.mark.parametrize(
    "command", ["mlops stage shop.train", "python -m gatewright stage shop.train"]
)
@pytest.mark.parametrize("way", ["PYTHONPATH", "PYTHONHOME", None])
def test_a_stage_imports_from_src_alone(
    command: str, way: str | None, trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in DOORS.values():
        beside(name)(trained)
    beside("src/shop/__init__.py", "")(trained)
    beside("src/shop/train.py", "import runpy\nrunpy.run_path('src/parcels.py')\n")(trained)
    trained.edit("dvc.yaml", "python src/parcels.py", command)
    monkeypatch.setattr(run, "_run", run._run.by_shell)  # which looks where nobody told it to
    if way:
        monkeypatch.setenv(way, str(trained.root))
    trained.mlops("run")
    assert not (trained.root / "walked").exists()
    assert os.environ.get(way or "") == (str(trained.root) if way else None)


def test_a_script_does_not_import_what_lies_beside_it(trained: Project) -> None:
    beside("src/deep/yaml.py")(trained)
    beside("src/deep/train.py", "import yaml\nimport parcels\n")(trained)
    trained.edit("dvc.yaml", "python src/parcels.py", "python src/deep/train.py")
    trained.mlops("run")
    assert not (trained.root / "walked").exists()


def test_a_stage_that_is_run_by_hand_sees_src_first(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    beside("src/shop/train.py", "import sys\nprint(*sys.path, sep='\\n')\n")(trained)
    for words in (["-m", "gatewright"], ["-P", "-m", "gatewright"]):
        command = [sys.executable, *words, "stage", "shop.train"]
        done = subprocess.run(command, cwd=trained.root, capture_output=True, text=True, check=True)
        paths = done.stdout.splitlines()
        assert paths[0] == str(trained.root / "src")
        assert str(trained.root) not in paths


# Through the pull request


def test_a_package_that_shadows_another_is_refused(released: Project) -> None:
    """It was "nothing that a model is made from changes"."""
    review = Review(released)
    beside("parcels/train.py", "raise SystemExit('another model')\n")(review.candidate)
    claims = review.prove(expect=1)
    assert "parcels lies beside src/parcels" in claims["unlisted_code"][0]
    verdict = review.judge(expect=1)
    assert red(verdict) == {"lock"}
    assert "parcels lies beside src/parcels" in str(verdict)


@pytest.mark.parametrize(
    "path", ["src/json.py", "src/sitecustomize.py", ".venv/pyvenv.cfg", "more.pth"]
)
def test_what_python_would_run_is_refused(path: str, released: Project) -> None:
    review = Review(released)
    beside(path)(review.candidate)
    review.candidate.commit()
    verdict = review.judge(expect=1)
    assert "it stands on what DVC does not watch" in str(verdict)
    assert path.removesuffix(".py") in str(verdict)
