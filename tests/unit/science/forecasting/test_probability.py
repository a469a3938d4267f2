"""How likely a forecast is to pass a level."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.probability import probability_above

BOUNDS = ("lower_95", "lower_80", "value", "upper_80", "upper_95")


def above(bounds: list[float], level: float | None) -> float | None:
    row = pl.DataFrame({name: [bound] for name, bound in zip(BOUNDS, bounds, strict=True)})
    found: float | None = row.select(probability_above(pl.lit(level, pl.Float64))).item()
    return found


@pytest.mark.parametrize(
    ("level", "expected"),
    [(5, 0.975), (8, 0.9), (10, 0.5), (14, 0.1), (20, 0.025), (12, 0.3), (17, 0.0625)],
)
def test_at_the_bounds_and_between(level: float, expected: float) -> None:
    assert above([5, 8, 10, 14, 20], level) == pytest.approx(expected)


def test_beyond_the_intervals_it_falls_to_a_quarter_over_the_width_of_the_last_step() -> None:
    assert above([5, 8, 10, 14, 20], 26) == pytest.approx(0.025 / 4)
    assert above([5, 8, 10, 14, 20], 2) == pytest.approx(1 - 0.025 / 4)


def test_bounds_at_zero_are_no_division_by_it() -> None:
    assert above([0, 0, 0, 1, 2], 15) == pytest.approx(0.025 * 4**-13)
    assert above([3, 3, 3, 3, 3], 4) == 0
    assert above([3, 3, 3, 3, 3], 2) == 1


def test_without_a_value_or_a_level_there_is_none() -> None:
    assert above([5, 8, 10, 14, 20], None) is None
    nothing = pl.DataFrame(
        {name: [None] for name in BOUNDS}, schema=dict.fromkeys(BOUNDS, pl.Float64)
    )
    assert nothing.select(probability_above(pl.lit(15.0))).item() is None


@given(
    st.lists(st.floats(0, 1000), min_size=5, max_size=5).map(sorted),
    st.floats(0, 1500),
    st.floats(0, 1500),
)
def test_a_higher_level_is_never_more_likely_passed(
    bounds: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    likely, unlikely = above(bounds, low), above(bounds, high)
    assert likely is not None
    assert unlikely is not None
    assert 0 <= unlikely <= likely + 1e-12 <= 1 + 1e-12
