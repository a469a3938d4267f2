"""A small warehouse in which something is wrong with nearly every station, and a clock that stands.

It is half past ten in the evening of the day on which Brussels' clocks went forward.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from fastapi import FastAPI

from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles, by_day, file_name
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.windows import Window
from aq_serving.app import create_app
from aq_serving.settings import ApiSettings
from tests.factories import DAY, HOUR, daily_frame, forecast_frame, hourly, station_frame, utc
from tests.system.running import free_port

NOW = utc(2024, 3, 31, 20, 30)
FIRST = utc(2024, 3, 29)
HOURS = int((NOW.replace(minute=0) - FIRST) / HOUR)
NETWORKS = """
networks:
  airqino: {start_date: 2024-01-01, stations: ["silent", "dead", "holes"]}
  irceline: {start_date: 2024-01-01, stations: ["spring"]}
  openaq: {start_date: 2024-01-01, stations: ["down"]}
"""


def write_hours(services: Services, network: str, *parts: pl.DataFrame) -> None:
    """Day files as the assets write them."""
    name = HOURLY_READINGS.name
    root = f"{network}/{name}"
    files = DayFiles(services.object_store, root, file_name(name), HOURLY_READINGS.schema)
    for day, rows in by_day(Window(FIRST, FIRST + 3 * DAY), pl.concat(parts)):
        files.write(day, rows, {})
    services.warehouse.publish_files(network, HOURLY_READINGS, files.pattern)


def fill(services: Services) -> None:
    """Silence, a dead sensor, a missing hour, a day of 23 hours, a network that is down."""
    warehouse = services.warehouse
    abidjan: dict[str, Any] = {"timezone": "Africa/Abidjan", "parameters": ["pm25", "co"]}
    warehouse.replace(
        "airqino",
        STATIONS,
        pl.concat(station_frame(one, name=one, **abidjan) for one in ("silent", "dead", "holes")),
    )
    brussels: dict[str, Any] = {
        "country": "BE",
        "timezone": "Europe/Brussels",
        "latitude": 50.8,
        "longitude": 4.3,
    }
    warehouse.replace(
        "irceline", STATIONS, station_frame("spring", network="irceline", name="spring", **brussels)
    )
    warehouse.replace("openaq", STATIONS, station_frame("down", network="openaq", name="down"))
    whole = [20.0 + n % 5 for n in range(HOURS)]
    stuck = hourly([7.0] * HOURS, FIRST, station="dead", flag="suspect").with_columns(
        reasons=pl.lit(["flat_line"], HOURLY_READINGS.schema["reasons"])
    )
    holes = hourly(whole, FIRST, station="holes").filter(
        pl.col("hour") != NOW.replace(hour=12, minute=0)
    )
    write_hours(
        services,
        "airqino",
        hourly(whole[: HOURS - 10], FIRST, station="silent"),
        stuck,
        holes,
    )
    write_hours(services, "irceline", hourly(whole, FIRST, station="spring", network="irceline"))
    write_hours(
        services, "openaq", hourly(whole[: HOURS - 30], FIRST, station="down", network="openaq")
    )
    issued = NOW.replace(minute=0)
    spring = daily_frame(
        NOW.date(), network="irceline", station="spring", timezone="Europe/Brussels"
    )
    spring = spring.with_columns(
        hours_expected=pl.lit(23, pl.Int32),
        hours_present=pl.lit(21, pl.Int32),
        hours_valid=pl.lit(21, pl.Int32),
    )
    window = (NOW.date(), NOW.date() + DAY)
    warehouse.replace("irceline", DAILY_AVERAGES, spring, window)
    frame = forecast_frame(issued, 12.0, "live", stations=["spring"], network="irceline")
    warehouse.replace("irceline", FORECASTS, frame, (issued, issued + HOUR))
    none = forecast_frame(issued, 12.0, "live", stations=["dead"]).with_columns(
        *(
            pl.lit(None, pl.Float64).alias(f"{end}_{part}")
            for end in ("lower", "upper")
            for part in (80, 95)
        ),
        value=pl.lit(None, pl.Float64),
        aqi_category=pl.lit(None, FORECASTS.schema["aqi_category"]),
        model=pl.lit("sensor_flagged", pl.Categorical),
    )
    warehouse.replace("airqino", FORECASTS, none, (issued, issued + HOUR))


@contextlib.contextmanager
def troubled_server(folder: Path) -> Iterator[str]:
    """The API and its pages over that warehouse, at this address."""
    (folder / "networks.yaml").write_text(NETWORKS, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_HOME", str(folder / "home"))
        patch.setenv("AQ_NETWORKS", str(folder / "networks.yaml"))
        services = Services.from_environment(now=lambda: NOW)
    services.warehouse.prepare()
    fill(services)
    with in_thread(create_app(services, ApiSettings())) as url:
        yield url


@contextlib.contextmanager
def in_thread(application: FastAPI) -> Iterator[str]:
    """The application at this address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
