"""Every active station, parameter and day has a row of daily averages."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_science.averages import Day, daily_averages
from aq_science.silent_days import with_silent_days
from aq_science.tables.daily_averages import DAILY_AVERAGES
from tests.factories import DAY, MIDNIGHT, hourly, station_frame, utc
from tests.laws import examples

FIRST = MIDNIGHT.date()
LAST = FIRST + 2 * DAY
ZONES = {"s1": "Africa/Abidjan", "s2": "Europe/Rome"}


def listed(*stations: str, **columns: Any) -> pl.DataFrame:
    default = {"first_seen": utc(2024), "last_seen": MIDNIGHT, "parameters": ["pm25", "co"]}
    return station_frame(*stations, **{**default, **columns})


def filled(
    readings: pl.DataFrame,
    stations: pl.DataFrame,
    dates: tuple[date, date] = (FIRST, LAST),
    day: Day = "civil",
) -> pl.DataFrame:
    averages = daily_averages(readings, ZONES, dates, day=day)
    return with_silent_days(averages, stations, ZONES, dates, day)


NOTHING = hourly([])


def test_a_day_without_hours_has_a_row_that_says_so() -> None:
    found = filled(hourly([5.0] * 24), listed("s1"))
    days = {
        (row["parameter"], row["date"]): (row["mean"], row["reason"], row["hours_valid"])
        for row in found.iter_rows(named=True)
    }
    silent = (None, "no_reading", 0)
    assert days == {
        ("pm25", FIRST): (5.0, None, 24),
        **{("pm25", FIRST + n * DAY): silent for n in (1, 2)},
        **{("co", FIRST + n * DAY): silent for n in (0, 1, 2)},
    }


@pytest.mark.parametrize(("day", "hours"), [("civil", 23), ("standard", 24)])
def test_the_hours_expected_are_those_of_the_stations_day(day: Day, hours: int) -> None:
    spring = date(2024, 3, 31)
    found = filled(NOTHING, listed("s2", parameters=["co"]), (spring, spring), day)
    [row] = found.to_dicts()
    assert (row["hours_expected"], row["timezone"]) == (hours, "Europe/Rome")
    assert row["rule"] == f"75_percent_of_hours_{day}_day"
    assert (row["completeness"], row["valid"], row["unit"]) == (0.0, False, "mg/m³")


@pytest.mark.parametrize(
    ("first_seen", "last_seen", "days"),
    [
        (utc(2024, 3, 2, 15), MIDNIGHT, 2),
        (utc(2024), utc(2024, 1, 31, 12), 1),
        (utc(2024), utc(2024, 1, 5), 0),
        (utc(2024, 3, 4), utc(2024, 3, 4), 0),
    ],
    ids=["described on the second day", "retired on the first", "long retired", "later"],
)
def test_only_active_stations_are_due(first_seen: datetime, last_seen: datetime, days: int) -> None:
    stations = listed("s1", parameters=["pm25"], first_seen=first_seen, last_seen=last_seen)
    assert len(filled(NOTHING, stations)) == days


def test_what_is_no_parameter_of_ours_is_not_due() -> None:
    assert filled(NOTHING, listed("s1", parameters=["pollen", None])).is_empty()


@settings(max_examples=examples(30))
@given(
    st.dictionaries(st.integers(0, 71), st.floats(0, 100), max_size=30),
    st.integers(0, 2),
    st.sampled_from(list(ZONES)),
)
def test_a_range_gives_what_its_days_give(
    values: dict[int, float], length: int, station: str
) -> None:
    readings = hourly([values.get(n) for n in range(72)], station=station)
    stations = listed("s1", "s2")
    last = FIRST + timedelta(days=length)
    whole = filled(readings, stations, (FIRST, last))
    days = [FIRST + timedelta(days=n) for n in range(length + 1)]
    parts = pl.concat([filled(readings, stations, (one, one)) for one in days])
    assert whole.equals(parts.sort(DAILY_AVERAGES.key))
    assert len(whole) == 2 * 2 * len(days)
