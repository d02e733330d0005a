"""How often the gate is wrong about honest models; writes benchmarks/rates.md.

    uv run --no-project --python PROJECT/.venv/bin/python benchmarks/rates.py PROJECT [PROCESSES]

PROJECT is a project generated with the default answers, whose pipeline has run. Takes about 40
minutes in one process. The same table goes into the page that `mlops explain checks` prints, which
names nothing of the example.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"  # a process a core, before scikit-learn is there

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
import yaml
from pages import made_with, put

from gatewright.adapters.files import digest
from gatewright.adapters.model_file import seal
from gatewright.contract.schema import read_contract
from gatewright.gate.checks import CHECKS
from gatewright.gate.inputs import Champion, GateInputs
from gatewright.gate.policy import read_policy
from gatewright.gate.verdict import judge
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.dvc_lock import Lock
from gatewright.release.smoke_test import golden

HERE = Path(__file__).parent
GATES = 300
OLD_ROWS, NEW_ROWS = 10_000, 2_500
DAYS = 62  # that judge, as many as the template's test set has
ENVIRONMENT = "dev"
LATER = [f"data/incoming/2013-{month:02}.parquet" for month in range(9, 13)]
Found = tuple[str, str, str]  # check, status and subject of a finding


def make(project: Path, folder: Path, number: int) -> pd.DataFrame:
    """A champion, and a candidate by the same recipe: another seed, and NEW_ROWS more.

    Days of the test set and of the months that come after it judge, and every other row of each.
    Returns the rows of the days held back.
    """
    sys.path.insert(0, str(project / "src"))
    from late_flights import train as recipe
    from late_flights.baseline import build_baseline
    from late_flights.load import model_columns

    draw = np.random.default_rng([2026, number])
    contract, settings = (
        yaml.safe_load((project / name).read_text()) for name in ("contract.yaml", "params.yaml")
    )
    train, *test = (pd.read_parquet(project / path) for path in (TRAIN, TEST, *LATER))
    pool = pd.concat(test, ignore_index=True).iloc[number % 2 :: 2]
    train = train.iloc[draw.permutation(len(train))[: OLD_ROWS + NEW_ROWS]]
    days = pool[contract["time"]].dt.date
    judging = days.isin(draw.permutation(days.unique())[:DAYS])
    test_on(folder, pool[judging])
    for side, rows in (("champion", train.head(OLD_ROWS)), ("candidate", train)):
        rows.to_parquet(folder / side / TRAIN, index=False)
        inputs, target = rows[model_columns(contract)], rows[contract["target"]["name"]]
        seeded = settings["train"] | {"seed": 2 * number + (side == "candidate")}
        for path, made in (
            (MODEL, recipe.build_model(seeded, contract)),
            (BASELINE, build_baseline(seeded["baseline"], contract)),
        ):
            (folder / side / path).parent.mkdir(exist_ok=True)
            model = recipe.fitted(made, inputs, target, contract)
            skops.io.dump(model, folder / side / path)
            seal(folder / side / path)
    return pool[~judging]


def test_on(folder: Path, rows: pd.DataFrame) -> None:
    for side in ("champion", "candidate"):
        (folder / side / TEST).parent.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(folder / side / TEST, index=False)


def asked(project: Path, folder: Path) -> list[Found]:
    """What the gate finds."""
    schema, root, other = read_contract(project), folder / "candidate", folder / "champion"
    policy = read_policy(project, ENVIRONMENT)
    outs = {path: digest(root / path, "md5") for path in (MODEL, BASELINE, TRAIN, TEST)}
    evidence = GateInputs(
        root,
        schema,
        Lock(outs, {}, {}, {MODEL: (TRAIN,)}),
        Champion("1.0.0", other / MODEL, schema, other / TRAIN, golden(other, schema)),
        policy.sampling,
        known_test=other / TEST,
        metric_names=policy.metric_names,
        own_metrics=policy.own_metrics,
        version="1.0.1",
    )
    return [
        (answer.check, finding.status, finding.subject)
        for answer in judge(policy, evidence).answers
        for finding in answer.findings
    ]


def gate(project: Path, number: int) -> tuple[list[Found], list[Found]]:
    """What the gate finds, and if it refuses also what it finds on the days held back."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        others = make(project, folder, number)
        found = asked(project, folder)
        if all(status != "refuse" for _, status, _ in found):
            return found, []
        test_on(folder, others)
        return found, asked(project, folder)


@dataclass
class Rate:
    refused: int = 0
    false: int = 0
    unsure: int = 0

    def add(self, found: list[Found], again: list[Found]) -> None:
        refused = {f for f in found if f[1] == "refuse"}
        self.refused += bool(refused)
        self.false += bool(refused) and not refused & set(again)
        self.unsure += not refused and any(status == "unsure" for _, status, _ in found)


def main() -> int:
    project = Path(sys.argv[1]).resolve()
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    rates, whole, by = {check.id: Rate() for check in CHECKS}, Rate(), Counter[str]()
    with ProcessPoolExecutor(processes) as pool:
        for done, (found, again) in enumerate(pool.map(partial(gate, project), range(GATES)), 1):
            for check, rate in rates.items():
                rate.add([f for f in found if f[0] == check], again)
            whole.add(found, again)
            by.update(
                f"{check} {subject}" for check, status, subject in found if status == "refuse"
            )
            if done % 10 == 0:
                minutes = (time.perf_counter() - START) / 60
                print(f"{done}/{GATES} gates, {minutes:.0f} min: {by}", file=sys.stderr, flush=True)
    simulated = statistics()
    by_check = Counter[str]()
    for subject, count in by.items():
        by_check[subject.split()[0]] += count
    how = f"By `benchmarks/rates.py` of the template, with {made_with()}."
    long, short = (f"{how}\n\n{honest(rates, whole, of)}\n{simulated}" for of in (by, by_check))
    (HERE / "rates.md").write_text(f"# How often the gate is wrong\n\n{long}", encoding="utf-8")
    put("checks/README.md", "rates", short)
    return 0


def share(count: int, of: int) -> str:
    """A share with its 95% interval (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    interval = binomtest(count, of).proportion_ci(0.95)
    return f"{count / of:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def honest(rates: dict[str, Rate], whole: Rate, by: Counter[str]) -> str:
    rows = [
        f"| {name} | {rate.refused / GATES:.1%} | {share(rate.false, GATES)} | "
        f"{rate.unsure / GATES:.1%} |"
        for name, rate in [*rates.items(), ("**any check**", whole)]
    ]
    listed = "; ".join(f"{what} {count}" for what, count in by.most_common()) or "none"
    return f"""\
{GATES} gates of {ENVIRONMENT} on the template's example data, each with a champion and a
candidate of its own. Both are the template's model; the candidate has another seed and
{NEW_ROWS:,} more rows than the champion's {OLD_ROWS:,}, drawn at random from six months. Half
of the rows of {DAYS} days of the six months after them judge, about 28,000, and intervals draw
days; a refusal is a false alarm unless the 122 other days refuse the same. Whether a model can be
built again (`reproduce: always`) is no matter of chance; `benchmarks/reproduction.md` of the
template says how many could not.

| check | refused | false alarms | cannot tell |
| --- | --- | --- | --- |
{chr(10).join(rows)}

Shares of the gates, with a 95% interval. What is refused on the other days too is what the model
does, and no false alarm; they may be too few to show that, so false alarms are at most so many.
Findings that refused: {listed}.
"""


def statistics() -> str:
    """The simulations of tests/unit/test_truth.py."""
    sys.path += [str(HERE.parent / "tests" / folder) for folder in ("unit", "support")]
    import test_truth as truth

    equal, seen = truth.of_equal_models(), truth.of_worse_models(1.0, 120)
    stated, slices = truth.of_worse_models(0.9, 150), truth.of_twenty_slices()
    rows: list[tuple[str, Any, str]] = [
        ("An equal model is refused by `champion` (2 metrics, no margin)", equal.refused, "5%"),
        ("An equal model is called better (ROC AUC)", equal.better, "2.5%"),
        (
            f"A model worse by {seen.lost:.3f} ROC AUC is seen, paired",
            seen.paired,
            "the unpaired one",
        ),
        ("The same, unpaired", seen.unpaired, ""),
        ("The smallest difference that the report states is seen", stated.paired, "80%"),
        ("One of 20 slices of equal models is called worse, with Holm", slices.together, "5%"),
        ("The same, without a correction", slices.uncorrected, ""),
    ]
    table = "\n".join(f"| {what} | {value:.1%} | {nominal} |" for what, value, nominal in rows)
    return f"""\
What the statistics promise, in simulated worlds with two models of one making
({truth.GATES} gates, {truth.ROWS} rows each; 120 and 150 for worse models):

| | measured | nominal, or to compare with |
| --- | --- | --- |
{table}
"""


START = time.perf_counter()

if __name__ == "__main__":
    sys.exit(main())
