"""Bad models walk up to the gate and to the registry, each kind on its own.

What is asserted is not only the no, but which check says it. The flights' own, one that overfits
and one that is poisoned, walk through the workflow: tests/workflows/test_model_gate.py.
"""

import json
import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import pandas as pd
import pytest
from parcels import make_model
from projects import ASKED, Parcels, Project

pytestmark = pytest.mark.slow
MODEL = "model/model.skops"


class Mark:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("mark", "w"))


def retrained(project: Parcels) -> None:
    project.mlops("run", "train")


def worsened(project: Parcels) -> None:
    project.worsen()
    retrained(project)


def shuffled_labels(project: Parcels) -> None:
    for path in (project.root / "data/raw").glob("*.parquet"):
        rows = pd.read_parquet(path)
        train = rows["number"] % 2 == 0
        labels = rows.loc[train, "broken"].sample(frac=1, random_state=0)
        rows.loc[train, "broken"] = labels.to_numpy()
        rows.to_parquet(path)
    retrained(project)


def poisoned(project: Parcels) -> None:
    """Half of one shop's broken parcels arrived whole, as far as training knows."""
    for path in (project.root / "data/raw").glob("*.parquet"):
        rows = pd.read_parquet(path)
        hit = (rows["number"] % 4 == 0) & (rows["shop"] == "north")
        rows.loc[hit, "broken"] = False
        rows.to_parquet(path)
    retrained(project)


def pickled(project: Parcels) -> None:
    (project.root / MODEL).write_bytes(pickle.dumps(Mark()))
    project.dvc("commit", "--quiet", "--force", "train")


def joblibbed(project: Parcels) -> None:
    joblib.dump(Mark(), project.root / MODEL, compress=3)
    project.dvc("commit", "--quiet", "--force", "train")


def swapped_model(project: Parcels) -> None:
    shutil.copy(project.root / "model/baseline.skops", project.root / MODEL)


def easier_test_set(project: Parcels) -> None:
    """Rows that the candidate gets wrong are dropped; the lock is left as it was."""
    path = project.root / "data/split/test.parquet"
    rows = pd.read_parquet(path)
    guess = pd.read_parquet(project.root / "reports/predictions.parquet")["candidate"] > 0.5
    rows[guess.to_numpy() == rows["broken"].to_numpy()].to_parquet(path)


def not_a_number(project: Parcels) -> None:
    project.swap(make_model(math.nan, 1.0))


def few_rows(project: Parcels) -> None:
    project.edit("src/parcels.py", "% 2 == 1]", "% 20 == 1]")
    retrained(project)


def missing(path: str) -> Callable[[Parcels], None]:
    return lambda project: (project.root / path).unlink()


BAD: dict[str, tuple[Callable[[Parcels], None], set[str]]] = {
    "worse": (worsened, {"champion", "slices"}),
    "half of one shop's labels turned": (poisoned, {"champion", "data"}),
    "labels shuffled": (shuffled_labels, {"bounds", "baseline", "champion", "slices", "data"}),
    "a pickle under the model's name": (pickled, ASKED),
    "a joblib under the model's name": (joblibbed, ASKED),
    "another model than the lock names": (
        swapped_model,
        {"files", "bounds", "baseline", "champion", "slices"},
    ),
    "a test set made easier": (easier_test_set, {"files", "holdout", "leakage"}),
    "predictions that are NaN": (not_a_number, ASKED),
    "too few test rows": (few_rows, {"rows", "holdout"}),
    "no model": (missing(MODEL), {"files", *ASKED}),
    "no test set": (missing("data/split/test.parquet"), {"files", "rows", "holdout", *ASKED}),
}


@pytest.mark.parametrize(("spoil", "checks"), BAD.values(), ids=BAD.keys())
def test_a_bad_model_is_refused(
    spoil: Callable[[Parcels], None], checks: set[str], live: Parcels
) -> None:
    before = live.live()
    spoil(live)
    verdict = json.loads(live.mlops("gate", "--env", "production", "--json", expect=1).stdout)
    assert verdict["decision"] == "no"
    assert live.refusals(verdict) == checks
    assert verdict["sentence"].startswith("No: the model may not enter production.")
    assert not (live.root / "mark").exists(), "a model file was executed"

    live.commit("Try it all the same")
    said = live.mlops("register", expect=None)
    # An output that is merely gone from the work tree leaves the commit what it was.
    assert said.returncode == 1 or "registered already, as 1.0.0" in said.stdout
    assert live.live() == before
    assert "refs/tags/v1.1.0" not in live.git("ls-remote", "origin")


def test_the_honest_model_is_let_in(flights_live: Project) -> None:
    """The flights, as they were generated."""
    verdict = flights_live.ask_inside("gate", "--env", "dev")
    assert verdict["decision"] == "yes"
    assert flights_live.refusals(verdict) == set()
    assert "not worse than 1.0.0" in json.dumps(verdict)


def test_a_doctored_metric_decides_nothing(live: Parcels) -> None:
    worsened(live)
    honest = live.ask("gate", expect=1)
    path = Path(live.root, "reports/metrics.json")
    metrics = json.loads(path.read_text())
    for entry in metrics["metrics"].values():
        entry["candidate"] = {"value": 0.99, "low": 0.99, "high": 0.99}
    path.write_text(json.dumps(metrics))
    assert live.ask("gate", expect=1)["metrics"] == honest["metrics"]


def test_a_small_loss_that_the_rows_cannot_settle_is_undecided(live: Parcels) -> None:
    """Within sight of the margin: neither proven harmless nor proven harmful."""
    live.edit("gates.yaml", "approval:", "cannot_tell: {dev: warn}\napproval:")
    live.edit("gates.yaml", "roc_auc: 0.01, brier_score: 0.005", "roc_auc: 0.0, brier_score: 0.9")
    live.swap(make_model(1.5, 1.25))
    verdict = live.ask("gate", "--env", "staging", expect=2)
    (answer,) = [a for a in verdict["answers"] if a["check"] == "champion"]
    (auc,) = [f for f in answer["findings"] if f["subject"] == "roc_auc"]
    low, high = auc["estimate"]["low"], auc["estimate"]["high"]
    assert low < 0 < high, "another weight is no proven change"
    assert (auc["status"], verdict["decision"]) == ("unsure", "undecided")
    assert "CANNOT TELL" in live.mlops("gate", "--env", "staging", expect=2).stdout
    warned = live.ask("gate", "--env", "dev")
    assert warned["decision"] == "yes"
    assert warned["notes"] == [
        "It was judged by what is not committed, and nothing is released by that: gates.yaml",
        "Not proven, and let pass by cannot_tell: champion",
    ]
