"""A published home of 10,000 stations with the readings of a day and a forecast."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from aq_assets.publication import publish_network, publish_union
from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles, by_day, file_name
from aq_science.tables.core import Table
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.windows import DAY, HOUR, Window
from benchmarks.common import clean_environment

STATIONS_OF_IT = 10_000
PARAMETERS = ("pm25", "co")
UNITS = {"pm25": "µg/m³", "co": "mg/m³"}


@contextmanager
def large_home() -> Iterator[dict[str, str]]:
    """Its environment."""
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name:
        folder = Path(name)
        networks = {"airqino": {"start_date": "2020-01-01", "stations": ["1"]}}
        (folder / "networks.yaml").write_text(json.dumps({"networks": networks}))
        own = {"AQ_HOME": str(folder / "home"), "AQ_NETWORKS": str(folder / "networks.yaml")}
        with pytest.MonkeyPatch.context() as patch:
            for key, value in own.items():
                patch.setenv(key, value)
            services = Services.from_environment()
        services.warehouse.prepare()
        _fill(services)
        began = time.process_time()
        publish_network(services, "airqino")
        publish_union(services, ["airqino"], print)
        print(f"\n10,000 stations published with {time.process_time() - began:.1f} s of CPU")
        services.close()
        yield {**clean_environment(), **own}


def _fill(services: Services) -> None:
    rng = np.random.default_rng(7)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    ids = [f"{number:05}" for number in range(STATIONS_OF_IT)]
    stations = pl.DataFrame(
        {
            "network": "airqino",
            "station_id": ids,
            "name": [f"Station {one}" for one in ids],
            "latitude": rng.uniform(-60, 60, len(ids)),
            "longitude": rng.uniform(-180, 180, len(ids)),
            "country": "CI",
            "timezone": "Africa/Abidjan",
            "parameters": [list(PARAMETERS)] * len(ids),
        }
    )
    services.warehouse.replace("airqino", STATIONS, rows_in(STATIONS, stations))
    series = pl.DataFrame({"station_id": ids}).join(
        pl.DataFrame({"parameter": PARAMETERS}), how="cross"
    )
    series = series.with_columns(
        network=pl.lit("airqino"), unit=pl.col("parameter").replace_strict(UNITS)
    )
    window = Window(hour - DAY, hour)
    hours = pl.DataFrame({"hour": [piece.start for piece in window.chunks(HOUR)]})
    readings = series.join(hours, how="cross").with_columns(
        value=pl.Series(rng.gamma(3.0, 6.0, len(series) * len(hours))),
        flag=pl.lit("valid"),
        pulled_at=pl.lit(hour),
        revision=pl.lit(0),
    )
    files = DayFiles(
        services.object_store,
        f"airqino/{HOURLY_READINGS.name}",
        file_name(HOURLY_READINGS.name),
        HOURLY_READINGS.schema,
    )
    for day, rows in by_day(window, rows_in(HOURLY_READINGS, readings)):
        files.write(day, rows, {})
    forecasts = series.join(pl.DataFrame({"horizon": [1, 2]}), how="cross").with_columns(
        issued_for=pl.lit(hour),
        hour=pl.lit(hour) + pl.duration(hours=pl.col("horizon") - 1),
        value=pl.lit(20.0),
        lower_80=pl.lit(10.0),
        upper_80=pl.lit(30.0),
        model=pl.lit("persistence"),
        mode=pl.lit("live"),
        model_day=pl.lit(date(2026, 1, 1)),
        issued_at=pl.lit(hour),
        aqi_category=pl.lit("Moderate"),
    )
    rows = rows_in(FORECASTS, forecasts)
    services.warehouse.replace("airqino", FORECASTS, rows, (hour, hour + HOUR))


def rows_in(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in the table's columns, null where nothing is said."""
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in table.schema.items()
    )
