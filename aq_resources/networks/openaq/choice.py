"""Of several sensors of a station and parameter, the one that speaks for each hour."""

from __future__ import annotations

import polars as pl

from aq_science.readings import KEY
from aq_science.units import to_canonical
from aq_science.windows import HOUR

# Sensors of a station are asked one after another: what came within so long came together.
TOGETHER = HOUR
_SERIES = ("station_id", "parameter")
# Above every sensor's number.
_CANONICAL = 1 << 52


def one_sensor_an_hour(versions: pl.DataFrame) -> pl.DataFrame:
    """Versions (`VERSION_SCHEMA`) of one sensor an hour, in the order given.

    One that reports in the canonical unit goes before others, then the newest, by its number. Once
    known to have a value for an hour it stays chosen, whatever later pulls leave out; until it was
    known the other speaks, so that what was known at a time does not change with what came after.
    """
    sensors = versions.select(*_SERIES, "unit_native", "sensor_id").unique()
    several = sensors.filter(pl.struct(_SERIES).is_duplicated())
    if several.is_empty():
        return versions
    ranks = several.with_columns(
        rank=pl.Series(
            [
                int(sensor) + _CANONICAL * (to_canonical(parameter, unit) == (1.0, 0.0))
                for _, parameter, unit, sensor in several.iter_rows()
            ],
            dtype=pl.Int64,
        )
    )
    ranked = (
        versions.with_row_index("place")
        .join(ranks, on=ranks.columns[:-1], how="left", maintain_order="left")
        .sort("pulled_at")
    )
    best = ranked.select(
        *KEY,
        (pl.col("pulled_at") - TOGETHER).alias("known"),
        pl.col("rank").cum_max().over(KEY).alias("best"),
    )
    return (
        ranked.join_asof(best, left_on="pulled_at", right_on="known", by=KEY)
        .filter(pl.col("rank").is_null() | (pl.col("rank") == pl.col("best")))
        .sort("place")
        .select(versions.columns)
    )
