"""Metrics are scikit-learn's; intervals are those of the paired bootstrap."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from mlops.measure.metrics import METRICS
from mlops.measure.resample import measure

Array = NDArray[np.float64]
REFERENCE: dict[str, Callable[..., float]] = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "brier_score": sk.brier_score_loss,
    "log_loss": sk.log_loss,
}
ALL = tuple(METRICS.values())


def draw(n: int, seed: int = 0) -> tuple[NDArray[np.bool_], Array, Array]:
    """Labels, a good score, and a slightly worse one that shares most of its errors."""
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.3
    good = np.clip(0.5 * random.random(n) + 0.3 * y, 0, 1)
    return y, good, np.clip(good + random.normal(0, 0.05, n), 0, 1)


def test_every_metric_has_its_reference() -> None:
    assert set(REFERENCE) == set(METRICS)


@pytest.mark.parametrize("decimals", [1, 2, 15], ids=["many ties", "some ties", "no ties"])
@pytest.mark.parametrize("name", REFERENCE)
def test_values_are_those_of_scikit_learn(name: str, decimals: int) -> None:
    y, good, _ = draw(2000)
    scores = good.round(decimals)
    measured = measure(y, {"model": scores}, ALL, resamples=1)
    value = measured.estimate(name, "model").value
    assert value == pytest.approx(REFERENCE[name](y, scores), abs=1e-10)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_resample_is_the_metric_under_its_weights(name: str) -> None:
    y, good, _ = draw(500)
    scores = good.round(2)
    measured = measure(y, {"model": scores}, ALL, resamples=3, seed=7)
    generator = np.random.Generator(np.random.SFC64([7, 0]))
    row = list(METRICS).index(name)
    for resample in range(3):
        drawn = generator.integers(len(y), size=len(y))
        expected = REFERENCE[name](y[drawn], scores[drawn])
        assert measured.draws[resample, row, 0] == pytest.approx(expected, abs=1e-10)


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
    for name in METRICS:
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
