"""Averages over windows that follow each other, by device and sensor."""

from __future__ import annotations

import polars as pl

from aq_science.device_kinds import SENSORS
from aq_science.devices.readings import intervals, one_of_each
from aq_science.tables.daily_averages import COMPLETENESS
from aq_science.tables.window_averages import SENSOR, WINDOW_AVERAGES

_SERIES = ("fleet", "device_id", "sensor")
_UNITS = {name: sensor.unit for name, sensor in SENSORS.items()}


def window_averages(
    readings: pl.DataFrame, seconds: int, interval: float, network: str
) -> pl.DataFrame:
    """Count, mean and extremes of every window with a reading.

    Args:
        readings: `READING_SCHEMA`: all that is known of whole hours, in any order, repetitions
            included. A device's interval shows in an hour's readings, so that hours are
            independent of each other.
        seconds: Length of the windows, which divides the hour.
        interval: Seconds from one reading of a device to its next; 0: as its readings show.
        network: Goes into every row.

    Returns:
        Rows of `window_averages`, sorted by key.
    """
    known = one_of_each(readings).with_columns(hour=pl.col("time").dt.truncate("1h"))
    over = pl.col("window_start") + pl.duration(seconds=seconds)
    enough = COMPLETENESS * pl.col("expected")
    return (
        known.with_columns(
            interval=intervals(known, (*_SERIES, "hour"), interval),
            newest=pl.col("received").max().over("hour"),
            window_start=pl.col("time").dt.truncate(f"{seconds}s"),
        )
        .group_by(*_SERIES, "window_start", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("value").mean().alias("mean"),
            pl.col("value").min().alias("minimum"),
            pl.col("value").max().alias("maximum"),
            (seconds / pl.col("interval").first())
            .floor()
            .clip(lower_bound=1)
            .cast(pl.Int32)
            .alias("expected"),
            pl.col("late").sum().cast(pl.Int64).alias("late"),
            pl.col("received").max().alias("received_at"),
            pl.col("newest").first(),
        )
        .with_columns(
            pl.lit(network, pl.Categorical()).alias("network"),
            pl.lit(seconds, pl.Int32()).alias("seconds"),
            ((pl.col("count") < enough) | (over > pl.col("newest"))).alias("partial"),
            pl.col("sensor").cast(pl.String).replace_strict(_UNITS).alias("unit"),
            pl.col("sensor").cast(SENSOR),
        )
        .select(pl.col(name).cast(kind) for name, kind in WINDOW_AVERAGES.schema.items())
        .sort(*WINDOW_AVERAGES.key)
    )
