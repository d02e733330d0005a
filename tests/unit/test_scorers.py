"""Any scorer of scikit-learn is a metric, with the value and the direction that it has there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parcels import CONTRACT
from sklearn.linear_model import LinearRegression
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.naive_bayes import GaussianNB

from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import SLOW, measure
from gatewright.evaluation.metrics import chosen, find_metric, metrics_of, near, rises
from gatewright.evaluation.predictions import Answers
from gatewright.gate.policy import parse_policy

NAME = "{name: broken,"
BINARY = parse_contract(CONTRACT)
CLASSES = parse_contract(
    CONTRACT.replace(NAME, "{name: broken, type: multiclass, classes: [a, b, c],")
)
NUMBERS = parse_contract(
    CONTRACT.replace(NAME, "{name: broken, type: regression,").replace(
        "{name: probability_broken,", "{name: probability_broken, min: -99, max: 99,"
    )
)
CLUSTERINGS = {  # they compare partitions, in which no class has a name
    *("adjusted_mutual_info_score", "adjusted_rand_score", "completeness_score"),
    *("fowlkes_mallows_score", "homogeneity_score", "mutual_info_score"),
    *("normalized_mutual_info_score", "rand_score", "v_measure_score"),
}
SEVERAL_LABELS_A_ROW = {f"{name}_samples" for name in ("f1", "jaccard", "precision", "recall")}


def world(contract: Contract) -> tuple[Any, Any, Any, Answers]:
    """A fitted model, rows, what came true, and what the model answers."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(300, 3))
    hidden = rows @ [1.0, -0.5, 0.2] + draw.normal(size=300)
    if contract.target.type == "regression":
        y = np.abs(hidden) + 5
        model = LinearRegression().fit(rows, y)
        said = model.predict(rows)
        return model, rows, y, Answers(said, said)
    y = np.digitize(hidden, [0] if contract.target.type == "binary" else [-0.5, 0.5])
    model = GaussianNB().fit(rows, y)
    scores = model.predict_proba(rows)
    return model, rows, y, Answers(scores[:, 1] if y.max() == 1 else scores, model.predict(rows))


def fitting(contract: Contract) -> list[str]:
    known = metrics_of(contract)
    return [name for name in get_scorer_names() if find_metric(name, contract, known)]


@pytest.mark.parametrize("contract", [BINARY, CLASSES, NUMBERS], ids=lambda c: c.target.type)
def test_a_scorers_value_is_scikit_learns(contract: Contract) -> None:
    model, rows, y, said = world(contract)
    names = fitting(contract)
    assert len(names) >= 12
    truth = y.astype(bool) if contract is BINARY else y
    measured = measure(truth, {"model": said}, chosen(contract, tuple(names), {}), resamples=2)
    for name in names:
        expected = get_scorer(name)(model, rows, y)
        calibrated = measured.points[[m.name for m in measured.metrics].index(name), 0]
        assert calibrated == pytest.approx(expected, abs=1e-9), name
        assert rises(name)


@pytest.mark.parametrize("name", ["jaccard", "f1_weighted", "neg_log_loss"])
def test_a_resample_is_of_rows_that_stand_as_often_as_they_were_drawn(name: str) -> None:
    _, _, y, said = world(BINARY)
    measured = measure(y == 1, {"m": said}, chosen(BINARY, (name,), {}), resamples=2, seed=5)
    drawn = np.random.Generator(np.random.SFC64([5, 0])).random(300)
    rows = (drawn * 300).astype(int)
    at = [m.name for m in measured.metrics].index(name)
    again = measure(
        y[rows] == 1, {"m": said[rows]}, chosen(BINARY, (name,), {}), resamples=1
    ).estimate(name, "m")
    assert measured.draws[0, at, 0] == pytest.approx(again.value)


def test_every_scorer_is_some_targets_or_judges_no_answers() -> None:
    known = {name for contract in (BINARY, CLASSES, NUMBERS) for name in fitting(contract)}
    assert set(get_scorer_names()) - known == CLUSTERINGS | SEVERAL_LABELS_A_ROW


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("r2", BINARY),
        ("explained_variance", CLASSES),
        ("top_k_accuracy", BINARY),
        ("f1", CLASSES),
        ("accuracy", NUMBERS),
        ("neg_log_loss", NUMBERS),
        ("rand_score", CLASSES),
    ],
)
def test_a_scorer_of_another_kind_of_target_is_refused(name: str, contract: Contract) -> None:
    with pytest.raises(Refused, match=f"{name} is no metric of a {contract.target.type} target"):
        chosen(contract, (name,), {})


def test_a_loss_may_be_named_with_and_without_its_sign() -> None:
    _, _, y, said = world(NUMBERS)
    names = ("mean_absolute_percentage_error", "neg_mean_absolute_percentage_error", "max_error")
    metrics = chosen(NUMBERS, names, {})
    measured = measure(y, {"m": said}, metrics, resamples=3)
    falls, rising, largest = (measured.estimate(name, "m").value for name in names)
    assert falls == -rising > 0
    assert largest == pytest.approx(np.abs(y - said.scores).max())
    assert [m.higher_is_better for m in metrics[-3:]] == [False, True, False]


def test_slow_scorers_are_resampled_fewer_times_and_that_is_told() -> None:
    _, _, y, said = world(BINARY)
    measured = measure(
        y == 1, {"m": said}, chosen(BINARY, ("jaccard", "neg_log_loss"), {}), resamples=SLOW + 50
    )
    assert (measured.resamples("jaccard"), measured.resamples("neg_log_loss")) == (SLOW, SLOW + 50)


def test_a_resample_without_a_class_has_no_value() -> None:
    said = Answers(np.full(20, 0.5), np.zeros(20, dtype=int))
    y = np.arange(20) == 0
    measured = measure(y, {"m": said}, chosen(BINARY, ("roc_auc_ovr",), {}), resamples=60)
    assert np.isnan(measured.estimate("roc_auc_ovr", "m").low)


# In gates.yaml

GATES = """\
checks:
  bounds: {{metrics: {{{bound}}}}}
  baseline: {{metrics: {{roc_auc: 0.02}}}}
  champion: {{metrics: {{roc_auc: 0.005}}}}
environments: {{dev: {{}}}}
"""


@pytest.mark.parametrize(
    "bound",
    ["jaccard: {min: 0.4}", "neg_log_loss: {min: -0.6}", "negative_likelihood_ratio: {max: 1}"],
)
def test_any_scorer_may_be_bounded_on_the_side_on_which_it_is_good(bound: str) -> None:
    policy = parse_policy(GATES.format(bound=bound), "dev", contract=BINARY)
    assert policy.metric_names == (bound.partition(":")[0], "roc_auc")


BAD = {
    "the other side": ("neg_log_loss: {max: 0.6}", "line 2: .*higher is better"),
    "a misspelt one": ("jacard: {min: 0.4}", "line 2: .*Did you mean jaccard"),
    "part of a name": ("auc: {min: 0.4}", "line 2: .*Did you mean roc_auc"),
    "nothing like it": (
        "zzz: {min: 0.4}",
        "line 2: .*unknown metrics: zzz. `mlops",
    ),
    "another target's": ("r2: {min: 0.4}", "line 2: r2 is no metric of a binary target"),
    "a clustering's": ("rand_score: {min: 0.4}", "line 2: .*unknown metrics: rand_score"),
}


@pytest.mark.parametrize(("bound", "words"), BAD.values(), ids=BAD.keys())
def test_a_metric_that_there_is_not_is_told_with_those_that_are_like_it(
    bound: str, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        parse_policy(GATES.format(bound=bound), "dev", contract=BINARY)


def test_at_most_five_names_are_offered() -> None:
    assert near("roc_acu")[0] == "roc_auc"
    assert all(len(near(name)) <= 5 for name in ("e", "error", "f1", "roc"))
