"""What is predicted becomes another: the live version is not measured by what it never said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parcels import CONTRACT, Project, make_project, make_rows, red
from reviews import Review
from test_targets import SEVERAL, several

from gatewright.contract.schema import parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.predictions import Answers, in_classes

WET = "  wet: {type: boolean, description: It came wet, afterwards: true, feature: false}\n"


def wet_rows(n: int, first: int = 0) -> pd.DataFrame:
    """Parcels that come wet, too, which is easier to tell."""
    rows, draw = make_rows(n, first), np.random.default_rng([9, first])
    hit = 1.8 * rows["weight"].fillna(0) + 1.4 * rows["height"]
    return rows.assign(wet=draw.random(n) < 1 / (1 + np.exp(-hit)))


def live(folder: Path, changes: dict[str, str], rows: Any) -> Project:
    project = make_project(folder, changes, rows)
    project.mlops("register")
    project.mlops("promote", "1.0.0", "--to", "dev")
    return project


def judged(review: Review, expect: int) -> Any:
    review.candidate.mlops("push")
    review.prove()
    return review.judge(expect)


def findings(verdict: Any, check: str) -> dict[str, Any]:
    (answer,) = (a for a in verdict["answers"] if a["check"] == check)
    return {finding["subject"]: finding for finding in answer["findings"]}


def test_another_column_is_predicted_only_if_somebody_answers_for_it(tmp_path: Path) -> None:
    """An easier one, that the table has had all along, so that everything gets better."""
    review = Review(live(tmp_path, {"contract.yaml": CONTRACT + WET}, wet_rows))
    project = review.candidate
    project.edit("contract.yaml", "target: {name: broken,", "target: {name: wet,")
    project.edit("contract.yaml", "  wet:", "  broken:")
    project.edit("src/parcels.py", 'train["broken"]', 'train["wet"]')
    review.run()
    verdict = judged(review, 1)
    assert red(verdict) == {"contract"}
    found = findings(verdict, "contract")["target"]
    assert found["message"].startswith("wet (binary) would be predicted, and not broken (binary)")
    excuse = "exceptions:\n- {id: T-1, check: contract, subject: target, reason: wet is what is "
    excuse += "asked for, owner: ada, expires: 2999-01-01}\n"
    gates = review.base.root / "gates.yaml"
    gates.write_text(excuse + gates.read_text())
    assert review.judge(0)["decision"] == "yes"


def test_classes_in_another_order_make_the_live_version_no_worse(tmp_path: Path) -> None:
    """Its probability of one class was taken for that of another, so any model was better."""
    review = Review(live(tmp_path, SEVERAL, several))
    order = ("classes: [whole, dented, broken]", "classes: [broken, whole, dented]")
    review.candidate.edit("contract.yaml", *order)
    review.retrain(0.0005)
    for finding in findings(judged(review, 1), "champion").values():
        assert finding["status"] == "refuse"
        assert finding["message"].startswith("worse than 1.0.0")


def of(*classes: str) -> Any:
    return parse_contract(
        CONTRACT.replace(
            "{name: broken,",
            f"{{name: broken, type: multiclass, classes: [{', '.join(classes)}],",
        )
    )


def test_a_class_that_comes_has_no_probability_from_a_model_that_knows_none_of_it() -> None:
    said = Answers(np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.array([0, 2], "uint8"))
    told = in_classes(said, of("a", "b", "c"), of("d", "c", "b", "a"), "champion")
    assert told.scores.tolist() == [[0, 0.2, 0.3, 0.5], [0, 0.7, 0.2, 0.1]]
    assert told.labels.tolist() == [3, 1]
    assert in_classes(said, of("a", "b", "c"), of("a", "b", "c"), "champion") is said


@pytest.mark.parametrize("text", [CONTRACT, None])
def test_what_knows_a_class_that_is_gone_cannot_be_compared(text: str | None) -> None:
    wanted = parse_contract(text) if text else of("a", "b", "d")
    said = Answers(np.eye(3), np.arange(3))
    with pytest.raises(Refused, match=r"tells a, b, c, and contract\.yaml asks for"):
        in_classes(said, of("a", "b", "c"), wanted, "champion")
