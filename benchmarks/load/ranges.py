"""Ranges of one station, and the present of 10,000: how long a client waits for each.

A year of hourly readings of `--stations` stations is made and served by one worker, and asked by
one client on the same machine. Aims: a year of a station as Arrow within 50 ms, a month of it with
a p99 under 200 ms; everything newest of 10,000 stations within 50 ms. `chrt -f 10` before it gives
usable figures beside other work.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest

from aq_resources.services import Services
from aq_resources.stores.day_files import DayFiles, by_day, file_name
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.windows import DAY, HOUR, Window
from benchmarks.common import clean_environment, machine
from benchmarks.load.large import PARAMETERS, UNITS, large_home, rows_in
from benchmarks.load.servers import serving

FIRST, LAST = date(2024, 1, 1), date(2025, 1, 1)
STATION = "00007"
_RANGES = {
    "a year of a station, Arrow": ("hourly-readings.arrow", FIRST, LAST, "&parameter=pm25"),
    "the same of all its parameters": ("hourly-readings.arrow", FIRST, LAST, ""),
    "a month of it, JSON": ("hourly-readings", date(2024, 6, 1), date(2024, 7, 1), ""),
    "daily averages of a year, JSON": ("daily-averages", FIRST, LAST, ""),
    "daily averages of a month, JSON": ("daily-averages", date(2024, 6, 1), date(2024, 7, 1), ""),
}
_OF_ALL = ("/v1/latest", "/v1/overview", "/v1/networks")


def main() -> None:
    """Print a line a question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--times", type=int, default=100, help="Of each question")
    asked = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(machine())
    measure_ranges(asked.stations, asked.times)
    with large_home() as environment, serving(environment, 1) as (url, _):
        measure_everything(url)


def measure_ranges(stations: int, times: int) -> None:
    """Ranges of one of some stations that have a year of readings.

    Args:
        stations: How many there are.
        times: How often each is asked.
    """
    with year_home(stations) as environment, serving(environment, 1) as (url, _):
        print(f"\nof {stations} stations with a year of hours:")
        for name, (resource, start, end, more) in _RANGES.items():
            instants = resource.startswith("hourly")
            bounds = [f"{day}T00:00:00Z" if instants else f"{day}" for day in (start, end)]
            path = f"/v1/{resource}?station_id={STATION}&start={bounds[0]}&end={bounds[1]}"
            _ask(name, f"{url}{path}&limit=50000{more}", times)
        _ask(
            "a station that is none",
            f"{url}/v1/hourly-readings?station_id=none"
            f"&start=2024-06-01T00:00:00Z&end=2024-07-01T00:00:00Z",
            times,
            404,
        )


def measure_everything(url: str) -> None:
    """The present of 10,000 stations, made anew once and then from memory."""
    for path in _OF_ALL:
        for encoding in ("gzip", "identity"):
            _ask(f"{path}, {encoding}", f"{url}{path}", 10, encoding=encoding)


def _ask(name: str, url: str, times: int, status: int = 200, encoding: str = "identity") -> None:
    waited = []
    size = 0
    with httpx.Client(trust_env=False, timeout=600) as client:
        for _ in range(times):
            began = time.perf_counter()
            with client.stream("GET", url, headers={"Accept-Encoding": encoding}) as answer:
                size = sum(len(part) for part in answer.iter_raw())
            waited.append((time.perf_counter() - began) * 1000)
            if answer.status_code != status:
                raise SystemExit(f"{url}: {answer.status_code}")
    p50, p99 = np.percentile(waited[1:], [50, 99])
    print(
        f"  {name:36} {size:12,} bytes: first {waited[0]:6.1f} ms, p50 {p50:6.1f}, p99 {p99:6.1f}"
    )


@contextmanager
def year_home(stations: int) -> Iterator[dict[str, str]]:
    """A home of some stations with a year of hours and days; its environment."""
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name:
        folder = Path(name)
        networks = {"airqino": {"start_date": "2020-01-01", "stations": [STATION]}}
        (folder / "networks.yaml").write_text(json.dumps({"networks": networks}))
        own = {"AQ_HOME": str(folder / "home"), "AQ_NETWORKS": str(folder / "networks.yaml")}
        with pytest.MonkeyPatch.context() as patch:
            for key, value in own.items():
                patch.setenv(key, value)
            services = Services.from_environment()
        services.warehouse.prepare()
        _fill(services, stations)
        services.close()
        yield {**clean_environment(), **own}


def _fill(services: Services, stations: int) -> None:
    rng = np.random.default_rng(7)
    ids = [f"{number:05}" for number in range(stations)]
    described = pl.DataFrame({"station_id": ids}).with_columns(
        network=pl.lit("airqino"),
        parameters=pl.lit(list(PARAMETERS)),
        timezone=pl.lit("Africa/Abidjan"),
    )
    services.warehouse.replace("airqino", STATIONS, rows_in(STATIONS, described))
    series = (
        pl.DataFrame({"station_id": ids})
        .join(pl.DataFrame({"parameter": PARAMETERS}), how="cross")
        .with_columns(network=pl.lit("airqino"), unit=pl.col("parameter").replace_strict(UNITS))
    )
    files = DayFiles(
        services.object_store,
        f"airqino/{HOURLY_READINGS.name}",
        file_name(HOURLY_READINGS.name),
        HOURLY_READINGS.schema,
    )
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (FIRST, LAST))
    for window in Window(start, end).chunks(timedelta(days=31)):
        hours = pl.DataFrame({"hour": [piece.start for piece in window.chunks(HOUR)]})
        readings = series.join(hours, how="cross").sort("station_id", "parameter", "hour")
        readings = readings.with_columns(
            value=pl.Series(rng.gamma(3.0, 6.0, len(readings)).round(2)),
            flag=pl.lit("valid"),
            reasons=pl.lit([], pl.List(pl.String)),
            pulled_at=pl.col("hour") + HOUR,
            revision=pl.lit(0),
        )
        for day, rows in by_day(window, rows_in(HOURLY_READINGS, readings)):
            files.write(day, rows, {})
        days = pl.DataFrame({"date": [piece.start.date() for piece in window.chunks(DAY)]})
        averages = series.join(days, how="cross").with_columns(
            mean=pl.lit(18.0), valid=pl.lit(value=True), timezone=pl.lit("Africa/Abidjan")
        )
        bounds = (window.start.date(), window.end.date())
        services.warehouse.replace(
            "airqino", DAILY_AVERAGES, rows_in(DAILY_AVERAGES, averages), bounds
        )
    services.warehouse.publish_files("airqino", HOURLY_READINGS, files.pattern)


if __name__ == "__main__":
    main()
