"""Small frames and answers for the tests: every column has a sensible default."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.parameters import PARAMETERS
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.versions import VERSION_SCHEMA
from aq_science.windows import Window

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def utc(
    year: int, month: int = 1, day: int = 1, hour: int = 0, minute: int = 0, second: int = 0
) -> datetime:
    """An instant in UTC."""
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


MIDNIGHT = utc(2024, 3, 1)


def versions(*rows: dict[str, Any]) -> pl.DataFrame:
    """Versions of readings; a row says only what matters to the test."""
    default = {
        "station_id": "s1",
        "parameter": "pm25",
        "hour": MIDNIGHT,
        "value_native": 10.0,
        "unit_native": "µg/m³",
        "coverage": None,
        "sensor_id": None,
        "duplicate": False,
        "provider_flag": False,
        "channels_apart": None,
        "status": None,
        "pulled_at": MIDNIGHT + DAY,
    }
    return pl.DataFrame([{**default, **row} for row in rows], schema=VERSION_SCHEMA, orient="row")


def hourly(
    values: Sequence[float | None],
    start: datetime = MIDNIGHT,
    *,
    station: str = "s1",
    parameter: str = "pm25",
    flag: str | Sequence[str] = "valid",
    network: str = "airqino",
    pulled_at: datetime | None = None,
) -> pl.DataFrame:
    """Hourly readings, one an hour from `start` on; None leaves the hour out."""
    flags = [flag] * len(values) if isinstance(flag, str) else flag
    unit = PARAMETERS[parameter].unit
    rows: list[dict[str, object]] = [
        {
            "network": network,
            "station_id": station,
            "parameter": parameter,
            "hour": start + n * HOUR,
            "value": value,
            "unit": unit,
            "value_native": value,
            "unit_native": unit,
            "coverage": None,
            "flag": flags[n],
            "reasons": [],
            "status": None,
            "sensor_id": None,
            "pulled_at": pulled_at or start + len(values) * HOUR,
            "revision": 0,
        }
        for n, value in enumerate(values)
        if value is not None
    ]
    return pl.DataFrame(rows, schema=HOURLY_READINGS.schema, orient="row")


def answer(
    body: str = "{}",
    *,
    window: Window | None = None,
    pulled_at: datetime = MIDNIGHT + DAY,
    station: str = "s1",
    status: int = 200,
    **params: str,
) -> RawAnswer:
    """An answer as a client hands it to the store."""
    window = window or Window(MIDNIGHT, MIDNIGHT + DAY)
    url = f"https://upstream.example/v3/{station}"
    return RawAnswer(url, params, (window.start, window.end), pulled_at, status, body)


def station_frame(*stations: str, network: str = "airqino", **columns: Any) -> pl.DataFrame:
    """Rows of the station dimension."""
    default = {
        "network": network,
        "name": "somewhere",
        "latitude": 5.3,
        "longitude": -4.0,
        "country": "CI",
        "city": "Abidjan",
        "timezone": "Africa/Abidjan",
        "parameters": ["pm25"],
        "first_seen": MIDNIGHT,
        "last_seen": MIDNIGHT,
        "attribution": "",
        "coordinates_source": "upstream",
    }
    rows = [{**default, "station_id": station, **columns} for station in stations]
    return pl.DataFrame(rows, schema=STATIONS.schema, orient="row")


def daily_frame(
    *dates: date, network: str = "airqino", station: str = "s1", mean: float = 10.0, **columns: Any
) -> pl.DataFrame:
    """Rows of daily averages: complete days with the given mean."""
    default = {
        "network": network,
        "station_id": station,
        "parameter": "pm25",
        "timezone": "UTC",
        "mean": mean,
        "minimum": mean,
        "maximum": mean,
        "hours_valid": 24,
        "hours_present": 24,
        "hours_expected": 24,
        "completeness": 1.0,
        "valid": True,
        "rule": "75_percent_of_hours_civil_day",
        "mean_all_hours": mean,
        "max_8h_mean": None,
        "aqi": 53,
        "aqi_category": "Moderate",
        "who_2021_exceeded": False,
        "unit": "µg/m³",
    }
    rows = [{**default, "date": day, **columns} for day in dates]
    return pl.DataFrame(rows, schema=DAILY_AVERAGES.schema, orient="row")


def forecast_frame(
    issued_for: datetime,
    value: float,
    mode: str = "hindcast",
    *,
    stations: Sequence[str] = ("s1",),
    network: str = "airqino",
) -> pl.DataFrame:
    """Both horizons of each station, issued for one hour."""
    rows = [
        {
            "network": network,
            "station_id": station,
            "parameter": "pm25",
            "issued_for": issued_for,
            "horizon": horizon,
            "hour": issued_for + (horizon - 1) * HOUR,
            "value": value,
            "lower_80": value - 1,
            "upper_80": value + 1,
            "lower_95": value - 2,
            "upper_95": value + 2,
            "unit": "µg/m³",
            "model": "persistence",
            "model_day": issued_for.date(),
            "mode": mode,
            "issued_at": issued_for,
            "aqi_category": "Good",
        }
        for station in stations
        for horizon in (1, 2)
    ]
    return pl.DataFrame(rows, schema=FORECASTS.schema, orient="row")
