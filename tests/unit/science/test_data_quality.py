"""Hours by flag and test: they add up, and a range is what its days are one by one."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.data_quality import data_quality, hours_by_test
from aq_science.gaps import RETIRED_AFTER, expected_hours, gaps, hour_causes
from aq_science.tables.core import broken_rows
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.tables.types import FLAGS
from aq_science.windows import Window
from tests.factories import DAY, MIDNIGHT, hourly, station_frame
from tests.unit.science.test_gaps import EVERYTHING, LATER

FIRST = Window(MIDNIGHT, MIDNIGHT + DAY)
BOTH = Window(MIDNIGHT, MIDNIGHT + 2 * DAY)
STATIONS = station_frame("s1", "s2", last_seen=LATER)


def test_a_day_by_hand() -> None:
    flags = ["valid"] * 20 + ["suspect", "suspect", "missing"]
    readings = hourly([10.0] * 23, flag=flags).with_columns(
        reasons=pl.when(pl.col("flag") == "suspect")
        .then(pl.lit(["spike", "flat_line"]))
        .when(pl.col("flag") == "missing")
        .then(pl.lit(["no_value"]))
        .when(pl.int_range(pl.len()) < 3)
        .then(pl.lit(["negative"]))
        .otherwise(pl.lit([], pl.List(pl.String))),
        revision=pl.when(pl.int_range(pl.len()) < 4).then(2).otherwise(0).cast(pl.Int32),
        coverage=pl.when(pl.int_range(pl.len()) < 2).then(pl.lit(0.8)),
    )
    [row] = data_quality(readings, STATIONS.head(1), FIRST, "airqino").to_dicts()
    hours = {name.removeprefix("hours_"): n for name, n in row.items() if name.startswith("hours_")}
    assert hours == {
        "expected": 24,
        "present": 22,
        "valid": 20,
        "suspect": 2,
        "invalid": 0,
        "missing": 2,
        "revised": 4,
    }
    assert row["mean_coverage"] == 0.8
    assert [tuple(one.values()) for one in row["tests"]] == [
        ("negative", 3),
        ("flat_line", 2),
        ("spike", 2),
        ("no_value", 1),
    ]


def test_an_active_station_that_sent_nothing_has_a_row_and_a_retired_one_has_none() -> None:
    silent = data_quality(hourly([]), STATIONS, FIRST, "airqino")
    assert silent["hours_missing"].to_list() == [24, 24]
    assert silent["tests"].to_list() == [[], []]
    retired = station_frame("s1", first_seen=MIDNIGHT - 90 * DAY, last_seen=MIDNIGHT - 31 * DAY)
    assert retired["last_seen"][0] + RETIRED_AFTER < FIRST.start
    assert data_quality(hourly([]), retired, FIRST, "airqino").is_empty()


def test_a_parameter_that_its_station_does_not_list_counts_where_it_is_there() -> None:
    found = data_quality(hourly([0.4], parameter="co"), STATIONS.head(1), BOTH, "airqino")
    assert found.select("parameter", "hours_present").rows() == [
        ("pm25", 0),
        ("pm25", 0),
        ("co", 1),
    ]


def test_hours_that_change_their_minute_are_all_expected() -> None:
    readings = pl.concat(
        [hourly([1.0] * 13), hourly([1.0] * 12, MIDNIGHT + timedelta(hours=12, minutes=30))]
    )
    [row] = data_quality(readings, STATIONS.head(1), FIRST, "airqino").to_dicts()
    assert (row["hours_expected"], row["hours_present"], row["hours_missing"]) == (25, 25, 0)


hours_of_two_days = st.lists(st.sampled_from([None, *FLAGS]), min_size=48, max_size=48)


@given(st.lists(hours_of_two_days, min_size=1, max_size=2), st.integers(0, 2))
def test_hours_add_up_and_a_range_is_its_days(series: list[list[str | None]], every: int) -> None:
    readings = pl.concat(
        hourly(
            [None if flag is None else 10.0 for flag in flags],
            station=f"s{n + 1}",
            flag=[flag or "valid" for flag in flags],
        )
        for n, flags in enumerate(series)
    ).with_columns(
        reasons=pl.when(pl.col("hour").dt.hour() % 3 == every)
        .then(pl.lit(["spike"]))
        .otherwise(pl.lit(["flat_line", "spike"])),
        revision=(pl.col("hour").dt.hour() % 2).cast(pl.Int32),
    )
    whole = data_quality(readings, STATIONS, BOTH, "airqino")
    assert whole.schema == DATA_QUALITY.schema
    assert all(bad.is_empty() for bad in broken_rows(DATA_QUALITY, whole).values())
    assert whole["hours_valid"].sum() == (readings["flag"] == "valid").sum()
    assert whole["hours_revised"].sum() == readings["revision"].sum()
    by_test = hours_by_test(whole)
    assert by_test["hours"].sum() == readings["reasons"].list.len().sum()
    days = [
        data_quality(
            readings.filter(pl.col("hour").is_between(day.start, day.end, closed="left")),
            STATIONS,
            day,
            "airqino",
        )
        for day in BOTH.chunks(DAY)
    ]
    assert_frame_equal(pl.concat(days).sort(DATA_QUALITY.key), whole)


@given(st.lists(st.sampled_from([None, *FLAGS]), min_size=24, max_size=24))
def test_what_is_not_valid_is_in_the_gaps(flags: list[str | None]) -> None:
    values = [None if flag is None else 10.0 for flag in flags]
    readings = hourly(values, flag=[flag or "valid" for flag in flags])
    stations = station_frame("s1", last_seen=LATER)
    expected = expected_hours(stations, readings, FIRST)
    missing = gaps(hour_causes(expected, readings, EVERYTHING, stations, LATER), "airqino")
    [row] = data_quality(readings, stations, FIRST, "airqino").to_dicts()
    assert row["hours_expected"] - row["hours_valid"] == missing["hours"].sum()
