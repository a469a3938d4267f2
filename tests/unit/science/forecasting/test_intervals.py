"""Quantiles of errors, and bounds from quantiles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.intervals import (
    MIN_HALF_WIDTH,
    bounds,
    conformal_quantiles,
    error_quantiles,
    interval_unit,
    wide_quantiles,
)
from aq_science.tables.forecast_models import QUANTILES


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_quantiles_are_ordered_around_zero(errors: list[float]) -> None:
    q = conformal_quantiles(np.array(errors))
    assert q["q_lower_95"] <= q["q_lower_80"] <= 0 <= q["q_upper_80"] <= q["q_upper_95"]


def test_quantiles_have_the_finite_sample_correction() -> None:
    q = conformal_quantiles(np.arange(-49.0, 50.0))  # 99 errors: 10 of 100 gaps below the 10th
    assert (q["q_lower_80"], q["q_upper_80"]) == (-40.0, 40.0)
    assert (q["q_lower_95"], q["q_upper_95"]) == (-48.0, 48.0)


def test_too_few_errors_have_the_wide_default() -> None:
    errors = np.append(np.arange(19.0), np.nan)
    assert error_quantiles("pm25", errors, np.full(20, 10.0), 5.0) == wide_quantiles()


def test_errors_count_in_units_that_grow_with_the_level() -> None:
    predicted = np.array([0.0, 10.0, -10.0])
    assert interval_unit("pm25", predicted, 5.0).tolist() == [5.0, 15.0, 15.0]
    assert interval_unit("pm25", predicted, 0.0)[0] == MIN_HALF_WIDTH["µg/m³"]
    assert interval_unit("temperature", predicted, 2.0).tolist() == [2.0, 2.0, 2.0]


@given(
    st.sampled_from(["pm25", "co", "temperature", "unheard_of"]),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
    st.lists(st.floats(-50, 50), min_size=1, max_size=60),
)
def test_an_interval_holds_its_forecast(
    parameter: str, value: float, scale: float, errors: list[float]
) -> None:
    quantiles = {n: np.array([q]) for n, q in conformal_quantiles(np.array(errors)).items()}
    at = np.array([value])
    ends = bounds(parameter, at, interval_unit(parameter, at, scale), quantiles)
    low_95, low_80, high_80, high_95 = (ends[name.removeprefix("q_")][0] for name in QUANTILES)
    assert low_95 <= low_80 <= value <= high_80 <= high_95
    if parameter in ("pm25", "co"):
        assert low_95 >= 0
