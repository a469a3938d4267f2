"""Every station in a row: its worst category of three hours, or why it has none."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from aq_science.current_air import current_categories, latest, still_current
from aq_science.network_health import network_health
from aq_science.newest_hours import newest_hours
from aq_science.overview import station_overview
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.overview import OVERVIEW
from tests.factories import DAY, HOUR, forecast_frame, hourly, station_frame, utc
from tests.laws import examples

NOW = utc(2024, 3, 1, 12, 20)
MORNING = utc(2024, 3, 1)
NOON = utc(2024, 3, 1, 12)
NO_READINGS = HOURLY_READINGS.schema.to_frame()
NO_FORECASTS = FORECASTS.schema.to_frame()


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def overview_of(
    stations: pl.DataFrame,
    readings: pl.DataFrame,
    forecasts: pl.DataFrame,
    now: datetime,
    published: datetime | None = None,
) -> pl.DataFrame:
    """As the tables give it at a time, or a publication of that time later on."""
    at = now if published is None else published
    categories = pl.concat(
        current_categories(
            readings.filter(network=network), forecasts.filter(network=network), at
        ).pipe(as_text)
        for network in ("airqino", "openaq")
    )
    return station_overview(
        stations,
        newest_hours(readings, at),
        still_current(categories, now),
        latest(readings, forecasts, stations),
        now,
    )


def row_of(
    readings: pl.DataFrame = NO_READINGS,
    forecasts: pl.DataFrame = NO_FORECASTS,
    now: datetime = NOW,
) -> dict[str, Any]:
    found = overview_of(station_frame("s1"), as_text(readings), as_text(forecasts), now)
    assert found.columns == OVERVIEW.schema.names()
    [row] = found.to_dicts()
    return row


def test_the_worst_parameter_is_the_stations() -> None:
    readings = pl.concat(
        [hourly([5.0] * 12, MORNING), hourly([200.0] * 12, MORNING, parameter="pm10")]
    )
    row = row_of(readings, forecast_frame(NOON, 8.0))
    assert (row["state"], row["tests"], row["no_forecast"]) == ("current", None, None)
    now = [row[f"{name}_0"] for name in ("hour", "rank", "category", "parameter")]
    assert now == [MORNING + 11 * HOUR, 3, "Unhealthy for Sensitive Groups", "pm10"]
    assert (row["hour_1"], row["rank_1"], row["parameter_1"]) == (NOON, 1, "pm25")
    assert (row["hour_2"], row["rank_2"]) == (NOON + HOUR, 1)


def test_a_silent_station_has_no_now_and_says_since_when() -> None:
    row = row_of(hourly([20.0] * 6, MORNING))
    assert (row["state"], row["rank_0"]) == ("silent", None)
    assert row["newest_hour"] == row["newest_valid_hour"] == MORNING + 5 * HOUR
    assert row["no_forecast"] == "not_issued"


def test_a_station_without_any_hour_is_silent() -> None:
    row = row_of()
    assert (row["state"], row["newest_hour"], row["rank_0"]) == ("silent", None, None)


def test_a_flagged_sensor_names_the_tests_of_the_last_hours() -> None:
    readings = hourly([7.0] * 12, MORNING, flag=["valid"] * 6 + ["suspect"] * 6).with_columns(
        reasons=pl.when(pl.col("flag") == "suspect")
        .then(pl.lit(["flat_line"]))
        .otherwise(pl.lit(["spike"]))
    )
    row = row_of(readings)
    assert (row["state"], row["tests"]) == ("flagged", ["flat_line"])
    assert row["newest_valid_hour"] == MORNING + 5 * HOUR
    assert row["newest_hour"] == MORNING + 11 * HOUR
    assert row["rank_0"] is None


@pytest.mark.parametrize("model", ["no_valid_readings", "sensor_flagged"])
def test_a_forecast_without_a_value_gives_its_models_reason(model: str) -> None:
    without = forecast_frame(NOON, 1.0).with_columns(
        value=pl.lit(None, pl.Float64), aqi_category=pl.lit(None), model=pl.lit(model)
    )
    row = row_of(forecasts=without)
    assert (row["no_forecast"], row["rank_1"], row["rank_2"]) == (model, None, None)


def test_a_forecast_of_hours_that_have_ended_is_none() -> None:
    row = row_of(forecasts=forecast_frame(NOON - 3 * HOUR, 8.0))
    assert (row["no_forecast"], row["rank_1"], row["rank_2"]) == ("not_issued", None, None)


def test_stations_of_two_networks_do_not_mix() -> None:
    stations = pl.concat([station_frame("s1"), station_frame("s1", network="openaq")])
    readings = as_text(hourly([20.0] * 12, MORNING, network="openaq"))
    found = overview_of(stations, readings, as_text(NO_FORECASTS), NOW)
    assert found.select("network", "state").rows() == [("airqino", "silent"), ("openaq", "current")]


@st.composite
def some_readings(draw: st.DrawFn) -> pl.DataFrame:
    """A few stations of two networks over three days: values, flags and late pulls as they come."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["airqino", "openaq"]),
                st.sampled_from(["s1", "s2"]),
                st.integers(0, 71),
                st.sampled_from(["valid", "suspect", "missing"]),
                st.integers(1, 80),
            ),
            max_size=30,
            unique_by=lambda row: row[:3],
        )
    )
    parts = [
        hourly(
            [None if flag == "missing" else 20.0],
            NOON - age * HOUR,
            network=network,
            station=station,
            flag=[flag],
        ).with_columns(
            pulled_at=pl.lit(NOON + (wait - age) * HOUR).dt.cast_time_unit("us"),
            reasons=pl.lit([f"test_{age % 3}"] if flag == "suspect" else [], pl.List(pl.String)),
        )
        for network, station, age, flag, wait in rows
    ]
    return as_text(pl.concat([NO_READINGS, *parts], how="vertical_relaxed"))


@settings(max_examples=examples(25))
@given(readings=some_readings(), later=st.integers(0, 4 * 80))
def test_what_was_published_says_later_what_the_tables_say(
    readings: pl.DataFrame, later: int
) -> None:
    stations = pl.concat([station_frame("s1", "s2"), station_frame("s1", "s2", network="openaq")])
    forecasts = as_text(forecast_frame(NOON, 8.0))
    at = NOW + later * timedelta(minutes=15)
    since = at - DAY
    of_a_day = readings.filter(pl.col("hour") >= since)
    newest = forecasts.filter(pl.col("issued_for") >= since)
    expected = overview_of(stations, of_a_day, newest, at)
    assert_frame_equal(overview_of(stations, readings, forecasts, at, NOW), expected)
    allowed = {"airqino": timedelta(hours=6), "openaq": timedelta(hours=12)}
    of_three = readings.filter(pl.col("hour") >= at - 3 * DAY)
    assert_frame_equal(
        network_health(newest_hours(readings, NOW), stations, allowed, at),
        network_health(newest_hours(of_three, at), stations, allowed, at),
    )
