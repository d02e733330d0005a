"""A tiny project with everything that the machinery looks at: does a parcel arrive broken?

It is a real one, with Git, an origin and DVC; only the data is made up.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import skops.io
import yaml
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from gatewright.adapters.dvc import dvc
from gatewright.adapters.files import digest
from gatewright.adapters.model_file import seal
from gatewright.cli import main
from gatewright.paths import BASELINE, MODEL, TEST

CONTRACT = """\
name: Parcels
description: How probable is it that a parcel arrives broken?
key: [number]
time: sent
target: {name: broken, description: The parcel arrives broken.}
prediction: {name: probability_broken, description: How probable it is that it arrives broken.}
slices: [shop]
columns:
  number: {type: integer, description: Its number, min: 0, feature: false}
  sent: {type: datetime, description: When it was sent, feature: false}
  shop: {type: string, description: Who sent it, values: [north, south], feature: false}
  weight:
    {type: number, description: Weight, unit: kg, nullable: true, min: -9, max: 9, max_missing: 0.2}
  height: {type: number, description: Height, unit: m, min: -9, max: 9}
  email: {type: string, description: Who gets it, personal: true}
"""

GATES = """\
sampling: {resamples: 200}
checks:
  rows: {min: 500, min_each_class: 100}
  bounds:
    metrics:
      roc_auc: {min: 0.70}
      brier_score: {max: 0.23}
  baseline:
    metrics: {roc_auc: 0.02, brier_score: 0.0}
  champion:
    metrics: {roc_auc: 0.01, brier_score: 0.005}
  slices:
    metrics: {roc_auc: 0.05}
  leakage: {time_order: allow, too_good: {roc_auc: 0.99}}
environments:
  dev: {}
  staging: {}
  production:
    bounds:
      metrics:
        roc_auc: {min: 0.72}
"""

DVC = """\
stages:
  check:
    cmd: mlops check
    deps: [contract.yaml, data/raw]
    outs:
      - reports/data.json: {cache: false}
  train:
    cmd:
      - python src/parcels.py
      - mlops seal model/model.skops model/baseline.skops
    deps: [contract.yaml, data/raw, reports/data.json, src/parcels.py]
    params: [train]
    outs:
      - data/split/train.parquet
      - data/split/test.parquet
      - model/model.skops
      - model/baseline.skops
  evaluate:
    cmd: mlops evaluate
    deps: [contract.yaml, data/split/test.parquet, model/model.skops, model/baseline.skops]
    outs: [reports/predictions.parquet]
    metrics:
      - reports/metrics.json: {cache: false}
"""

TRAIN = """\
from pathlib import Path

import pandas as pd
import skops.io
import yaml
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

rows = pd.concat(map(pd.read_parquet, sorted(Path("data/raw").glob("*.parquet"))))
rows = rows.drop(columns="email").sort_values("number")
train, test = rows[rows["number"] % 2 == 0], rows[rows["number"] % 2 == 1]
strength = yaml.safe_load(Path("params.yaml").read_text())["train"]["C"]
models = {
    "model": make_pipeline(SimpleImputer(), LogisticRegression(C=strength)),
    "baseline": make_pipeline(SimpleImputer(), DecisionTreeClassifier(max_depth=1, random_state=0)),
}
for folder in ("data/split", "model"):
    Path(folder).mkdir(parents=True, exist_ok=True)
train.to_parquet("data/split/train.parquet")
test.to_parquet("data/split/test.parquet")
for name, model in models.items():
    skops.io.dump(model.fit(train[["weight", "height"]], train["broken"]), f"model/{name}.skops")
"""

# Appended to TRAIN: another model, as honestly made as any.
ANOTHER = """
model = make_pipeline(SimpleImputer(), LogisticRegression())
model.fit(train[["weight", "height"]], train["broken"])
model[-1].coef_[:] = {weight}, {height}
model[-1].intercept_[:] = 0
skops.io.dump(model, "model/model.skops")
"""

FILES = {
    "contract.yaml": CONTRACT,
    "gates.yaml": GATES,
    "dvc.yaml": DVC,
    "params.yaml": "train: {C: 1.0}\n",
    "src/parcels.py": TRAIN,
    "docs/model-card-words.md": "## What it is for\n\nTests.\n",
    ".gitignore": "/.dvc-storage/\n/reports/gate.*\n__pycache__/\n",
    ".dvcignore": ".dvc-storage\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvc/config": "[core]\n    analytics = false\n    remote = dev\n"
    + "".join(
        f"['remote \"{name}\"']\n    url = ../.dvc-storage/{name}\n"
        for name in ("dev", "staging", "production")
    ),
}


def make_rows(n: int, first: int = 0, seed: int = 0) -> pd.DataFrame:
    """Labelled rows that keep the contract: heavy and high parcels break more often."""
    draw = np.random.default_rng([seed, first])
    weight, height = draw.normal(size=(2, n)).clip(-8, 8)
    broken = draw.random(n) < 1 / (1 + np.exp(-(1.6 * weight + 1.2 * height)))
    return pd.DataFrame(
        {
            "number": np.arange(first, first + n),
            "sent": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="min"),
            "shop": np.where(draw.random(n) < 0.5, "north", "south"),
            "weight": np.where(draw.random(n) < 0.02, np.nan, weight),
            "height": height,
            "email": [f"{first + i}@example.com" for i in range(n)],
            "broken": broken,
        }
    )


def make_model(weight: float = 1.6, height: float = 1.2) -> Any:
    """A fitted model with the coefficients that one chooses."""
    rows = make_rows(200)
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    model.fit(rows[["weight", "height"]], rows["broken"])
    model[-1].coef_[:] = weight, height
    model[-1].intercept_[:] = 0
    return model


def red(verdict: Any) -> set[str]:
    """The checks that did not pass."""
    return {
        answer["check"]
        for answer in verdict["answers"]
        if any(finding["status"] != "pass" for finding in answer["findings"])
    }


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Project:
    """A clone of the project. Its commands run in this process."""

    root: Path

    @property
    def origin(self) -> Path:
        return self.root.parent / "origin.git"

    def mlops(self, *words: str, expect: int | None = 0) -> Said:
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.root), redirect_stdout(out), redirect_stderr(err):
            try:
                status = main(words)
            except SystemExit as end:  # argparse
                status = int(end.code or 0)
        said = Said(status, out.getvalue(), err.getvalue())
        assert expect in (None, status), f"mlops {' '.join(words)} gave {said}"
        return said

    def ask(self, *words: str, expect: int | None = 0) -> Any:
        return self.mlops(*words, "--json", expect=expect).json

    def dvc(self, *words: str) -> None:
        with redirect_stdout(io.StringIO()):
            assert dvc(self.root, *words) == 0

    def git(self, *words: str, **env: str) -> str:
        command, env = ["git", *words], {**os.environ, **env}
        done = subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def commit(self, message: str = "Change") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "-m", message)

    def merge(self, message: str = "Change") -> None:
        """Commit, and let origin's default branch have it."""
        self.commit(message)
        self.git("push", "--quiet", "origin", "HEAD:main")

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text, f"{path} does not hold {old!r}"
        (self.root / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    def clone(self, name: str = "colleague") -> Project:
        """Another clone of the same origin."""
        self.git("clone", "--quiet", str(self.origin), str(self.root.parent / name))
        return Project(self.root.parent / name)

    def train(self, strength: float) -> None:
        (self.root / "params.yaml").write_text(f"train: {{C: {strength}}}\n")
        self.mlops("run")

    def retrain(self, strength: float) -> None:
        """Another C: another model, and a new minor version."""
        self.train(strength)
        self.commit("Retrain")
        self.git("push", "--quiet")

    def put(self, path: str, write: Callable[[Path], object]) -> None:
        """Change an output of the pipeline and let dvc.lock say that it made it so."""
        before = digest(self.root / path, "md5")
        write(self.root / path)
        after = digest(self.root / path, "md5")
        lock = self.root / "dvc.lock"
        lock.write_text(lock.read_text().replace(before, after))

    def put_model(self, model: Any, path: str = MODEL) -> None:
        def write(target: Path) -> None:
            skops.io.dump(model, target)
            seal(target)

        self.put(path, write)

    def put_baseline(self, model: Any) -> None:
        self.put_model(model, BASELINE)

    def put_test_rows(self, rows: pd.DataFrame) -> None:
        self.put(TEST, lambda target: rows.to_parquet(target))

    @property
    def test_rows(self) -> pd.DataFrame:
        return pd.read_parquet(self.root / TEST)

    def live(self) -> dict[str, str | None]:
        status = self.ask("status")
        return {name: record and record["version"] for name, record in status.items()}

    def registry(self) -> str:
        """What origin has of the registry and its tags."""
        return self.git("ls-remote", "origin", "refs/heads/registry", "refs/tags/*")

    def record(self, version: str) -> Any:
        return yaml.safe_load(self.git("show", f"refs/mlops/seen:versions/{version}.yaml"))

    def stored(self, version: str, environment: str, path: str = MODEL) -> str:
        """Where a version's file lies on the branch dvc-storage."""
        (md5,) = [f["md5"] for f in self.record(version)["files"] if f["path"] == path]
        return f"{environment}/files/md5/{md5[:2]}/{md5[2:]}"

    def stranger(self, branch: str) -> Project:
        """A new clone of origin, on a branch."""
        place = self.root.parent / "stranger"
        shutil.rmtree(place, ignore_errors=True)
        self.git("clone", "--quiet", "--branch", branch, str(self.origin), str(place))
        return Project(place)

    def change_branch(self, branch: str, change: Callable[[Path], object], *push: str) -> None:
        """Somebody changes a branch of origin past the machinery."""
        stranger = self.stranger(branch)
        change(stranger.root)
        stranger.commit("Nothing to see here")
        stranger.git("push", "--quiet", *push, "origin", f"HEAD:{branch}")

    def rewrite(self, path: str, old: str, new: str) -> None:
        """Let a file of the registry have said something else from the start."""
        stranger = self.stranger("registry")
        change = f"[ ! -f {path} ] || sed -i 's#{old}#{new}#' {path}"
        hurry = {"FILTER_BRANCH_SQUELCH_WARNING": "1"}  # else it waits ten seconds
        stranger.git("filter-branch", "--force", "--tree-filter", change, "HEAD", **hurry)
        stranger.git("push", "--quiet", "--force", "origin", "HEAD:registry")
        self.git("fetch", "--quiet", "origin", "+registry:refs/mlops/seen")

    def on_github(self) -> None:
        """Let origin be acme/late-flights on GitHub, which Git finds in the bare repository."""
        url = "https://github.com/acme/late-flights"
        self.git("config", f"url.{self.origin}.insteadOf", url)
        self.git("remote", "set-url", "origin", url)

    def copy(self, folder: Path) -> Project:
        """The project and its origin, elsewhere."""
        made = Project(folder / self.root.name)
        shutil.copytree(self.origin, folder / self.origin.name)
        # The work tree of the storage knows its place; a command makes it again.
        ignore = shutil.ignore_patterns(".dvc-storage", "worktrees")
        shutil.copytree(self.root, made.root, ignore=ignore)
        made.git("remote", "set-url", "origin", str(made.origin))
        return made


def make_project(
    folder: Path,
    changes: Mapping[str, str] = MappingProxyType({}),
    rows: Callable[[int, int], pd.DataFrame] = make_rows,
    trained: Sequence[float] = (),
) -> Project:
    """Generate, train, commit and publish it; `changes` are other texts of some files.

    What was `trained` with other strengths is in DVC's run cache, so that `retrain` is quick.
    """
    project = Project(folder / "parcels")
    for name, text in (FILES | dict(changes)).items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (project.root / "data/raw").mkdir(parents=True)
    for month, first in (("2026-01", 0), ("2026-02", 2000)):
        rows(2000, first).to_parquet(project.root / f"data/raw/{month}.parquet")
    project.git("init", "--quiet", "--bare", str(project.origin))
    project.git("init", "--quiet")
    project.git("remote", "add", "origin", str(project.origin))
    project.mlops("setup")
    for strength in trained:
        project.train(strength)
    project.train(1.0) if trained else project.mlops("run")
    project.commit("Train")
    project.git("push", "--quiet", "--set-upstream", "origin", "main")
    project.mlops("push")
    return project
