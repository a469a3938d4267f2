"""An application over a small real warehouse, and a way to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from aq_assets.publication import publish_network, publish_union
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles, by_day, file_name
from aq_science.tables.core import Table
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.exceedances import EXCEEDANCES
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.gaps import GAPS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.windows import Window
from aq_serving.app import create_app
from aq_serving.settings import ApiSettings
from tests.factories import DAY, HOUR, daily_frame, forecast_frame, hourly, station_frame, utc

NOW = utc(2024, 3, 10, 10, 20)
FIRST = utc(2024, 3, 1)
# As a station may be called, and nothing that a statement may be made of.
ODD = "o'neil\"; DROP TABLE stations --"
NETWORKS = """
networks:
  airqino: {start_date: 2024-01-01, stations: ["s1", "s2"]}
  irceline: {start_date: 2024-01-01, stations: ["b1"]}
"""

Ask = Callable[..., httpx.Response]


def rows_of(table: Table, *rows: dict[str, Any]) -> pl.DataFrame:
    """Rows that say only what matters."""
    empty = dict.fromkeys(table.schema)
    return pl.DataFrame([{**empty, **row} for row in rows], table.schema, orient="row")


def write_hours(services: Services, network: str, *parts: pl.DataFrame) -> None:
    """Day files as the assets write them."""
    name = HOURLY_READINGS.name
    root = f"{network}/{name}"
    files = DayFiles(services.object_store, root, file_name(name), HOURLY_READINGS.schema)
    frame = pl.concat(parts)
    for day, rows in by_day(Window(FIRST, utc(2024, 3, 11)), frame):
        files.write(day, rows, {})
    services.warehouse.publish_files(network, HOURLY_READINGS, files.pattern)


def fill(services: Services, count: int = 9) -> None:
    """Two networks, ten days of hours, and so many days of what is made of them."""
    warehouse = services.warehouse
    stations = pl.concat(
        [
            station_frame("s1", "s2", parameters=["pm25", "co"]),
            station_frame(ODD, latitude=None, longitude=None),
        ]
    )
    belgian = station_frame(
        "b1", network="irceline", latitude=50.85, longitude=4.35, country="BE", city="Brussels"
    )
    warehouse.replace("airqino", STATIONS, stations)
    warehouse.replace("irceline", STATIONS, belgian)
    hours = int((NOW - FIRST) / HOUR)
    pm25 = [10.0 + (n % 7) for n in range(hours)]
    write_hours(
        services,
        "airqino",
        hourly(pm25, FIRST, station="s1"),
        hourly([0.5] * hours, FIRST, station="s1", parameter="co"),
        hourly([3.25] * 24, FIRST, station="s2", flag=["suspect", *["valid"] * 23]),
        hourly([7.0] * 3, FIRST, station=ODD),
    )
    write_hours(services, "irceline", hourly(pm25, FIRST, station="b1", network="irceline"))
    days = [FIRST.date() + n * DAY for n in range(count)]
    for network, station in (("airqino", "s1"), ("irceline", "b1")):
        window = (days[0], days[-1] + DAY)
        rows = daily_frame(*days, network=network, station=station)
        warehouse.replace(network, DAILY_AVERAGES, rows, window)
        for issued in (NOW.replace(minute=0), NOW.replace(hour=9, minute=0)):
            frame = forecast_frame(issued, 12.0, "live", stations=[station], network=network)
            warehouse.replace(network, FORECASTS, frame, (issued, issued + HOUR))
    series = {"network": "airqino", "station_id": "s1", "parameter": "pm25"}
    score = {"horizon": 1, "mode": "live", "n": 24, "mae": 1.5, "rmse": 2.0, "bias": 0.0}
    gap = {"hours": 1, "cause": "source_silent"}
    for day in days:
        bounds = (day, day + DAY)
        warehouse.replace(
            "airqino",
            FORECAST_SCORES,
            rows_of(FORECAST_SCORES, series | score | {"date": day}),
            bounds,
        )
        start = FIRST + (day - days[0])
        first = {"date": day, "first_hour": start, "last_hour": start}
        warehouse.replace("airqino", GAPS, rows_of(GAPS, series | gap | first), bounds)
    limit = {
        "year": 2024,
        "standard": "who_2021",
        "level": 15.0,
        "unit": "µg/m³",
        "days_valid": 9,
        "data_capture": 9 / 366,
    }
    warehouse.replace(
        "airqino",
        EXCEEDANCES,
        rows_of(
            EXCEEDANCES,
            {**series, **limit, "metric": "daily_mean", "days_over": 1, "exceeded": False},
            {**series, **limit, "metric": "annual_mean", "annual_mean": 12.0},
        ),
    )


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Filled stores."""
    home = tmp_path_factory.mktemp("served")
    (home / "networks.yaml").write_text(NETWORKS, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_HOME", str(home / "home"))
        patch.setenv("AQ_NETWORKS", str(home / "networks.yaml"))
        found = Services.from_environment(now=lambda: NOW)
    assert found.invalid_networks == {}
    found.warehouse.prepare()
    fill(found)
    yield found
    found.close()


@pytest.fixture(scope="session")
def application(services: Services) -> FastAPI:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_API_CORS_ORIGINS", "https://air.example.org")
        return create_app(services, ApiSettings())


def asker(application: FastAPI) -> Ask:
    """Ask by GET, or another method."""

    def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.request(method, path, headers=named)

        return asyncio.run(request())

    return ask


@pytest.fixture(scope="session")
def ask(application: FastAPI) -> Ask:
    return asker(application)


def day(number: int) -> date:
    """A day of March 2024."""
    return date(2024, 3, number)


def publish(services: Services, network: str) -> None:
    """What follows a forecast of the network."""
    publish_network(services, network)
    publish_union(services, list(services.networks), pytest.fail)
