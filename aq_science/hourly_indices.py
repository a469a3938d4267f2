"""Indices of the hours: NowCast of the US EPA, and the European index."""

from __future__ import annotations

import polars as pl

from aq_science.indices.by_parameter import by_parameter
from aq_science.indices.european import UPPER_BOUNDS, european_category, european_level
from aq_science.indices.nowcast import HOURS, NOWCAST_PARAMETERS, nowcast
from aq_science.indices.us_epa import aqi, aqi_category
from aq_science.tables.hourly_indices import HOURLY_INDICES
from aq_science.windows import HOUR, Window

# As many hours before a window have a say in its first NowCast.
REACH = (HOURS - 1) * HOUR

_KEY = ("station_id", "parameter", "hour")


def hourly_indices(readings: pl.DataFrame, window: Window, network: str) -> pl.DataFrame:
    """The indices of every hour of a window that has one.

    Args:
        readings: `HOURLY_READINGS` (station_id, parameter, hour, value, flag) from `REACH` ahead of
            the window to its end.
        window: `[start, end)`, UTC.
        network: Name of the network.

    Returns:
        `HOURLY_INDICES` rows, sorted by their key.
    """
    parameter = pl.col("parameter")
    valid = readings.filter(
        pl.col("flag") == "valid", parameter.is_in([*NOWCAST_PARAMETERS, *UPPER_BOUNDS])
    )
    hours = valid.select(*_KEY, european="value").join(
        nowcast(readings).rename({"value": "nowcast"}), on=_KEY, how="full", coalesce=True
    )
    index = {name: aqi(name, pl.col("nowcast")) for name in NOWCAST_PARAMETERS}
    level = {name: european_level(name, pl.col("european")) for name in UPPER_BOUNDS}
    return (
        hours.filter(pl.col("hour").is_between(window.start, window.end, closed="left"))
        .with_columns(
            network=pl.lit(network, pl.Categorical()),
            date=pl.col("hour").dt.date(),
            nowcast_aqi=by_parameter(parameter, index, pl.lit(None, pl.Int32)),
            european_level=by_parameter(parameter, level, pl.lit(None, pl.Int8)),
        )
        .filter(pl.any_horizontal(pl.col("nowcast_aqi", "european_level").is_not_null()))
        .with_columns(
            nowcast_category=aqi_category(pl.col("nowcast_aqi")),
            european_category=european_category(pl.col("european_level")),
        )
        .select(pl.col(name).cast(kind) for name, kind in HOURLY_INDICES.schema.items())
        .sort(HOURLY_INDICES.key)
    )
