"""Training data that cheats, through the pull request: each attack is refused, honest data is not.

The model is a boosted one that learns rows by heart if they are there to be learnt; every candidate
is trained by its own pipeline on what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, GATES, Project, make_project, red
from reviews import Review

Shared = Callable[[str, Callable[[Path], object]], Path]

EXTRA = ("length", "value", "speed", "age", "turns", "stops")
DECISION = """\
slices: [shop]
decision:
  description: Is it packed twice?
  unit: EUR
  actions: {false: once, true: twice}
  costs: {false: {false: 0, true: 3}, true: {false: 5, true: 3}}
"""
WIDE = CONTRACT.replace("slices: [shop]\n", DECISION).replace(
    "[north, south]", "[north, south, west]"
) + "".join(f"  {name}: {{type: number, description: Its {name}}}\n" for name in EXTRA)
BOOSTED = """\
from pathlib import Path

import pandas as pd
import skops.io
import yaml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

rows = pd.concat(map(pd.read_parquet, sorted(Path("data/raw").glob("*.parquet"))))
rows = rows.drop(columns="email").sort_values("number")
train, test = rows[rows["number"] % 2 == 0], rows[rows["number"] % 2 == 1]
columns = yaml.safe_load(Path("contract.yaml").read_text())["columns"]
names = [n for n, c in columns.items() if c.get("feature", True) and not c.get("personal")]
rate = yaml.safe_load(Path("params.yaml").read_text())["train"]["C"]
boosted = HistGradientBoostingClassifier(learning_rate=rate / 10, max_iter=60, random_state=0)
baseline = make_pipeline(SimpleImputer(), DecisionTreeClassifier(max_depth=1, random_state=0))
for folder in ("data/split", "model"):
    Path(folder).mkdir(parents=True, exist_ok=True)
train.to_parquet("data/split/train.parquet")
test.to_parquet("data/split/test.parquet")
for name, model in {"model": boosted, "baseline": baseline}.items():
    skops.io.dump(model.fit(train[names], train["broken"]), f"model/{name}.skops")
"""


def wide_rows(n: int, first: int = 0) -> pd.DataFrame:
    """Twice as many parcels of eight numbers, two of which tell most; few come from the west."""
    n, first = 2 * n, 2 * first
    draw = np.random.default_rng([5, first])
    numbers = draw.normal(size=(8, n)).clip(-8, 8)
    hit = np.array([1.2, 0.9, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1]) @ numbers
    named = dict(zip(("weight", "height", *EXTRA), numbers, strict=True))
    return pd.DataFrame(
        {
            "number": np.arange(first, first + n),
            "sent": pd.Timestamp("2026-01-01")
            + pd.to_timedelta(np.arange(first, first + n), unit="min"),
            "shop": draw.choice(["north", "south", "west"], n, p=[0.49, 0.494, 0.016]),
            **named,
            "email": [f"{first + i}@example.com" for i in range(n)],
            "broken": draw.random(n) < 1 / (1 + np.exp(-hit)),
        }
    )


@pytest.fixture(scope="session")
def made_wide(shared: Shared) -> Project:
    def make(folder: Path) -> None:
        changes = {"contract.yaml": WIDE, "src/parcels.py": BOOSTED, "gates.yaml": GATES}
        project = make_project(folder, changes, wide_rows)
        project.mlops("register")
        project.mlops("promote", "1.0.0", "--to", "dev")

    return Project(shared("parcels-wide", make) / "parcels")


@pytest.fixture
def review(made_wide: Project, tmp_path: Path) -> Review:
    return Review(made_wide.copy(tmp_path))


def judged(review: Review, expect: int = 0) -> Any:
    review.run()
    review.candidate.mlops("push")
    review.prove()
    return review.judge(expect)


def refusals(verdict: Any, check: str) -> dict[str, str]:
    """What one check refuses, by subject."""
    return {
        finding["subject"]: finding["message"]
        for answer in verdict["answers"]
        if answer["check"] == check
        for finding in answer["findings"]
        if finding["status"] == "refuse"
    }


def test_test_rows_in_disguise_are_refused(review: Review) -> None:
    """Of another time, under another number, with two columns changed and one made up."""
    folder = review.raw()
    draw = np.random.default_rng(1)
    tested = pd.concat(map(pd.read_parquet, sorted(folder.glob("*.parquet"))))
    copies = tested[tested["number"] % 2 == 1]
    copies = copies.assign(
        number=100_000 + 2 * np.arange(len(copies)),
        sent=copies["sent"] - pd.Timedelta(days=90),
        length=copies["length"] + 0.5,
        age=draw.normal(size=len(copies)),
    )
    copies.to_parquet(folder / "2025-10.parquet")
    refused = refusals(judged(review, 1), "leakage")
    assert "have a copy, in all but a few columns" in refused["duplicates"]


def test_a_model_that_was_trained_on_test_rows_is_refused(review: Review) -> None:
    """By accident: what is fitted is not what is written as the training rows."""
    fit = 'model.fit(train[names], train["broken"])'
    review.candidate.edit("src/parcels.py", fit, 'model.fit(rows[names], rows["broken"])')
    refused = refusals(judged(review, 1), "leakage")
    assert "It looks trained on test rows" in refused["memory of test rows"]


FUTURE = "  scan: {type: number, nullable: true, description: A scan on the way%s}\n"


def with_scan(review: Review, spread: float, about: str = "") -> None:
    folder = review.raw()
    draw = np.random.default_rng(2)
    for path in sorted(folder.glob("*.parquet")):
        rows = pd.read_parquet(path)
        rows.assign(scan=rows["broken"] + draw.normal(0, spread, len(rows))).to_parquet(path)
    contract = review.candidate.root / "contract.yaml"
    contract.write_text(contract.read_text() + FUTURE % about)


def test_a_column_from_the_future_is_refused(review: Review) -> None:
    with_scan(review, 0.6)
    verdict = judged(review, 1)
    refused = refusals(verdict, "leakage")
    assert "say `known: before` in contract.yaml" in refused["scan"]
    assert any("new columns: scan (nobody says when it is known" in n for n in verdict["notes"])


def test_a_gain_that_nobody_believes_waits_for_a_word(review: Review) -> None:
    """Who owns the policy answers for it in gates.yaml, and the report names them."""
    with_scan(review, 0.6, ", known: before")
    assert set(refusals(judged(review, 1), "leakage")) == {"gain"}
    said = (
        "exceptions:\n  - {id: G-1, check: leakage, subject: gain, owner: data owners, "
        "reason: the scan is made before a parcel leaves, expires: 2999-01-01}\nchecks:\n"
    )
    review.base.edit("gates.yaml", "checks:\n", said)
    review.base.commit()
    verdict = review.judge()
    assert red(verdict) == {"leakage"}
    assert "excused by G-1 until 2999-01-01, data owners: the scan is made" in str(verdict)


def test_rows_of_one_label_that_vanish_from_a_slice_are_refused(review: Review) -> None:
    """So few that the whole hardly notices."""
    left_out = 'train = train[~((train["shop"] == "west") & train["broken"])]\n'
    review.candidate.edit("src/parcels.py", "columns = yaml", f"{left_out}columns = yaml")
    verdict = judged(review, 1)
    refused = refusals(verdict, "data")
    assert set(refused) == {"rows gone, shop west, label True"}
    assert "they look picked by their label" in refused["rows gone, shop west, label True"]


def test_honest_growth_is_let_in(review: Review) -> None:
    """More rows, a column of noise, fewer of the oldest rows, other words in the code."""
    folder = review.raw()
    draw = np.random.default_rng(3)
    wide_rows(1000, 5000).to_parquet(folder / "2026-03.parquet")
    for path in sorted(folder.glob("*.parquet")):
        rows = pd.read_parquet(path)
        rows = rows[(rows["number"] >= 60) | (rows["number"] % 2 == 1)]
        rows.assign(luck=draw.normal(size=len(rows))).to_parquet(path)
    contract = review.candidate.root / "contract.yaml"
    luck = "  luck: {type: number, nullable: true, description: Nothing}\n"
    contract.write_text(contract.read_text() + luck)
    code = (review.candidate.root / "src/parcels.py").read_text()
    (review.candidate.root / "src/parcels.py").write_text(code.replace("boosted", "trees"))
    verdict = judged(review)
    assert "luck (nobody says when it is known" in str(verdict["notes"])


def test_a_new_column_that_is_vouched_for_is_let_in_and_told(review: Review) -> None:
    with_scan(review, 1.6, ", known: before")
    verdict = judged(review)
    (note,) = [note for note in verdict["notes"] if "new columns" in note]
    assert "scan (`known: before`, brings " in note


def test_an_honest_model_of_another_making_is_let_in(review: Review) -> None:
    review.retrain(0.8)
    review.candidate.mlops("push")
    review.prove()
    review.judge()
