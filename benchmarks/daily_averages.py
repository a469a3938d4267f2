"""Raw answers to daily averages, against bare polars and bare DuckDB doing only the group-by."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import duckdb
import polars as pl

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_sandbox.networks.airqino import generated_answer
from aq_sandbox.stations import station_ids
from aq_science.averages import daily_averages
from aq_science.readings import hourly_readings
from aq_science.versions import fold_versions
from aq_science.windows import Window
from benchmarks.common import machine

SLOWER_THAN_BARE = 3.0
FIELDS = 7
Result = TypeVar("Result")


def answers(stations: int, window: Window) -> list[RawAnswer]:
    """One answer a station over the whole window, as AirQino would send it."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        RawAnswer(
            f"/v3/getStationHourlyAvg/{station}",
            {},
            (window.start, window.end),
            now,
            200,
            generated_answer(station, window.start, window.end, 1, now).decode(),
        )
        for station in station_ids(stations)
    ]


def timed(what: str, work: Callable[[], Result], repeat: int = 1) -> tuple[float, Result]:
    """Best of `repeat`, printed."""
    best = float("inf")
    for _ in range(repeat):
        began = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - began)
    print(f"{what:42}{best:8.2f} s")
    return best, result


def bare_polars(hourly: pl.DataFrame) -> pl.DataFrame:
    """Nothing but mean, minimum, maximum and count a UTC day."""
    return (
        hourly.lazy()
        .group_by("network", "station_id", "parameter", pl.col("hour").dt.date().alias("date"))
        .agg(
            pl.col("value").mean().alias("mean"),
            pl.col("value").min().alias("minimum"),
            pl.col("value").max().alias("maximum"),
            pl.len(),
        )
        .collect()
    )


def bare_duckdb(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The same in DuckDB, on its own table."""
    return connection.sql(
        "SELECT network, station_id, parameter, hour::DATE AS date, avg(value), min(value), "
        "max(value), count(*) FROM hourly GROUP BY ALL"
    ).pl()


def main() -> None:
    """Measure, print the table and the ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--readings", type=int, default=10_000_000)
    given = options.parse_args()
    days = 3 * 365
    stations = max(1, round(given.readings / (FIELDS * 24 * days)))
    start = datetime(2023, 1, 1, tzinfo=UTC)
    window = Window(start, start + timedelta(days=days))
    raw = answers(stations, window)
    config = NetworkConfig(name="airqino", start_date=start.date(), stations=("1",))
    client = create_client(config, Settings(), lambda: start)
    _, parsed = timed("parse raw answers", lambda: client.parse(raw))
    versions = parsed.versions
    _, hourly = timed("fold, convert, flag", lambda: hourly_readings(fold_versions(versions), "x"))
    print(f"{len(hourly):,} readings of {stations} stations ({machine()})")
    last = date(2023, 1, 1) + timedelta(days=days - 1)
    ours, _ = timed(
        "daily averages, 8-hour maxima, indices",
        lambda: daily_averages(hourly, {}, (date(2023, 1, 1), last)),
        repeat=3,
    )
    polars, _ = timed("bare polars group-by", lambda: bare_polars(hourly), repeat=3)
    narrow = hourly.select("network", "station_id", "parameter", "hour", "value")
    connection = duckdb.connect()
    connection.register(
        "frame",
        narrow.cast({"parameter": pl.String, "station_id": pl.String, "network": pl.String}),
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE hourly AS SELECT * FROM frame")
    bare, _ = timed("bare DuckDB group-by", lambda: bare_duckdb(connection), repeat=3)
    for name, baseline in (("bare polars", polars), ("bare DuckDB", bare)):
        print(f"daily averages / {name:26}{ours / baseline:7.2f}   aim <= {SLOWER_THAN_BARE:.0f}")


if __name__ == "__main__":
    main()
