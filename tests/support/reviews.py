"""A pull request by hand: a base branch, and a candidate that `prove` and `review` judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import skops.io
from parcels import Project
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from gatewright.adapters.model_file import seal
from gatewright.paths import MODEL

# A piece of code with which each training gives something else.
RANDOM = """
import os
model = make_pipeline(SimpleImputer(), LogisticRegression())
model.fit(train[["weight", "height"]], train["broken"])
model[-1].coef_[:] += 1e-6 * int.from_bytes(os.urandom(4), "big") / 2**32
skops.io.dump(model, "model/model.skops")
"""


class Review:
    """A base branch, and a candidate's checkout of a branch from it."""

    def __init__(self, base: Project) -> None:
        self.base = base
        self.candidate = base.clone("candidate")
        self.candidate.git("checkout", "--quiet", "-b", "change")
        self.claims = base.root.parent / "claims"

    def prove(self, expect: int = 0) -> Any:
        """What the candidate's own job says, as data; its words are in `said`."""
        self.candidate.git("add", "--all")
        self.candidate.git("commit", "--quiet", "--no-verify", "--allow-empty", "-m", "Change")
        words = ("--base", "origin/main", "--out", str(self.claims))
        self.said = self.candidate.mlops("prove", *words, expect=expect)
        assert self.said.out
        return json.loads((self.claims / "claims.json").read_text())

    def judge(self, expect: int = 0) -> Any:
        candidate = str(self.candidate.root)
        return self.base.ask("review", candidate, "--claims", str(self.claims), expect=expect)

    def raw(self) -> Path:
        """The candidate's raw data, and with it all that the base has run before."""
        cache = self.candidate.root / ".dvc/cache"
        if not cache.exists():
            shutil.copytree(self.base.root / ".dvc/cache", cache)
            self.candidate.dvc("checkout", "--quiet", "data/raw.dvc")
        return self.candidate.root / "data/raw"

    def run(self) -> None:
        """Run the candidate's pipeline; what the base has run before is taken from its cache."""
        self.raw()
        self.candidate.mlops("run")

    def retrain(self, strength: float) -> None:
        (self.candidate.root / "params.yaml").write_text(f"train: {{C: {strength}}}\n")
        self.run()

    def train(self, code: str = "") -> None:
        """Add a piece of code, train, and store what came of it."""
        script = self.candidate.root / "src/parcels.py"
        script.write_text(script.read_text() + code)
        self.run()
        self.candidate.mlops("push")


def forge(project: Project) -> None:
    """A forest that learnt the test rows by heart stands under dvc.lock, with all digests right."""
    rows = project.test_rows
    forest = make_pipeline(SimpleImputer(), RandomForestClassifier(20, random_state=0))
    skops.io.dump(forest.fit(rows[["weight", "height"]], rows["broken"]), project.root / MODEL)
    seal(project.root / MODEL)
    project.dvc("commit", "--quiet", "--force", "train")
    project.dvc("repro", "--quiet", "evaluate")
    project.mlops("push")


def lenient(project: Project) -> None:
    """No check but the lock could tell: nothing is too good."""
    project.edit(
        "gates.yaml",
        "too_good: {roc_auc: 0.99}",
        "too_good: {}, max_error_cut: 1, max_unexplained: 1",
    )
    project.commit("Nothing is too good")
    project.git("push", "--quiet")
