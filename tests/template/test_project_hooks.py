"""Each hook of a generated project is red alone for what it is there to stop.

By the real `pre-commit`, on what a person staged.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Callable, Iterator

import pytest
from projects import Project, copy

pytestmark = pytest.mark.slow
Planted = dict[str, str]  # path and content of each file that somebody stages


def token() -> str:
    """Of the shape of GitHub's, made up here: none may stand in this file."""
    letters = string.ascii_letters + string.digits
    return "ghp_" + "".join(secrets.choice(letters) for _ in range(36))


def notebook() -> str:
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "a",
        "metadata": {},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": ["one row\n"]}],
        "source": ['print("one row")'],
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}) + "\n"


def workflow(old: str, new: str) -> Callable[[Project], Planted]:
    """A workflow of the project in which one thing is wrong."""

    def change(project: Project) -> Planted:
        path = ".github/workflows/scorecard.yml"
        text = (project.root / path).read_text(encoding="utf-8")
        assert old in text
        return {path: text.replace(old, new, 1)}

    return change


def files(**named: str) -> Callable[[Project], Planted]:
    return lambda _: dict(named)


CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
PRIVATE = (
    *(".env", "deploy/.env.production", ".netrc", ".pypirc", "keys/id_ed25519", "id_rsa.pub"),
    *("server.pem", "server.key", "store.p12", "passwords.kdbx", "data.sqlite3", "data.db"),
)
PICKLED = ("m.pkl", "m.pickle", "deep/m.joblib", "m.joblib.gz", "m.skops", "m.pkl.xz")
CASES: dict[str, tuple[str, Callable[[Project], Planted]]] = {
    "an import that nothing uses": ("ruff-check", files(**{"tests/test_new.py": "import os\n"})),
    "a line that is not formatted": (
        "ruff-format",
        files(**{"tests/test_new.py": "x = {'a':1}\n"}),
    ),
    "a wrong type": (
        "mypy",
        files(**{"src/late_flights/new.py": 'def count() -> int:\n    return "one"\n'}),
    ),
    "a risk that a comment hides from ruff": (
        "bandit",
        files(
            **{
                "src/late_flights/new.py": "def run(text: str) -> object:\n"
                "    return eval(text)  # noqa: S307\n"
            }
        ),
    ),
    "a token": ("secrets", lambda _: {"notes.txt": f"token = {token()}\n"}),
    "a notebook with output": ("notebooks", files(**{"look.ipynb": notebook()})),
    "private files": ("private-files", files(**dict.fromkeys(PRIVATE, "x\n"))),
    "model files": ("model-files", files(**dict.fromkeys(PICKLED, "x\n"))),
    "a table that its name hides": (
        "data-files",
        files(**{"notes/some": "".join(f"{n},{n % 7},x\n" for n in range(300))}),
    ),
    "a large file": ("large-files", files(**{"rows.csv": "0,0\n" * 600_000})),
    "a merge that was not finished": (
        "merge-markers",
        files(**{"notes.md": "<<<<<<< HEAD\none\n=======\ntwo\n>>>>>>> other\n"}),
    ),
    "YAML that is none": ("yaml", files(**{"notes.yaml": "a: [1\n"})),
    "TOML that is none": ("toml", files(**{"notes.toml": "a = \n"})),
    "JSON that is none": ("json", files(**{"notes.json": "{\n"})),
    "a workflow that asks for what is not there": (
        "actionlint",
        workflow("github.event.repository.default_branch ==", "github.evnt =="),
    ),
    "a workflow whose action can move": ("zizmor", workflow(CHECKOUT, "actions/checkout@v7")),
    "a dvc.lock that nothing made": (
        "dvc-lock",
        files(**{"dvc.lock": "schema: '2.0'\nstages: {}\n"}),
    ),
}


@pytest.fixture(scope="module")
def worked(baked: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy(baked, tmp_path_factory.mktemp("hooks"))


@pytest.fixture
def clean(worked: Project) -> Iterator[Project]:
    yield worked
    worked.git("reset", "--quiet", "--hard", "HEAD")


def commit(project: Project) -> tuple[dict[str, str], str]:
    """How each hook ends on what is staged (Passed, Failed or Skipped), and what is told."""
    shared = {"UV_PROJECT_ENVIRONMENT": str(project.venv), "UV_NO_SYNC": "1"}
    said = project.run("pre-commit", "run", "--verbose", expect=None, env=shared).stdout
    found = re.findall(r"[.)](Passed|Failed|Skipped)\n- hook id: (\S+)", said)
    return {name: end for end, name in found}, said


@pytest.mark.parametrize(("hook", "plant"), CASES.values(), ids=CASES.keys())
def test_a_hook_is_red_alone(
    hook: str, plant: Callable[[Project], Planted], clean: Project
) -> None:
    planted = plant(clean)
    for path, content in planted.items():
        (clean.root / path).parent.mkdir(parents=True, exist_ok=True)
        (clean.root / path).write_text(content, encoding="utf-8")
        clean.git("add", "--force", path)
    ends, said = commit(clean)
    assert {name for name, end in ends.items() if end == "Failed"} == {hook}
    if len(planted) > 1:
        assert planted.keys() <= set(said.splitlines()), "each of them is named"


def test_every_hook_has_its_case(baked: Project) -> None:
    text = (baked.root / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    there = set(re.findall(r"- id: (\S+)", text))
    pushed = {"dvc-push"}  # before a push, not a commit: in test_generated
    assert {hook for hook, _ in CASES.values()} == there - pushed


def test_what_looks_like_it_and_is_not_passes(clean: Project) -> None:
    for path in ("environment.md", "keyboard.txt", "model-files.md", "data/pickles.csv"):
        (clean.root / path).write_text("words\n", encoding="utf-8")
        clean.git("add", path)
    assert set(commit(clean)[0].values()) == {"Passed", "Skipped"}
