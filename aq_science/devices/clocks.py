"""Clocks of devices that are wrong, as opposed to readings that come late.

Readings that wait somewhere come in a burst: how late they are falls from one to the next, and
those measured since come at once. A wrong clock makes every reading late by the same.
"""

from __future__ import annotations

import polars as pl

# So much must be seen of a device before its clock is judged.
_LEAST_READINGS, _LEAST_MINUTES = 10, 5
# As far apart a network alone may bring them.
_TOLERANCE_SECONDS = 60
_SERIES = ("fleet", "device_id")


def clock_verdicts(readings: pl.DataFrame) -> pl.DataFrame:
    """What the lags between measuring and receiving say of each device.

    Args:
        readings: `READING_SCHEMA`.

    Returns:
        `fleet`, `device_id`, `readings`, `lag_seconds` (the least), `spread_seconds` (how far the
        middle four fifths of the lags lie apart) and `verdict`: `right`, `behind` (every reading
        is late by about the same, minute after minute), `late` (some wait somewhere) or null
        where too little came.
    """
    lag = (pl.col("received") - pl.col("time")).dt.total_microseconds() / 1_000_000
    minutes = pl.col("received").dt.truncate("1m").n_unique()
    enough = (pl.col("readings") >= _LEAST_READINGS) & (pl.col("minutes") >= _LEAST_MINUTES)
    steady = pl.col("spread_seconds") <= _TOLERANCE_SECONDS
    return (
        readings.group_by(pl.col(_SERIES).cast(pl.String))
        .agg(
            pl.len().alias("readings"),
            minutes.alias("minutes"),
            lag.min().alias("lag_seconds"),
            (lag.quantile(0.9) - lag.quantile(0.1)).alias("spread_seconds"),
            (lag > _TOLERANCE_SECONDS).any().alias("any_late"),
        )
        .with_columns(
            verdict=pl.when(~enough)
            .then(None)
            .when(~pl.col("any_late"))
            .then(pl.lit("right"))
            .when((pl.col("lag_seconds") > _TOLERANCE_SECONDS) & steady)
            .then(pl.lit("behind"))
            .otherwise(pl.lit("late"))
        )
        .drop("minutes", "any_late")
        .sort(_SERIES)
    )
