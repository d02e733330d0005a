"""Generated projects: baked, copied, cloned, spoilt.

`uv` and Git are the real ones. A baked project keeps its environment; copies of it share that
environment, because what differs between them is data, history and origin, not code.

`Parcels` is what most tests walk: everything that was generated, around a table so small that it
trains in a second. Its commands run in this process, where the library is the same.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import parcels
import skops.io
from cookiecutter.main import cookiecutter

from gatewright.adapters.dvc import dvc
from gatewright.adapters.model_file import seal
from gatewright.cli import main

TEMPLATE = Path(__file__).parents[2]
# On GitHub itself the tests must not take its run for theirs.
OTHERS = (
    *("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "GITHUB_", "GH_", "RUNNER_"),
    *("GIT_DIR", "GIT_INDEX", "REGISTRY_KEY"),
)
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
from gatewright.adapters.model_file import allowed_types, load_model, seal
model = load_model(Path("model/model.skops"), allowed_types())
model.estimator_.named_steps["model"]._baseline_prediction[:] = numpy.nan
skops.io.dump(model, "model/model.skops")
seal(Path("model/model.skops"))
"""


CARD = """\
  card:
    cmd: mlops card
    deps:
      - contract.yaml
      - data/split/train.parquet
      - docs/model-card-words.md
      - model/model.skops
      - reports/metrics.json
      - reports/predictions.parquet
    outs:
      - reports/model-card.md: {cache: false}
      - reports/plots: {cache: false}
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

    def mlops(
        self, *words: str, expect: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.run("mlops", *words, expect=expect, env=env)

    def inside(self, *words: str) -> None:
        """`mlops` in this process, its stages too: for what only leads to what is tested."""
        done = in_process(words, self.root, ENVIRONMENT)
        assert done.returncode == 0, done.stderr

    def ask(self, *words: str, expect: int | None = 0) -> Any:
        return json.loads(self.mlops(*words, "--json", expect=expect).stdout)

    def ask_inside(self, *words: str) -> Any:
        """As `ask`, in this process."""
        done = in_process((*words, "--json"), self.root, ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

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
            ("max_iter: 100", "max_iter: 300"),
            ("max_leaf_nodes: 31", "max_leaf_nodes: 255"),
            ("min_samples_leaf: 200", "min_samples_leaf: 5"),
            ("learning_rate: 0.08", "learning_rate: 0.3"),
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
        return replace(self, root=root)


@dataclass(frozen=True)
class Parcels(Project):
    """The tiny project in a generated repository."""

    def mlops(
        self, *words: str, expect: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = in_process(words, self.root, {**ENVIRONMENT, **(env or {})})
        assert expect in (None, done.returncode), f"mlops {' '.join(words)} gave {done}"
        return done

    def dvc(self, *words: str) -> None:
        """DVC in this process."""
        with environment(ENVIRONMENT), redirect_stdout(io.StringIO()):
            assert dvc(self.root, *words) == 0

    def parameter(self, strength: float) -> None:
        """Another C: another model, and a new minor version. 1.0 is a good one."""
        (self.root / "params.yaml").write_text(f"train: {{C: {strength}}}\n")

    def worsen(self) -> None:
        """Train without looking at the height."""
        self.edit("src/parcels.py", '"height"]], train[', '"height"]].assign(height=0.0), train[')

    def swap(self, model: Any) -> None:
        """Another model than the one that was trained, and dvc.lock says that training made it."""
        path = self.root / "model/model.skops"
        skops.io.dump(model, path)
        seal(path)
        self.dvc("commit", "--quiet", "--force", "train")

    def add_card(self) -> None:
        """A model card too, which most tests do not need."""
        path = self.root / "dvc.yaml"
        path.write_text(path.read_text() + CARD)
        self.mlops("run", "card")

    def add_rows(self) -> None:
        """Another month of data: another model, and a new patch version."""
        new = self.root / "data/raw/2026-03.parquet"
        parcels.make_rows(1000, 4000).to_parquet(new)


Kind = TypeVar("Kind", bound=Project)


def in_process(
    words: tuple[str, ...] | list[str], folder: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`mlops` in this process, in `folder` and with exactly this environment."""
    out, err, path = io.StringIO(), io.StringIO(), list(sys.path)
    for handler in logging.getLogger("dvc").handlers:  # they hold the streams of the first call
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(out if handler.level < logging.WARNING else err)
    with chdir(folder), environment(env), redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(words)
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
        finally:
            sys.path[:] = path
    return subprocess.CompletedProcess(["mlops", *words], status, out.getvalue(), err.getvalue())


@contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """Exactly this environment, and the tools that lie beside this Python."""
    before = dict(os.environ)
    tools = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}
    try:
        os.environ.clear()
        os.environ.update({**env, **tools})
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def copy(project: Kind, folder: Path) -> Kind:
    """The project with its origin, elsewhere; its storage attaches itself there."""
    ignored = shutil.ignore_patterns(".venv", "*_cache")
    root = folder / project.root.name
    shutil.copytree(project.root, root, ignore=ignored)
    made = replace(project, root=root)
    if project.origin.exists():
        shutil.copytree(project.origin, made.origin)
        made.git("remote", "set-url", "origin", str(made.origin))
    return made


_GENERATED = (".", "docs/")
PARCELS = {n: text for n, text in parcels.FILES.items() if not n.startswith(_GENERATED)} | {
    "gates.yaml": "approval: [production]\nprotection: {production: []}\n" + parcels.GATES,
    "dvc.yaml": parcels.DVC.replace("python src/parcels.py", "mlops stage parcels"),
    "tests/test_one.py": "def test_one() -> None:\n    assert 1 + 1 == 2\n",
}


def make_parcels(baked: Project, folder: Path) -> Parcels:
    """Everything that was generated, around the tiny project; nothing of it is trained yet."""
    project = Parcels(folder / "parcels", baked.venv)
    own = ("data", "notebooks", "src", "tests")
    made = (".git", ".venv", ".dvc-storage", "cache", "tmp", "*_cache")
    shutil.copytree(baked.root, project.root, ignore=shutil.ignore_patterns(*own, *made))
    for name, text in PARCELS.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project.edit("pyproject.toml", '"--cov-fail-under=85"', '"--cov-fail-under=0"')
    (project.root / "data/raw").mkdir(parents=True)
    for month, first in (("2026-01", 0), ("2026-02", 2000)):
        parcels.make_rows(2000, first).to_parquet(project.root / f"data/raw/{month}.parquet")
    project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
    project.git("init", "--quiet", "-b", "main")
    project.git("remote", "add", "origin", str(project.origin))
    project.mlops("setup")
    project.commit("Start from the Gatewright template")
    return project


def owned(project: Project) -> None:
    """Somebody whom GitHub knows owns it."""
    owners = project.root / ".github/CODEOWNERS"
    owners.write_text(owners.read_text().replace("@your-organisation", "@ada"))


def change_library(project: Project, path: str, old: str, new: str) -> None:
    """Change the library as a team does: another wheel in vendor/, and the lock that names it."""
    pyproject = project.root / "pyproject.toml"
    version = re.search(r"\[project\]==([\w.+]+)", pyproject.read_text())
    assert version
    ours = f"{version[1]}+ours"
    with TemporaryDirectory() as name:
        source = Path(name)
        for kept in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(TEMPLATE / kept, source)
        shutil.copytree(TEMPLATE / "src/gatewright", source / "src/gatewright")
        for file, before, after in (
            (f"src/gatewright/{path}", old, new),
            ("pyproject.toml", f'version = "{version[1]}"', f'version = "{ours}"'),
        ):
            text = (source / file).read_text(encoding="utf-8")
            assert before in text, f"{file} does not hold {before!r}"
            (source / file).write_text(text.replace(before, after, 1), encoding="utf-8")
        vendor = project.root / "vendor"
        for wheel in vendor.glob("*.whl"):
            wheel.unlink()
        project.run("uv", "build", "--quiet", "--wheel", "--out-dir", str(vendor), str(source))
    (vendor / ".gitignore").unlink(missing_ok=True)
    text = pyproject.read_text().replace(f"[project]=={version[1]}", f"[project]=={ours}")
    pyproject.write_text(text.replace(f"gatewright-{version[1]}-py3", f"gatewright-{ours}-py3"))
    project.run("uv", "lock", "--quiet")


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
