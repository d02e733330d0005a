"""Generated projects: baked, copied, cloned, spoilt.

`uv` and Git are the real ones. A baked project keeps its environment; copies of it share that
environment, because what differs between them is data, history and origin, not code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[2]
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
from gatewright.adapters.model_file import load_model, seal
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


def copy_template(folder: Path) -> Path:
    """The template as Git would give it to somebody else, with what is not committed yet."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (TEMPLATE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, folder / name)
    return folder


def bake(folder: Path, template: Path | str = TEMPLATE, hooks: bool = True, **answers: str) -> Path:
    """Generate a project; keyword arguments answer the questions."""
    folder.mkdir(parents=True, exist_ok=True)
    made = cookiecutter(
        str(template),
        no_input=True,
        extra_context=answers,
        output_dir=str(folder),
        accept_hooks=hooks,
    )
    return Path(made)
