"""The US EPA index against published values, its categories, and the WHO guideline flags."""

import math
from datetime import date
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_science.averages import daily_averages
from aq_science.indices import (
    CATEGORIES,
    INDEX_UNITS,
    US_EPA_2024,
    aqi,
    aqi_category,
    aqi_concentration,
    by_parameter,
    daily_aqi,
)
from aq_science.units import to_canonical
from tests.factories import hourly, utc


def index_of(parameter: str, concentration: float | None) -> int | None:
    frame = pl.DataFrame({"c": [concentration]}, schema={"c": pl.Float64})
    return frame.select(aqi(parameter, pl.col("c"))).item()


@pytest.mark.parametrize(
    ("concentration", "index"),
    [
        (0.0, 0),
        (9.0, 50),
        (9.05, 50),
        (9.1, 51),
        (12.0, 56),
        (15.0, 62),
        (35.4, 100),
        (35.49, 100),
        (35.5, 101),
        (55.4, 150),
        (55.5, 151),
        (125.4, 200),
        (125.5, 201),
        (225.4, 300),
        (225.5, 301),
        (325.4, 500),
        (500.0, 848),
    ],
)
def test_pm25_index(concentration: float, index: int) -> None:
    assert index_of("pm25", concentration) == index


@pytest.mark.parametrize(
    ("ppm", "index"),
    [
        (0.0, 0),
        (2.0, 23),
        (4.4, 50),
        (4.45, 50),
        (4.5, 51),
        (9.4, 100),
        (9.5, 101),
        (12.4, 150),
        (15.4, 200),
        (30.4, 300),
        (40.4, 400),
        (50.4, 500),
    ],
)
def test_co_index(ppm: float, index: int) -> None:
    assert index_of("co", ppm) == index


@pytest.mark.parametrize(
    ("parameter", "concentration", "index"),
    [
        ("pm10", 54.9, 50),
        ("pm10", 55, 51),
        ("pm10", 154, 100),
        ("pm10", 604, 500),
        ("o3", 0.0549, 50),
        ("o3", 0.055, 51),
        ("o3", 0.070, 100),
        ("o3", 0.0709, 100),
        ("o3", 0.200, 300),
        ("no2", 53.9, 50),
        ("no2", 100, 100),
        ("no2", 360, 150),
        ("so2", 75.9, 100),
        ("so2", 304, 200),
        ("so2", 604, 300),
    ],
)
def test_index_of_the_others(parameter: str, concentration: float, index: int) -> None:
    assert index_of(parameter, concentration) == index


@pytest.mark.parametrize(
    ("parameter", "day", "index"),
    [
        # Mean, highest hour and highest 8-hour mean in ppb.
        ("no2", (20.0, 100.5, None), 100),
        ("so2", (20.0, 75.5, None), 100),
        ("so2", (20.0, 400.0, None), 200),
        ("so2", (305.5, 900.0, None), 201),
        ("so2", (None, None, None), None),
        ("o3", (20.0, 90.0, 70.5), 100),
        ("o3", (20.0, 90.0, None), None),
    ],
)
def test_a_day_is_judged_by_what_the_law_names(
    parameter: str, day: tuple[float | None, ...], index: int | None
) -> None:
    scale, _ = to_canonical(parameter, "ppb") or (1.0, 0.0)
    values = [None if ppb is None else ppb * scale for ppb in day]
    frame = pl.DataFrame([values], schema=["mean", "high", "long"], orient="row").cast(pl.Float64)
    columns = (pl.col("mean"), pl.col("high"), pl.col("long"))
    assert frame.select(daily_aqi(parameter, *columns)).item() == index


@pytest.mark.parametrize("parameter", US_EPA_2024)
def test_noise_below_zero_is_clean_air(parameter: str) -> None:
    assert index_of(parameter, -0.4) == 0


@pytest.mark.parametrize("parameter", US_EPA_2024)
def test_no_concentration_has_no_index(parameter: str) -> None:
    assert index_of(parameter, None) is None


@pytest.mark.parametrize("parameter", US_EPA_2024)
@given(st.floats(0, 2000), st.floats(0, 2000))
def test_more_is_never_better(parameter: str, one: float, other: float) -> None:
    low, high = sorted([one, other])
    better, worse = index_of(parameter, low), index_of(parameter, high)
    assert better is not None
    assert worse is not None
    assert better <= worse


@given(st.integers(1, 3254))
def test_rounding_error_of_a_mean_does_not_cost_a_tenth(tenths: int) -> None:
    """24 hours of 9.1 average to 9.099999999999998, which is 9.1."""
    concentration = tenths / 10
    just_below = math.nextafter(concentration, 0)
    assert index_of("pm25", just_below) == index_of("pm25", concentration)


@pytest.mark.parametrize(
    ("index", "category"),
    [
        (0, "Good"),
        (50, "Good"),
        (51, "Moderate"),
        (100, "Moderate"),
        (101, "Unhealthy for Sensitive Groups"),
        (150, "Unhealthy for Sensitive Groups"),
        (151, "Unhealthy"),
        (200, "Unhealthy"),
        (201, "Very Unhealthy"),
        (300, "Very Unhealthy"),
        (301, "Hazardous"),
        (848, "Hazardous"),
        (None, None),
    ],
)
def test_category(index: int | None, category: str | None) -> None:
    frame = pl.DataFrame({"i": [index]}, schema={"i": pl.Int32})
    assert frame.select(aqi_category(pl.col("i"))).item() == category


@pytest.mark.parametrize("parameter", US_EPA_2024)
def test_bands_join_and_name_every_category(parameter: str) -> None:
    bands = US_EPA_2024[parameter]
    # Above 0.200 ppm the index of O3 follows the hour, which has a table of its own.
    assert len(bands) == len(CATEGORIES) - (parameter == "o3")
    for (_, high, _, top), (low, _, bottom, _) in pairwise(bands):
        assert low == pytest.approx(high + 10.0 ** -INDEX_UNITS[parameter][1])
        assert bottom == top + 1


@pytest.mark.parametrize(("celsius", "milligrams"), [(20.0, 10.4797), (25.0, 10.3041)])
def test_co_index_is_of_the_volume_fraction(celsius: float, milligrams: float) -> None:
    frame = pl.DataFrame({"v": [milligrams]})
    ppm = frame.select(aqi_concentration("co", pl.col("v"), celsius)).item()
    assert ppm == pytest.approx(9.0, rel=1e-4)


def test_pm25_is_compared_as_it_is() -> None:
    frame = pl.DataFrame({"v": [12.3]})
    assert frame.select(aqi_concentration("pm25", pl.col("v"))).item() == 12.3


def test_each_row_takes_its_own_parameters_expression() -> None:
    frame = pl.DataFrame({"parameter": ["a", "b", "c"], "v": [1, 1, 1]})
    chosen = by_parameter(
        pl.col("parameter"), {"a": pl.col("v") * 10, "b": -pl.col("v")}, pl.lit(0)
    )
    assert frame.select(chosen.alias("x"))["x"].to_list() == [10, -1, 0]


@pytest.mark.parametrize(
    ("parameter", "level"),
    [("pm25", 15.0), ("pm10", 45.0), ("no2", 25.0), ("so2", 40.0), ("co", 4.0), ("o3", 100.0)],
)
def test_who_guideline_is_exceeded_above_its_level_only(parameter: str, level: float) -> None:
    day = date(2024, 3, 2)

    def exceeded(value: float) -> bool | None:
        # Two days, so that every running 8-hour window of the day is full.
        readings = hourly([value] * 48, utc(2024, 3, 1), parameter=parameter)
        return daily_averages(readings, {}, (day, day))["who_2021_exceeded"].item()

    assert exceeded(level) is False
    assert exceeded(level * 1.01) is True


def test_no_guideline_means_no_verdict() -> None:
    day = date(2024, 3, 1)
    rows = daily_averages(hourly([20.0] * 24, parameter="temperature"), {}, (day, day))
    assert rows["who_2021_exceeded"].item() is None
    assert rows["aqi"].item() is None


def test_who_level_of_ozone_is_held_against_the_8_hour_maximum() -> None:
    """A mean of 60 µg/m³ with an afternoon at 120."""
    day = date(2024, 3, 2)
    values = [30.0] * 24 + [30.0] * 12 + [120.0] * 8 + [30.0] * 4
    row = daily_averages(hourly(values, parameter="o3"), {}, (day, day)).row(0, named=True)
    assert row["mean"] == 60.0
    assert row["max_8h_mean"] == 120.0
    assert row["who_2021_exceeded"] is True
