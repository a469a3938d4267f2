"""Hours of devices, as versions that the usual fold takes."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_science.device_kinds import OF_THE_AIR, SENSORS
from aq_science.devices.readings import intervals, one_of_each
from aq_science.versions import VERSION_SCHEMA

HOUR_SECONDS = 3600
# What comes later after an hour's end than this makes another version of the hour.
_ON_TIME_MINUTES = 5
_SERIES = ("fleet", "device_id", "sensor")
_UNITS = {name: SENSORS[name].unit for name in OF_THE_AIR}


def hour_versions(readings: pl.DataFrame, known_until: datetime, interval: float) -> pl.DataFrame:
    """Means of the hours, with the share of the readings that their interval lets expect.

    Args:
        readings: `READING_SCHEMA`, in any order, repetitions included.
        known_until: Time of the newest word of the spool: an hour that had ended by then is
            complete as far as it goes.
        interval: Seconds from one reading of a device to its next; 0: as its readings show.

    Returns:
        `VERSION_SCHEMA`: one version of each hour by what came until shortly after its end, and
        another one where more came later.
    """
    of_air = readings.filter(pl.col("sensor").cast(pl.String).is_in(OF_THE_AIR)).with_columns(
        hour=pl.col("time").dt.truncate("1h")
    )
    deadline = pl.col("hour") + pl.duration(minutes=60 + _ON_TIME_MINUTES)
    in_time = pl.col("received") <= deadline
    first = _means(of_air.filter(in_time), known_until, interval)
    # Whole series, whose interval shows in all of their readings.
    behind = of_air.filter(~in_time).select(_SERIES).unique()
    everything = _means(of_air.join(behind, on=_SERIES, how="semi"), known_until, interval)
    late = pl.col("pulled_at") > deadline
    return pl.concat([first, everything.filter(late)])


def _means(readings: pl.DataFrame, known_until: datetime, interval: float) -> pl.DataFrame:
    known = one_of_each(readings)
    ended = pl.col("hour") + pl.duration(hours=1)
    return (
        known.with_columns(
            seconds=intervals(known, _SERIES, interval),
            second=pl.col("time").dt.epoch("us") / 1_000_000,
        )
        .with_columns(slot=(pl.col("second") / pl.col("seconds")).floor())
        .group_by(*_SERIES, "hour", maintain_order=True)
        .agg(
            pl.col("value").mean().alias("value_native"),
            (pl.col("slot").n_unique() * pl.col("seconds").first() / HOUR_SECONDS)
            .clip(upper_bound=1)
            .alias("coverage"),
            pl.col("received").max().alias("pulled_at"),
        )
        .with_columns(
            pl.concat_str(pl.col("fleet", "device_id").cast(pl.String), separator=".").alias(
                "station_id"
            ),
            pl.col("sensor").cast(pl.String).alias("parameter"),
            pl.col("sensor").cast(pl.String).replace_strict(_UNITS).alias("unit_native"),
            # An hour's end makes it a reading, and not that something of it came afterwards.
            pulled_at=pl.when(ended <= known_until)
            .then(pl.max_horizontal("pulled_at", ended))
            .otherwise("pulled_at"),
            sensor_id=pl.lit(None),
            duplicate=pl.lit(value=False),
            provider_flag=pl.lit(value=False),
            channels_apart=pl.lit(None),
            status=pl.lit(None),
        )
        .filter(ended <= pl.col("pulled_at"))
        .select(pl.col(name).cast(kind) for name, kind in VERSION_SCHEMA.items())
    )
