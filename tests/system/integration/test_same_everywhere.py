"""The same work on a laptop's files and on S3 with Postgres: the same tables, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl
import pytest

from aq_resources.stores.day_files import DayFiles
from aq_resources.stores.object_store import open_object_store
from aq_sandbox.server import SandboxConfig, running_sandbox
from aq_science.tables.forecast_models import FORECAST_MODELS
from aq_science.windows import Window
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.system.integration.harness import Installation

STATIONS = ["283164601", "283181971", "283249436"]
DAYS = ("2025-05-01", "2025-06-09")
FORECAST_DAYS = ("2025-06-08", "2025-06-09")
NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    laptop: Installation
    servers: Installation


@pytest.fixture(scope="module")
def pair(
    s3: S3Server, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    networks = {
        "airqino": {
            "start_date": "2025-05-01",
            "stations": STATIONS,
            # East and west of UTC, so that local days are not UTC's.
            "overrides": {
                STATIONS[1]: {"timezone": "Asia/Kolkata"},
                STATIONS[2]: {"timezone": "America/New_York"},
            },
        }
    }
    bucket = s3.create_bucket("same-everywhere")
    address = postgres.create_database("same_everywhere")
    with running_sandbox(SandboxConfig(now=NOW)) as sandbox, ThreadPoolExecutor(2) as pool:
        laptop, servers = (
            Installation(tmp_path_factory.mktemp(name))
            .with_networks(**networks)
            .with_settings(**sandbox.environment)
            for name in ("laptop", "servers")
        )
        servers = servers.with_settings(
            **s3.environment,
            AQ_OBJECT_STORE=f"s3://{bucket}/objects",
            AQ_WAREHOUSE=f"ducklake:postgres:{address}",
        )

        def work(installation: Installation) -> None:
            installation.backfill(*DAYS)
            installation.backfill(*FORECAST_DAYS, "--forecasts")

        list(pool.map(work, (laptop, servers)))
        with pytest.MonkeyPatch.context() as patch:
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            yield Pair(laptop, servers)


@pytest.mark.parametrize(
    ("name", "least"),
    [("stations", 3), ("hourly_readings", 15_000), ("daily_averages", 700), ("forecasts", 576)],
)
def test_tables_are_the_same(pair: Pair, name: str, least: int) -> None:
    laptop, servers = pair.laptop.table(name), pair.servers.table(name)
    assert len(laptop) >= least
    assert laptop.schema == servers.schema
    assert laptop.equals(servers)


def test_forecast_models_are_the_same(pair: Pair) -> None:
    def models(installation: Installation) -> pl.DataFrame:
        settings = installation.settings
        url = settings.get("AQ_OBJECT_STORE", f"file://{installation.home / 'objects'}")
        store = open_object_store(url, settings.get("AQ_S3_ENDPOINT_URL"))
        files = DayFiles(store, "airqino/forecast_models", "models.parquet", FORECAST_MODELS.schema)
        window = Window.of_days(*map(date.fromisoformat, FORECAST_DAYS))
        return files.scan(window).collect().sort("day", "station_id", "parameter")

    laptop = models(pair.laptop)
    assert len(laptop) == 2 * 2 * len(STATIONS)
    assert laptop.equals(models(pair.servers))


def test_nothing_of_the_servers_work_is_on_the_local_disk(pair: Pair) -> None:
    # Dagster's file, and the locks by which this machine's processes are known.
    assert {path.name for path in pair.servers.home.iterdir()} == {"dagster", "processes"}


def test_local_days_follow_the_stations_zones(pair: Pair) -> None:
    daily = pair.laptop.table("daily_averages")
    zones = dict(daily.select("station_id", "timezone").unique().iter_rows())
    assert zones[STATIONS[1]] == "Asia/Kolkata"
    assert zones[STATIONS[2]] == "America/New_York"
