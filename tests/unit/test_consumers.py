"""What consumers of the live version rely on, and a champion that had seen the test rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import skops.io
from parcels import Project, make_model, make_rows, red
from sklearn.linear_model import LogisticRegression

from gatewright.adapters.files import read_text
from gatewright.contract.schema import read_contract
from gatewright.gate.inputs import GateInputs
from gatewright.gate.policy import read_policy
from gatewright.gate.verdict import judge
from gatewright.paths import TRAIN
from gatewright.pipeline.dvc_lock import parse_lock
from gatewright.registry.champion import Champion
from gatewright.release.smoke_test import golden


def found(verdict: Any, check: str, subject: str) -> tuple[str, str]:
    """Status and message of one finding."""
    (answer,) = (answer for answer in verdict["answers"] if answer["check"] == check)
    (finding,) = (f for f in answer["findings"] if f["subject"] == subject)
    return finding["status"], finding["message"]


def judged(
    project: Project, folder: Path, version: str | None = None, **champion: Any
) -> dict[str, Any]:
    """The verdict on the project's model, 1.0.0 being one like it that is live."""
    path = folder / "champion.skops"
    skops.io.dump(make_model(), path)
    contract = read_contract(project.root)
    live = Champion("1.0.0", path, contract, golden=golden(project.root, contract))
    policy = read_policy(project.root, "dev")
    lock = parse_lock(read_text(project.root / "dvc.lock"))
    evidence = GateInputs(
        project.root, contract, lock, replace(live, **champion), policy.sampling, version=version
    )
    return judge(policy, evidence).to_dict()


def narrower(project: Project) -> None:
    project.edit("contract.yaml", "unit: m, min: -9, max: 9", "unit: m, min: -8, max: 8")


def test_a_change_that_breaks_consumers_makes_the_next_version_a_major_one(
    released: Project,
) -> None:
    narrower(released)
    status, message = found(released.ask("gate"), "contract", "version")
    assert status == "pass"
    assert message.endswith("column height accepts less; the next version is a major one")


def test_the_policy_may_forbid_to_break_consumers(released: Project) -> None:
    narrower(released)
    released.edit("gates.yaml", "checks:\n", "checks:\n  contract: {may_break: false}\n")
    verdict = released.ask("gate", expect=1)
    assert red(verdict) == {"contract"}
    assert found(verdict, "contract", "version")[1].endswith("contract.may_break forbids it")


@pytest.mark.parametrize(("version", "status"), [("2.0.0", "pass"), ("1.1.0", "refuse")])
def test_the_number_must_be_right_for_the_diff(
    version: str, status: str, trained: Project, tmp_path: Path
) -> None:
    before = read_contract(trained.root)
    narrower(trained)
    verdict = judged(trained, tmp_path, version, contract=before)
    assert found(verdict, "contract", "version")[0] == status
    assert red(verdict) == (set() if status == "pass" else {"contract"})


def test_recorded_requests_are_answered(released: Project) -> None:
    status, message = found(released.ask("gate"), "contract", "consumers")
    assert (status, message) == ("pass", "10 requests recorded with 1.0.0 are answered")


def test_a_recorded_request_that_is_not_answered_any_more_is_refused(
    trained: Project, tmp_path: Path
) -> None:
    """The new model takes no missing weight, which no test row has."""
    rows = make_rows(500).dropna()
    trained.put_model(LogisticRegression().fit(rows[["weight", "height"]], rows["broken"]))
    trained.put_test_rows(trained.test_rows.fillna({"weight": 0.0}))
    pairs = [{"request": {"weight": None, "height": 1.0}, "answer": 0.5}]
    verdict = judged(trained, tmp_path, golden=pairs)
    assert red(verdict) == {"contract", "behaviour"}
    assert "Input X contains NaN" in found(verdict, "contract", "")[1]


def test_a_champion_without_recorded_requests_proves_nothing(
    trained: Project, tmp_path: Path
) -> None:
    verdict = judged(trained, tmp_path, golden=[])
    assert red(verdict) == {"contract"}
    assert found(verdict, "contract", "consumers") == (
        "refuse",
        "1.0.0 has no golden rows to try",
    )


def test_a_champion_that_was_trained_on_test_rows_is_no_fair_match(
    trained: Project, tmp_path: Path
) -> None:
    """Rows went over from training to testing: the candidate did not see them, the champion did."""
    seen = pd.concat([pd.read_parquet(trained.root / TRAIN), trained.test_rows.head(3)])
    seen.to_parquet(tmp_path / "train.parquet")
    verdict = judged(trained, tmp_path, train=tmp_path / "train.parquet")
    assert verdict["decision"] == "undecided"
    assert red(verdict) == {"holdout"}
    assert found(verdict, "holdout", "champion") == (
        "unsure",
        "it was trained on 3 test rows, so it looks better than it is",
    )
