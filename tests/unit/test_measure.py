"""Metrics are scikit-learn's; intervals are those of the paired bootstrap, and of DeLong."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from parcels import CONTRACT
from sklearn import metrics as sk

from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.evaluation import bootstrap
from gatewright.evaluation.bootstrap import Measured, delong
from gatewright.evaluation.bootstrap import measure as measure_answers
from gatewright.evaluation.intervals import below, holm, mean_error
from gatewright.evaluation.metrics import LOWER_IS_BETTER, NAMES, OwnMetric, chosen, metrics_of
from gatewright.evaluation.predictions import Answers

Array = NDArray[np.float64]
DECISION = """\
decision:
  description: Is it packed twice?
  unit: EUR
  actions: {false: once, true: twice}
  costs: {false: {false: 0, true: 1}, true: {false: 5, true: 2}}
"""
BINARY = parse_contract(CONTRACT + DECISION)
MULTI = parse_contract(
    CONTRACT.replace(
        "{name: broken, description",
        "{name: broken, type: multiclass, classes: [whole, bent, broken], description",
    )
    + DECISION.replace("{false: once, true: twice}", "{whole: once, bent: twice, broken: never}")
    .replace(
        "{false: {false: 0, true: 1}, true: {false: 5, true: 2}}", "{whole: W, bent: B, broken: B}"
    )
    .replace("W", "{whole: 0, bent: 1, broken: 2}")
    .replace("B", "{whole: 3, bent: 1, broken: 2}")
)
NUMBER = parse_contract(
    CONTRACT.replace(
        "{name: broken, description", "{name: broken, type: regression, description"
    ).replace("it arrives broken.}", "it arrives broken., min: -99, max: 99}", 1)
)
METRICS = metrics_of(BINARY)
SHOWN = ("roc_auc", "average_precision", "brier_score", "log_loss")
ALL = tuple(METRICS[name] for name in SHOWN)


def half(scores: Array) -> Answers:
    """Answers that recommend the event from one half on."""
    return Answers(scores, (scores >= 0.5).astype(int))


def measure(y: NDArray[Any], scores: Mapping[str, Array], metrics: Any, **how: Any) -> Measured:
    return measure_answers(y, {n: half(s) for n, s in scores.items()}, metrics, **how)


def calibration_error(y: NDArray[Any], scores: Array) -> float:
    """By the book: sort, cut into fifteen, compare means."""
    bins = np.array_split(np.argsort(-scores, kind="stable"), 15)
    return float(sum(len(b) * abs(scores[b].mean() - y[b].mean()) for b in bins) / len(y))


def costs(contract: Contract) -> Array:
    return np.array(contract.costs)


def by_label(function: Callable[..., float]) -> Callable[..., float]:
    return lambda y, said: function(y, said.labels)


def by_score(function: Callable[..., float]) -> Callable[..., float]:
    return lambda y, said: function(y, said.scores)


COMMON: dict[str, Callable[..., float]] = {
    "accuracy": by_label(sk.accuracy_score),
    "balanced_accuracy": by_label(sk.balanced_accuracy_score),
    "matthews_corrcoef": by_label(sk.matthews_corrcoef),
}
REFERENCE: dict[str, Callable[..., float]] = {
    "roc_auc": by_score(sk.roc_auc_score),
    "average_precision": by_score(sk.average_precision_score),
    "brier_score": by_score(sk.brier_score_loss),
    "log_loss": by_score(sk.log_loss),
    "expected_calibration_error": by_score(calibration_error),
    "expected_cost": lambda y, said: costs(BINARY)[y.astype(int), said.labels].mean(),
    "precision": by_label(sk.precision_score),
    "recall": by_label(sk.recall_score),
    "f1": by_label(sk.f1_score),
    **COMMON,
}
OF_CLASSES: dict[str, Callable[..., float]] = {
    "roc_auc_ovr": lambda y, said: sk.roc_auc_score(y, said.scores, multi_class="ovr"),
    "brier_score": lambda y, said: sk.brier_score_loss(y, said.scores, scale_by_half=False),
    "log_loss": by_score(sk.log_loss),
    "expected_calibration_error": lambda y, said: calibration_error(
        said.scores.argmax(axis=1) == y, said.scores.max(axis=1)
    ),
    "expected_cost": lambda y, said: costs(MULTI)[y, said.labels].mean(),
    "f1_macro": lambda y, said: sk.f1_score(y, said.labels, average="macro"),
    **COMMON,
}
OF_NUMBERS: dict[str, Callable[..., float]] = {
    "r2": by_score(sk.r2_score),
    "mean_absolute_error": by_score(sk.mean_absolute_error),
    "mean_squared_error": by_score(sk.mean_squared_error),
    "root_mean_squared_error": by_score(sk.root_mean_squared_error),
}


def draw(n: int, seed: int = 0) -> tuple[NDArray[np.bool_], Array, Array]:
    """Labels, a good score, and a slightly worse one that shares most of its errors."""
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.3
    good = np.clip(0.5 * random.random(n) + 0.3 * y, 0, 1)
    return y, good, np.clip(good + random.normal(0, 0.05, n), 0, 1)


def draw_classes(n: int, seed: int = 0) -> tuple[NDArray[np.int64], Answers]:
    random = np.random.default_rng(seed)
    y = random.integers(3, size=n)
    raw = random.random((n, 3)) + np.eye(3)[y] * 0.4
    scores = raw / raw.sum(axis=1, keepdims=True)
    return y, Answers(scores, scores.argmax(axis=1))


def draw_numbers(n: int, seed: int = 0) -> tuple[Array, Answers]:
    random = np.random.default_rng(seed)
    y = random.normal(size=n)
    said = y + random.normal(scale=0.6, size=n)
    return y, Answers(said, said)


KINDS: dict[str, tuple[Contract, dict[str, Callable[..., float]]]] = {
    "binary": (BINARY, REFERENCE),
    "multiclass": (MULTI, OF_CLASSES),
    "regression": (NUMBER, OF_NUMBERS),
}
CASES = [(kind, name) for kind, (_, reference) in KINDS.items() for name in reference]


def drawn(kind: str, n: int) -> tuple[NDArray[Any], Answers]:
    if kind == "multiclass":
        return draw_classes(n)
    if kind == "regression":
        return draw_numbers(n)
    y, good, _ = draw(n)
    return y, half(good)


def test_every_metric_has_its_reference() -> None:
    for contract, reference in KINDS.values():
        assert set(reference) == set(metrics_of(contract))


def test_the_names_that_a_policy_may_use_are_those_of_the_metrics() -> None:
    every = {n: m for contract, _ in KINDS.values() for n, m in metrics_of(contract).items()}
    assert set(every) == NAMES
    assert {n for n, m in every.items() if not m.higher_is_better} == LOWER_IS_BETTER


@pytest.mark.parametrize("decimals", [1, 2, 15], ids=["many ties", "some ties", "no ties"])
@pytest.mark.parametrize("name", [n for n in REFERENCE if n != "expected_calibration_error"])
def test_values_are_those_of_scikit_learn(name: str, decimals: int) -> None:
    y, good, _ = draw(2000)
    said = half(good.round(decimals))
    measured = measure_answers(y, {"model": said}, [METRICS[name]], resamples=1)
    assert measured.points[0, 0] == pytest.approx(REFERENCE[name](y, said), abs=1e-10)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_each_kind_of_target_has_the_values_of_its_reference(kind: str, name: str) -> None:
    contract, reference = KINDS[kind]
    y, said = drawn(kind, 3000)
    measured = measure_answers(y, {"model": said}, [metrics_of(contract)[name]], resamples=1)
    assert measured.points[0, 0] == pytest.approx(reference[name](y, said), abs=1e-10)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_resample_is_the_metric_under_its_weights(kind: str, name: str) -> None:
    contract, reference = KINDS[kind]
    y, said = drawn(kind, 600)
    if kind == "binary":
        said = half(said.scores.round(2))
    metric = metrics_of(contract)[name]
    if metric.biased:
        pytest.skip("its bins are those of all rows, not of the resample's")
    measured = measure_answers(y, {"model": said}, [metric], resamples=3, seed=7)
    generator = np.random.Generator(np.random.SFC64([7, 0]))
    for resample in range(3):
        rows = (generator.random(len(y)) * len(y)).astype(int)
        expected = reference[name](y[rows], said[rows])
        assert measured.draws[resample, 0, 0] == pytest.approx(expected, abs=1e-10)


def test_a_teams_own_metric_is_measured_on_few_resamples() -> None:
    own = {"d2": OwnMetric(function="sklearn.metrics:d2_brier_score", higher_is_better=True)}
    y, good, worse = draw(500)
    metrics = chosen(BINARY, ("d2",), own)
    measured = measure(y, {"a": good, "b": worse}, metrics, resamples=500)
    assert measured.estimate("d2", "a").value == pytest.approx(sk.d2_brier_score(y, good))
    assert measured.gain("d2", "a", "b").low < measured.gain("d2", "a", "b").high
    assert np.isfinite(measured.draws[:200, -1]).all()
    assert np.isnan(measured.draws[200:, -1]).all()


@pytest.mark.parametrize("path", ["sklearn.metrics:none_such", "no_module:f", "f", ":", ""])
def test_a_metric_that_cannot_be_imported_is_refused(path: str) -> None:
    with pytest.raises(Refused, match=r"cannot be imported.*package\.module:function"):
        chosen(BINARY, ("mine",), {"mine": OwnMetric(function=path, higher_is_better=True)})


def test_a_metric_of_another_kind_of_target_is_refused() -> None:
    with pytest.raises(Refused, match="r2 is no metric of a binary target"):
        chosen(BINARY, ("r2",), {})
    with pytest.raises(Refused, match="expected_cost is no metric of a binary target without a"):
        chosen(parse_contract(CONTRACT), ("expected_cost",), {})


def test_groups_are_drawn_whole_and_widen_the_interval() -> None:
    """Twenty copies of each row say no more than one."""
    y, good, _ = draw(400)
    once = measure(y, {"m": good}, ALL, resamples=800).estimate("roc_auc", "m")
    copies = np.repeat(np.arange(400), 20)
    told = {"m": good[copies]}
    naive = measure(y[copies], told, ALL, resamples=800).estimate("roc_auc", "m")
    whole = measure(y[copies], told, ALL, groups=copies, resamples=800).estimate("roc_auc", "m")
    assert naive.high - naive.low < 0.5 * (once.high - once.low)
    assert whole.high - whole.low == pytest.approx(once.high - once.low, rel=0.1)
    values = np.random.default_rng(0).normal(size=400)
    grouped = mean_error(values[copies], copies)
    assert grouped == pytest.approx(mean_error(values), rel=1e-9)


def test_delong_agrees_with_the_bootstrap() -> None:
    for seed in range(3):
        y, good, worse = draw(3000, seed)
        scores = {"a": good.round(2), "b": worse}
        measured = measure(y, scores, ALL, resamples=2000)
        values, covariance = delong(y, scores)
        assert values == pytest.approx([measured.estimate("roc_auc", n).value for n in "ab"])
        error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        assert error == pytest.approx(measured.error("roc_auc", "a", "b"), rel=0.06)
        single = measured.draws[:, 0, 0].std()
        assert np.sqrt(covariance[0, 0]) == pytest.approx(single, rel=0.06)


def test_delong_gives_no_number_for_one_class() -> None:
    _, good, _ = draw(100)
    values, covariance = delong(np.ones(100, dtype=bool), {"a": good})
    assert np.isnan([*values, *covariance.ravel()]).all()


def test_the_smallest_difference_is_seen_four_times_of_five() -> None:
    y, good, worse = draw(4000)
    measured = measure(y, {"a": good, "b": worse}, ALL, resamples=1000)
    least = measured.smallest("roc_auc", "a", "b")
    error = measured.error("roc_auc", "a", "b")
    seen = 1 - NormalDist(least, error).cdf(NormalDist().inv_cdf(0.975) * error)
    assert seen == pytest.approx(0.8, abs=1e-6)


def test_the_calibration_error_of_a_sample_is_corrected_for_its_bias() -> None:
    """200 samples of 2,000 rows; the scores are 20% too high, which costs 0.2 x the mean."""
    random = np.random.default_rng(0)
    metric = METRICS["expected_calibration_error"]
    values, held, raw = [], 0, []
    for _ in range(200):
        p = random.beta(2, 5, size=2000)
        y = random.random(2000) < p
        measured = measure(y, {"m": np.clip(1.2 * p, 0, 1)}, [metric], resamples=200)
        got = measured.estimate("expected_calibration_error", "m")
        truth = float(np.abs(np.clip(1.2 * p, 0, 1) - p).mean())
        held += truth <= got.high
        values.append(got.value - truth)
        raw.append(measured.points[0, 0] - truth)
    assert abs(np.mean(values)) < 0.5 * abs(np.mean(raw))
    assert held >= 190  # a bound from above is judged by the upper end


def test_holm_rejects_in_order_and_stops() -> None:
    assert holm([0.04, 0.001, 0.02], 0.05) == [True, True, True]
    assert holm([0.04, 0.001, 0.03], 0.05) == [False, True, False]
    assert holm([], 0.05) == []


def test_without_an_error_a_value_is_below_or_not() -> None:
    assert below(0.4, 0.5, 0.0) == 0.0
    assert below(0.6, 0.5, 0.0) == 1.0
    assert below(0.5, 0.5, 0.1) == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_draws_on_any_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, good, worse = draw(60_000)
    draws = []
    for cores in (1, 2, 7):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        draws.append(measure(y, {"a": good, "b": worse}, ALL, resamples=120, seed=3).draws)
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])
    assert not np.array_equal(
        draws[0], measure(y, {"a": good, "b": worse}, ALL, resamples=120, seed=4).draws
    )


@pytest.mark.parametrize("size", [1, 4], ids=["rows", "groups of four"])
def test_many_rows_get_the_interval_that_all_of_them_would_give(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bag of little bootstraps, beside the bootstrap of all rows."""
    y, good, worse = draw(20_000)
    said, groups = {"a": good, "b": worse}, np.arange(20_000) // size if size > 1 else None
    whole = measure(y, said, ALL, groups=groups, resamples=1000)
    monkeypatch.setattr(bootstrap, "LITTLE", 2000)
    monkeypatch.setattr(bootstrap, "LARGE", 5000)
    monkeypatch.setattr(bootstrap, "FEW", 0)
    little = measure(y, said, ALL, groups=groups, resamples=1000)
    np.testing.assert_allclose(little.points, whole.points, rtol=1e-12)
    assert not np.array_equal(little.draws, whole.draws)
    for name in SHOWN:
        a, b = whole.estimate(name, "a"), little.estimate(name, "a")
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.15)
        assert (b.low, b.high) == pytest.approx((a.low, a.high), abs=0.15 * (a.high - a.low))
        error = whole.error(name, "a", "b")
        assert little.error(name, "a", "b") == pytest.approx(error, rel=0.15)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_sums_over_few_groups_give_what_weighing_each_row_gives(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every metric, with scores that several rows share, and groups of one class only."""
    contract = {"binary": BINARY, "multiclass": MULTI, "regression": NUMBER}[task]
    metrics = list(metrics_of(contract).values())
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(40, size=3000))
    said: dict[str, Answers] = {}
    y: NDArray[Any]
    if task == "regression":
        y = random.normal(size=3000)
        for name in "ab":
            numbers = y + random.normal(size=3000)
            said[name] = Answers(numbers, numbers)
    else:
        size = len(contract.classes)
        y = random.integers(size, size=3000)
        y[groups == 7] = 0
        for name in "ab":
            scores = random.dirichlet(np.ones(size), 3000).round(2) + np.eye(size)[y] / 2
            scores /= scores.sum(axis=1, keepdims=True)
            event = scores[:, 1] if size == 2 else scores
            said[name] = Answers(event, scores.argmax(axis=1))
        y = y.astype(bool) if size == 2 else y
    summed = measure_answers(y, said, metrics, groups=groups, resamples=50)
    monkeypatch.setattr(bootstrap, "FEW", 0)
    weighed = measure_answers(y, said, metrics, groups=groups, resamples=50)
    assert summed.draws.std(axis=0).min() > 0
    np.testing.assert_allclose(summed.draws, weighed.draws, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(summed.points, weighed.points)


def test_a_subset_of_few_large_groups_has_enough_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 million rows of 5,000 days: a subset of 100,000 rows has 100 days, one of a million too."""
    y, good, worse = draw(20_000)
    monkeypatch.setattr(bootstrap, "LITTLE", 100)
    monkeypatch.setattr(bootstrap, "LARGE", 5000)
    groups = np.arange(20_000) // 20
    seen: list[int] = []
    block = bootstrap._little

    def counted(subset: Any, *more: Any) -> Any:
        seen.append(subset.units)
        return block(subset, *more)

    monkeypatch.setattr(bootstrap, "_little", counted)
    little = measure(y, {"a": good, "b": worse}, ALL, groups=groups, resamples=500)
    assert set(seen) == {100}
    monkeypatch.setattr(bootstrap, "LARGE", 50_000)
    whole = measure(y, {"a": good, "b": worse}, ALL, groups=groups, resamples=500)
    for name in SHOWN:
        error = whole.error(name, "a", "b")
        assert little.error(name, "a", "b") == pytest.approx(error, rel=0.2)


def test_of_many_rows_a_teams_own_metric_has_the_same_few_resamples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "LITTLE", 500)
    monkeypatch.setattr(bootstrap, "LARGE", 1500)
    own = {"d2": OwnMetric(function="sklearn.metrics:d2_brier_score", higher_is_better=True)}
    y, good, worse = draw(2000)
    measured = measure(y, {"a": good, "b": worse}, chosen(BINARY, ("d2",), own), resamples=300)
    assert measured.estimate("d2", "a").value == pytest.approx(sk.d2_brier_score(y, good))
    assert measured.gain("d2", "a", "b").low > 0
    assert np.isfinite(measured.draws[:200, -1]).all()
    assert np.isnan(measured.draws[200:, -1]).all()


def test_a_paired_interval_is_narrower_than_an_unpaired_one() -> None:
    y, good, worse = draw(3000)
    measured = measure(y, {"a": good, "b": worse}, ALL, resamples=600)
    paired = measured.gain("roc_auc", "a", "b")
    a, b = (measured.estimate("roc_auc", name) for name in "ab")
    unpaired = np.hypot(a.high - a.low, b.high - b.low)
    assert paired.high - paired.low < unpaired / 2


def test_a_gain_is_above_zero_for_the_better_model_whatever_the_metric() -> None:
    y, good, worse = draw(20_000)
    measured = measure(y, {"good": good, "worse": worse}, ALL, resamples=300)
    for name in SHOWN:
        assert measured.gain(name, "good", "worse").low > 0
        assert measured.gain(name, "worse", "good").high < 0


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """200 samples of 400 rows; the true AUC is known from a million."""
    y, good, _ = draw(1_000_000, seed=99)
    truth = sk.roc_auc_score(y, good)
    held = 0
    for seed in range(200):
        y, good, _ = draw(400, seed)
        estimate = measure(y, {"m": good}, (METRICS["roc_auc"],), resamples=300)
        found = estimate.estimate("roc_auc", "m")
        held += found.low <= truth <= found.high
    # 95% of 200 is 190; three standard errors are 9.2.
    assert 180 <= held <= 200


def test_one_class_gives_no_number() -> None:
    _, good, _ = draw(100)
    measured = measure(np.ones(100, dtype=bool), {"m": good}, ALL, resamples=10)
    found = measured.estimate("roc_auc", "m")
    assert np.isnan([found.value, found.low, found.high]).all()
