"""Which of several sensors of a station and parameter counts for an hour.

Instruments are replaced, and run side by side. A mean of both would be neither's reading, so one
of them is selected: one whose reading passes the quality tests before one whose reading does not,
then by a preference that is the network's. The others' versions stay in the raw pulls.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import polars as pl

from aq_science.readings import hourly_readings
from aq_science.units import to_canonical
from aq_science.versions import KEY, fold_versions

_SERIES = ("station_id", "parameter")
_SENSOR = (*_SERIES, "unit_native", "sensor_id")


class Sensor(NamedTuple):
    """A sensor of a station: what it measures, in which unit, and its id."""

    parameter: str
    unit: str | None
    sensor_id: str


# The sensor with the greatest key is preferred.
Preference = Callable[[Sensor], tuple[int | str, ...]]


def by_number(name: str) -> tuple[int, str]:
    """A key that sorts ids by their number; those that are none come first."""
    return (int(name) if name.isascii() and name.isdecimal() else -1, name)


def newest(sensor: Sensor) -> tuple[int | str, ...]:
    """Prefers the newest sensor: ids are numbers, given out one after another."""
    return by_number(sensor.sensor_id)


def canonical_unit_then_newest(sensor: Sensor) -> tuple[int | str, ...]:
    """Prefers a sensor that reports in the canonical unit, then the newest."""
    unit = sensor.unit
    canonical = unit is not None and to_canonical(sensor.parameter, unit) == (1.0, 0.0)
    return (int(canonical), *newest(sensor))


def select_sensor(
    versions: pl.DataFrame, preference: Preference, together: timedelta = timedelta(0)
) -> pl.DataFrame:
    """Select the versions of one sensor a station, parameter and hour.

    Of the sensors that have a value for the hour the preferred one counts, of those that have a
    valid one where any has. Once it is known to have one it stays selected, whatever later pulls
    leave out; until it was known the other counts, so that what was known at a time does not change
    with what came after. Only whether a reading is valid is judged by all that is known by now.

    Args:
        versions: `VERSION_SCHEMA`, each with a `sensor_id`.
        preference: Which sensor is preferred to which.
        together: Versions received within so long of each other were known together, since a pull
            may ask for the sensors one after another.

    Returns:
        The versions selected, in the order given.
    """
    sensors = versions.select(_SENSOR).unique()
    several = sensors.filter(pl.struct(_SERIES).is_duplicated())
    if several.is_empty():
        return versions
    keys = [
        preference(Sensor(parameter, unit, sensor or ""))
        for _, parameter, unit, sensor in several.iter_rows()
    ]
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    ranked = (
        versions.with_row_index("place")
        .join(
            several.with_columns(rank=pl.Series([ranks[key] for key in keys], dtype=pl.Int64)),
            on=_SENSOR,
            nulls_equal=True,
        )
        .join(_valid(versions, several), on=(*KEY, "sensor_id"), how="left", nulls_equal=True)
        .with_columns(rank=pl.col("rank") + pl.col("valid").fill_null(value=False) * len(ranks))
        .sort("pulled_at")
    )
    best = ranked.select(
        *KEY,
        (pl.col("pulled_at") - together).alias("known"),
        pl.col("rank").cum_max().over(KEY).alias("best"),
    )
    passed_over = (
        # Both are sorted by time; polars cannot see it where there is a key as well, and warns.
        ranked.join_asof(
            best, left_on="pulled_at", right_on="known", by=KEY, check_sortedness=False
        )
        .filter(pl.col("rank") < pl.col("best"))
        .get_column("place")
    )
    return versions.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(passed_over.implode()))


def _valid(versions: pl.DataFrame, several: pl.DataFrame) -> pl.DataFrame:
    """Whether each sensor's reading of an hour passes the tests: `KEY`, `sensor_id` and `valid`.

    Each sensor by itself, as if it were a station; only series with two readings of one hour.
    """
    contested = (
        versions.join(several.select(_SERIES).unique(), on=_SERIES, how="semi")
        .group_by(KEY)
        .agg(pl.col("sensor_id").n_unique())
        .filter(pl.col("sensor_id") > 1)
        .select(_SERIES)
        .unique()
    )
    alone = versions.join(contested, on=_SERIES, how="semi").with_columns(
        station_id=pl.concat_str(
            pl.col("station_id", "sensor_id").cast(pl.String), separator="\n", ignore_nulls=True
        ).cast(pl.Categorical())
    )
    flagged = hourly_readings(fold_versions(alone), "")
    return flagged.select(
        pl.col("station_id").cast(pl.String).str.split("\n").list.first().cast(pl.Categorical()),
        "parameter",
        "hour",
        "sensor_id",
        valid=pl.col("flag") == "valid",
    )
