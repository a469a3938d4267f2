"""A night and an hour of forecasting for a large network, against stock Prophet in a loop.

Made-up stations that follow the weather they share, each with noise of its own, PM2.5 and CO with
a twentieth missing. What is timed: the week's fit of the network, the night's competition, one
hour's forecasts, and hindcasts of many hours in one run. The baseline is what the night would take
with Prophet alone, from its time for one series.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

import numpy as np
import polars as pl

from aq_science.forecasting.known import known_readings, seen_before
from aq_science.forecasting.network_models import SCORED_DAYS, NetworkModels, fit_network_models
from aq_science.forecasting.predict import forecast_many
from aq_science.forecasting.schema import TRAINING_DAYS
from aq_science.forecasting.select import fit_models
from aq_science.forecasting.table import FORECAST_PARAMETERS, forecast_series
from aq_science.units import EU_REFERENCE_C
from aq_science.versions import VERSION_SCHEMA
from aq_science.windows import Window
from benchmarks.common import machine
from benchmarks.fits import made_up, stock_loop

DAY = date(2026, 1, 5)
PROPHET_SERIES = 6
AS_KNOWN_HOURS = 48

T = TypeVar("T")


def readings_of(stations: int, days: int, seed: int = 3) -> pl.DataFrame:
    """Hourly readings of a network up to a day after `DAY`."""
    random = np.random.default_rng(seed)
    hours = (days + 1) * 24
    first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) - timedelta(days=days)
    stamps = pl.datetime_range(
        first, first + timedelta(hours=hours - 1), "1h", time_unit="us", eager=True
    )
    weather = np.cumsum(random.normal(scale=2, size=(hours, 1)), axis=0)
    weather += 15 * np.sin(2 * np.pi * np.arange(hours) / 24)[:, None]
    parts = []
    for parameter, scale in zip(FORECAST_PARAMETERS, (1.0, 0.02), strict=True):
        own = np.cumsum(random.normal(size=(hours, stations)), axis=0)
        values = scale * np.abs(60 + weather + 0.5 * own)
        values[random.random(values.shape) < 0.05] = np.nan
        parts.append(
            pl.DataFrame(
                {
                    "station_id": np.repeat([f"s{n:05d}" for n in range(stations)], hours),
                    "hour": np.tile(stamps.to_numpy(), stations),
                    "value": values.T.ravel(),
                }
            ).with_columns(parameter=pl.lit(parameter), flag=pl.lit("valid"))
        )
    return (
        pl.concat(parts)
        .select(
            "station_id",
            "parameter",
            pl.col("hour").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            pl.col("value").fill_nan(None),
            "flag",
        )
        .drop_nulls("value")
    )


def timed(what: str, work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of some work, printed, and its result."""
    start = time.perf_counter()
    made = work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {what:58s} {seconds:8.1f} s   peak {peak:6.0f} MiB", flush=True)
    return seconds, made


def hindcasts_as_known(
    models: pl.DataFrame,
    readings: pl.DataFrame,
    until: datetime,
    series: pl.DataFrame,
    network: pl.DataFrame,
) -> pl.DataFrame:
    """Forecasts of the hours before `until`, each of what had come in by then.

    Every reading came ten minutes after its hour, and a fiftieth changed a day later.

    Args:
        models: `FORECAST_MODELS`.
        readings: Those of today.
        until: Aware, on the hour.
        series: The pairs of station and parameter that are forecast.
        network: `NETWORK_MODELS`.

    Returns:
        `FORECAST_SCHEMA`.
    """
    times = [until - timedelta(hours=n) for n in range(AS_KNOWN_HOURS, 0, -1)]
    hours = Window(seen_before(times[0]).start, until)
    inside = pl.col("hour").is_between(hours.start, hours.end, closed="left")
    own = readings.join(series, on=["station_id", "parameter"]).filter(inside)
    first = own.with_columns(
        value_native="value",
        unit_native=pl.when(pl.col("parameter") == "co")
        .then(pl.lit("mg/m³"))
        .otherwise(pl.lit("µg/m³")),
        duplicate=pl.lit(value=False),
        provider_flag=pl.lit(value=False),
        pulled_at=pl.col("hour") + pl.duration(minutes=70),
    )
    changed = first.gather_every(50).with_columns(
        value_native=pl.col("value_native") * 1.1,
        pulled_at=pl.col("pulled_at") + pl.duration(days=1),
    )
    versions = pl.concat(
        [VERSION_SCHEMA.to_frame(), pl.concat([first, changed])], how="diagonal_relaxed"
    )
    versions = versions.select(VERSION_SCHEMA.names()).cast(VERSION_SCHEMA)
    fitted = NetworkModels(network)
    served = models.with_columns(day=pl.lit(DAY - timedelta(days=30)))
    later = until + timedelta(days=300)
    return pl.concat(
        forecast_many(served, known, these, series, fitted)
        for these, known in known_readings("x", own, versions, times, later, EU_REFERENCE_C)
    )


def main() -> None:
    """Print the times, the peak memory, and the ratio to Prophet's loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=168, help="issue times of the hindcasts")
    options = parser.parse_args()
    print(machine())
    cores = os.cpu_count() or 1
    readings = readings_of(options.stations, TRAINING_DAYS)
    series = forecast_series(readings)
    print(f"{options.stations} stations, {len(series)} series, {len(readings):,} readings")

    early = DAY - timedelta(days=SCORED_DAYS)
    _, older = timed(
        "fit of the network to a week before",
        lambda: fit_network_models(readings, early, early, workers=cores),
    )
    fit, newest = timed(
        "fit of the network, once a week",
        lambda: fit_network_models(readings, DAY, DAY, workers=cores),
    )
    network = pl.concat([older, newest])
    compete, models = timed(
        "competition of the methods, once a night",
        lambda: fit_models(readings, DAY, series, network),
    )
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    week = readings.filter(pl.col("hour") >= midnight - timedelta(days=7))
    hour, rows = timed(
        "forecasts of one hour",
        lambda: forecast_many(models, week, [midnight + timedelta(hours=8)], series, network),
    )
    print("  served:", dict(rows.group_by("model").len().sort("len").iter_rows()))
    few = series.filter(pl.col("station_id").is_in([f"s{n:05d}" for n in range(100)]))
    times = [midnight - timedelta(hours=n) for n in range(options.hours)]
    many, _ = timed(
        f"hindcasts of 100 stations over {options.hours} hours",
        lambda: forecast_many(
            models.with_columns(day=pl.lit(DAY - timedelta(days=30))),
            readings,
            times,
            few,
            network,
        ),
    )
    as_known, _ = timed(
        f"the same over {AS_KNOWN_HOURS} hours, as known at each",
        lambda: hindcasts_as_known(models, readings, midnight, few, network),
    )
    loop, _ = timed(
        f"stock Prophet, {PROPHET_SERIES} series", lambda: stock_loop(made_up(PROPHET_SERIES))
    )
    prophet = loop / PROPHET_SERIES * len(series)
    print(
        f"the night in all {fit + compete:.0f} s; Prophet alone in one loop {prophet:.0f} s: "
        f"{prophet / (fit + compete):.1f} times\n"
        f"10,000 series in an hour: {hour / len(series) * 10_000:.1f} s; "
        f"a year of hindcasts of 100 stations: {many / options.hours * 8760:.0f} s, "
        f"as known at each hour {as_known / AS_KNOWN_HOURS * 8760:.0f} s"
    )


if __name__ == "__main__":
    main()
