"""Indices of hours, from readings to rows."""

from __future__ import annotations

import polars as pl
import pytest

from aq_science.hourly_indices import REACH, hourly_indices
from aq_science.tables.core import broken_rows
from aq_science.tables.hourly_indices import HOURLY_INDICES
from aq_science.windows import Window
from tests.factories import DAY, HOUR, MIDNIGHT, hourly

WINDOW = Window(MIDNIGHT, MIDNIGHT + DAY)
WORKED = (34.9, 43, 50, 64.9, 69.2, 66.2, 53.7, 48.6, 49.2, 35, None, 21)


def indices(readings: pl.DataFrame, window: Window = WINDOW) -> pl.DataFrame:
    found = hourly_indices(readings, window, "airqino")
    assert found.schema == HOURLY_INDICES.schema
    assert all(bad.is_empty() for bad in broken_rows(HOURLY_INDICES, found).values())
    return found


def test_the_worked_example_of_the_agency() -> None:
    """The twelve hours end with the first one of the day."""
    found = indices(hourly(WORKED, MIDNIGHT - REACH))
    first = found.row(0, named=True)
    assert first["hour"] == MIDNIGHT
    assert first["nowcast"] == pytest.approx(28.40980136763, abs=1e-11)
    assert (first["nowcast_aqi"], first["nowcast_category"]) == (87, "Moderate")
    assert (first["european_level"], first["european_category"]) == (3, "Moderate")


def test_gases_have_the_european_index_alone() -> None:
    found = indices(hourly([101.0, 121.0], parameter="o3"))
    assert found["european_category"].to_list() == ["Moderate", "Poor"]
    assert found["nowcast"].null_count() == len(found)


def test_the_nowcast_outlives_the_value_by_an_hour_and_the_european_index_does_not() -> None:
    found = indices(hourly([10.0, 10.0, 10.0, None, None, 7.0], parameter="pm10"))
    assert found["hour"].to_list() == [MIDNIGHT + n * HOUR for n in (0, 1, 2, 3, 5)]
    assert found["european_level"].to_list() == [1, 1, 1, None, 1]
    assert found["nowcast_aqi"].to_list() == [None, 9, 9, 9, None]


@pytest.mark.parametrize("flag", ["suspect", "invalid", "missing"])
def test_what_is_not_valid_has_no_index(flag: str) -> None:
    assert indices(hourly([10.0] * 6, flag=flag)).is_empty()


def test_parameters_without_an_index_have_no_row() -> None:
    assert indices(hourly([1.0] * 6, parameter="co")).is_empty()


def test_a_days_rows_are_those_of_a_longer_window() -> None:
    readings = hourly([5.0 + n % 17 for n in range(72)], MIDNIGHT - DAY)
    whole = indices(readings, Window(MIDNIGHT - DAY, MIDNIGHT + 2 * DAY))
    own = readings.filter(pl.col("hour") >= MIDNIGHT - REACH, pl.col("hour") < MIDNIGHT + DAY)
    inside = whole.filter(pl.col("hour").is_between(MIDNIGHT, MIDNIGHT + DAY, closed="left"))
    assert indices(own).equals(inside)
