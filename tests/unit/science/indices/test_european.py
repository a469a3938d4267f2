"""The European index against its bands of 2024."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.indices.european import (
    ADVICE,
    CATEGORIES,
    COLOURS,
    UPPER_BOUNDS,
    european_category,
    european_level,
)


def level_of(parameter: str, value: float | None) -> int | None:
    frame = pl.DataFrame({"v": [value]}, schema={"v": pl.Float64})
    return frame.select(european_level(parameter, pl.col("v"))).item()


@pytest.mark.parametrize(
    ("parameter", "bounds"),
    [
        ("pm25", (5, 15, 50, 90, 140)),
        ("pm10", (15, 45, 120, 195, 270)),
        ("no2", (10, 25, 60, 100, 150)),
        ("o3", (60, 100, 120, 160, 180)),
        ("so2", (20, 40, 125, 190, 275)),
    ],
)
def test_a_level_ends_with_its_upper_bound(parameter: str, bounds: tuple[float, ...]) -> None:
    for level, bound in enumerate(bounds, start=1):
        assert level_of(parameter, bound) == level
        assert level_of(parameter, math.nextafter(bound, math.inf)) == level + 1


@pytest.mark.parametrize("parameter", UPPER_BOUNDS)
def test_noise_is_good_and_no_value_has_no_level(parameter: str) -> None:
    assert level_of(parameter, -0.5) == 1
    assert level_of(parameter, None) is None
    assert level_of(parameter, math.nan) is None


@pytest.mark.parametrize("parameter", UPPER_BOUNDS)
@given(st.floats(0, 2000), st.floats(0, 2000))
def test_more_is_never_better(parameter: str, one: float, other: float) -> None:
    better, worse = (level_of(parameter, value) for value in sorted([one, other]))
    assert better is not None
    assert worse is not None
    assert better <= worse


def test_every_level_has_its_name() -> None:
    frame = pl.DataFrame({"level": [1, 2, 3, 4, 5, 6, None]}, schema={"level": pl.Int8})
    names = frame.select(european_category(pl.col("level")))["level"].to_list()
    assert names == [
        "Good",
        "Fair",
        "Moderate",
        "Poor",
        "Very poor",
        "Extremely poor",
        None,
    ]
    assert len(CATEGORIES) == len(COLOURS) == len(ADVICE) == 6
