"""The baseline is the table that a person would write."""

from typing import Any

import numpy as np
import pandas as pd

from {{ cookiecutter.package_name }}.baseline import build_baseline


def test_it_is_the_late_rate_by_airport_and_hour(
    contract: dict[str, Any], rows: pd.DataFrame
) -> None:
    baseline = build_baseline().fit(rows, rows[contract["target"]["name"]])
    rates = rows.groupby(["origin", "hour"])["late"].transform("mean")
    np.testing.assert_allclose(baseline.predict_proba(rows)[:, 1], rates)


def test_it_answers_for_an_airport_that_it_never_saw(rows: pd.DataFrame) -> None:
    baseline = build_baseline().fit(rows, rows["late"])
    assert np.isfinite(baseline.predict_proba(rows[:5].assign(origin="XXX"))).all()
