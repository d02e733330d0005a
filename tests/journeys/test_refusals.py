"""Bad models walk up to the gate of the real project, each kind on its own.

What is asserted is not only the no, but which check says it.
"""

import json
from collections.abc import Callable

import pytest
from projects import ASKED, Project

pytestmark = pytest.mark.slow


def retrain(project: Project) -> None:
    project.mlops("run", "train")


def overfitted(project: Project) -> None:
    project.overfit()
    retrain(project)


def poisoned(project: Project) -> None:
    project.poison()
    retrain(project)


def shuffled_labels(project: Project) -> None:
    code = """
import pandas, pathlib
for path in sorted(pathlib.Path("data/raw").glob("2013-0[1-6].parquet")):
    rows = pandas.read_parquet(path)
    rows["late"] = rows["late"].sample(frac=1, random_state=0).to_numpy()
    rows.to_parquet(path, index=False)
"""
    project.python(code)
    retrain(project)


def pickled(project: Project) -> None:
    code = """
import pickle
class Mark:
    def __reduce__(self): return (open, ("mark", "w"))
open("model/model.skops", "wb").write(pickle.dumps(Mark()))
"""
    project.python(code)
    project.run("dvc", "commit", "--force", "train")


def joblibbed(project: Project) -> None:
    code = """
import joblib
class Mark:
    def __reduce__(self): return (open, ("mark", "w"))
joblib.dump(Mark(), "model/model.skops", compress=3)
"""
    project.python(code)
    project.run("dvc", "commit", "--force", "train")


def swapped_model(project: Project) -> None:
    project.python("import shutil; shutil.copy('model/baseline.skops', 'model/model.skops')")


def easier_test_set(project: Project) -> None:
    """Rows that the candidate gets wrong are dropped; the lock is left as it was."""
    code = """
import pandas
rows = pandas.read_parquet("data/split/test.parquet")
guess = pandas.read_parquet("reports/predictions.parquet")["candidate"] > 0.3
rows[guess.to_numpy() == rows["late"].to_numpy()].to_parquet("data/split/test.parquet")
"""
    project.python(code)


def few_rows(project: Project) -> None:
    project.edit("params.yaml", 'until: "2013-09-01"', 'until: "2013-07-08"')
    retrain(project)


def missing_model(project: Project) -> None:
    (project.root / "model/model.skops").unlink()


def missing_test_set(project: Project) -> None:
    (project.root / "data/split/test.parquet").unlink()


BAD: dict[str, tuple[Callable[[Project], None], set[str]]] = {
    "overfitted": (overfitted, {"bounds", "champion", "behaviour"}),
    "half of one airline's labels turned": (poisoned, {"champion", "data"}),
    "labels shuffled": (
        shuffled_labels,
        {"bounds", "baseline", "champion", "slices", "data", "behaviour"},
    ),
    "a pickle under the model's name": (pickled, ASKED),
    "a joblib under the model's name": (joblibbed, ASKED),
    "another model than the lock names": (
        swapped_model,
        {"files", "bounds", "baseline", "champion", "slices"},
    ),
    "a test set made easier": (easier_test_set, {"files", "holdout", "bounds", "leakage"}),
    "predictions that are NaN": (Project.answer_nan, ASKED),
    "a week of test rows": (few_rows, {"rows", "holdout"}),
    "no model": (missing_model, {"files", *ASKED}),
    "no test set": (missing_test_set, {"files", "rows", "holdout", *ASKED}),
}


@pytest.mark.parametrize(("spoil", "checks"), BAD.values(), ids=BAD.keys())
def test_a_bad_model_is_refused(
    spoil: Callable[[Project], None], checks: set[str], live: Project
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


def test_the_honest_model_is_let_in(live: Project) -> None:
    verdict = live.ask("gate", "--env", "production")
    assert verdict["decision"] == "yes"
    assert live.refusals(verdict) == set()
    assert "not worse than 1.0.0" in json.dumps(verdict)


def test_a_doctored_metric_decides_nothing(live: Project) -> None:
    overfitted(live)
    honest = live.ask("gate", expect=1)
    metrics = json.loads((live.root / "reports/metrics.json").read_text())
    for entry in metrics["metrics"].values():
        entry["candidate"] = {"value": 0.99, "low": 0.99, "high": 0.99}
    (live.root / "reports/metrics.json").write_text(json.dumps(metrics))
    assert live.ask("gate", expect=1)["metrics"] == honest["metrics"]


def test_a_small_loss_that_the_rows_cannot_settle_is_undecided(live: Project) -> None:
    """Within sight of the margin: neither proven harmless nor proven harmful."""
    live.edit("gates.yaml", "roc_auc: 0.005", "roc_auc: 0.0")
    live.edit("gates.yaml", "brier_score: 0.001", "brier_score: 1.0")
    live.edit("params.yaml", "seed: 0", "seed: 1")
    retrain(live)
    verdict = live.ask("gate", "--env", "staging", expect=2)
    (answer,) = [a for a in verdict["answers"] if a["check"] == "champion"]
    (auc,) = [f for f in answer["findings"] if f["subject"] == "roc_auc"]
    low, high = auc["estimate"]["low"], auc["estimate"]["high"]
    assert low < 0 < high, "another seed is no proven change"
    assert (auc["status"], verdict["decision"]) == ("unsure", "undecided")
    assert "CANNOT TELL" in live.mlops("gate", "--env", "staging", expect=2).stdout
    warned = live.ask("gate", "--env", "dev")
    assert warned["decision"] == "yes"
    assert warned["notes"] == ["Not proven, and let pass by cannot_tell: champion"]
