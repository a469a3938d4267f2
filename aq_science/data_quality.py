"""How complete and how good each station's hours of a UTC day are."""

from __future__ import annotations

import polars as pl

from aq_science.silent_days import due_days
from aq_science.tables.data_quality import DATA_QUALITY, HOURS_OF_A_DAY
from aq_science.windows import Window

_KEY = ("station_id", "parameter", "date")
_PRESENT = ("valid", "suspect", "invalid")


def data_quality(
    readings: pl.DataFrame, stations: pl.DataFrame, window: Window, network: str
) -> pl.DataFrame:
    """Hours by flag and by quality test.

    Args:
        readings: `HOURLY_READINGS` of the window.
        stations: `STATIONS`: what an active one lists is expected on every day.
        window: Whole UTC days.
        network: Name of the network.

    Returns:
        `DATA_QUALITY` rows, sorted by their key.
    """
    hours = readings.with_columns(date=pl.col("hour").dt.date())
    counted = hours.group_by(_KEY).agg(
        *((pl.col("flag") == flag).sum().alias(f"hours_{flag}") for flag in _PRESENT),
        hours_revised=(pl.col("revision") > 0).sum(),
        mean_coverage=pl.col("coverage").mean(),
    )
    due = due_days(stations, (window.dates[0], window.dates[-1]))
    days = pl.concat([counted.select(_KEY), due.select(_KEY)]).unique()
    numbers = pl.col("^hours_.*$")
    present = pl.sum_horizontal(f"hours_{flag}" for flag in _PRESENT)
    return (
        days.join(counted, on=_KEY, how="left")
        .with_columns(numbers.fill_null(0).cast(pl.Int32))
        .join(_tests(hours), on=_KEY, how="left")
        .with_columns(
            pl.col("tests").fill_null([]),
            network=pl.lit(network),
            hours_present=present,
            # More where a station's hours began to begin at another minute on that day.
            hours_expected=pl.max_horizontal(present, pl.lit(HOURS_OF_A_DAY)),
        )
        .with_columns(hours_missing=pl.col("hours_expected") - pl.col("hours_present"))
        .select(pl.col(name).cast(kind) for name, kind in DATA_QUALITY.schema.items())
        .sort(DATA_QUALITY.key)
    )


def _tests(hours: pl.DataFrame) -> pl.DataFrame:
    """What fired on each day, the most frequent first."""
    fired = hours.select(*_KEY, test="reasons").explode("test").drop_nulls("test")
    return (
        fired.group_by(*_KEY, "test")
        .agg(hours=pl.len().cast(pl.Int32))
        .sort(["hours", "test"], descending=[True, False])
        .group_by(_KEY, maintain_order=True)
        .agg(tests=pl.struct("test", "hours"))
    )


def hours_by_test(quality: pl.DataFrame) -> pl.DataFrame:
    """On how many hours of each day each test fired, over all stations and parameters.

    Args:
        quality: `DATA_QUALITY` rows with at least `date` and `tests`.

    Returns:
        `date, test, hours`, in the order of the days.
    """
    return (
        quality.select("date", "tests")
        .explode("tests")
        .drop_nulls()
        .unnest("tests")
        .group_by("date", "test")
        .agg(pl.col("hours").sum())
        .sort("date", "test")
    )
