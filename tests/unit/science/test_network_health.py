"""How the networks are now."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from aq_science.network_health import network_health
from aq_science.newest_hours import newest_hours
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.network_health import NETWORKS
from tests.factories import DAY, HOUR, hourly, station_frame, utc

NOW = utc(2024, 3, 3, 12, 20)
ALLOWED = {"airqino": timedelta(hours=6), "openaq": timedelta(hours=6)}


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def test_each_network_is_current_silent_or_empty() -> None:
    readings = pl.concat(
        [
            hourly([1.0] * 3, NOW.replace(minute=0) - 3 * HOUR),
            hourly([1.0], NOW.replace(minute=0) - DAY - HOUR, station="s2"),
            hourly([1.0], NOW.replace(minute=0) - 2 * HOUR, station="s3", flag=["suspect"]),
            hourly([1.0], NOW.replace(minute=0) - 8 * HOUR, network="openaq"),
        ]
    )
    stations = pl.concat([station_frame("s1", "s2", "s3"), station_frame("s1", network="openaq")])
    allowed = {**ALLOWED, "airqo": timedelta(hours=12)}
    found = network_health(newest_hours(as_text(readings), NOW), stations, allowed, NOW)
    assert found.columns == NETWORKS.schema.names()
    assert found.select("network", "state", "silent_after_hours").rows() == [
        ("airqino", "current", 6),
        ("airqo", "empty", 12),
        ("openaq", "silent", 6),
    ]
    counted = ("stations", "stations_reporting", "stations_valid")
    assert found.select(counted).rows() == [(3, 2, 1), (0, 0, 0), (1, 1, 1)]


def test_an_hour_in_progress_is_recent() -> None:
    readings = as_text(hourly([1.0], NOW.replace(minute=0)))
    found = network_health(
        newest_hours(readings, NOW), station_frame("s1"), {"airqino": timedelta(hours=1)}, NOW
    )
    assert found["state"].to_list() == ["current"]


def test_values_that_never_came_are_no_sign_of_life() -> None:
    readings = as_text(hourly([None], NOW - HOUR))
    found = network_health(newest_hours(readings, NOW), station_frame("s1"), ALLOWED, NOW)
    assert found["state"].to_list() == ["empty", "empty"]
    nothing = as_text(HOURLY_READINGS.schema.to_frame())
    assert network_health(newest_hours(nothing, NOW), station_frame("s1"), {}, NOW).is_empty()
