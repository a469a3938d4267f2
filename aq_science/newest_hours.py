"""The few hours from which follows how recent readings are, now and as long as none are newer."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from aq_science.current_air import NEWEST_BEGAN_WITHIN
from aq_science.tables.newest_hours import NEWEST_HOURS

_STATION = ["network", "station_id"]


def newest_hours(readings: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The hours that `station_overview` and `network_health` go by.

    Args:
        readings: `HOURLY_READINGS` of the last days, with text for categories.
        now: UTC. The same rows serve any later time, as long as nothing newer comes.

    Returns:
        `NEWEST_HOURS` with text for its categories, by its key.
    """
    hour, pulled_at = pl.col("hour"), pl.col("pulled_at")
    hours = (
        readings.filter(pl.col("value").is_not_null())
        .group_by(*_STATION, "hour")
        .agg(
            valid=(pl.col("flag") == "valid").any(),
            tests=pl.col("reasons").explode().drop_nulls().unique().sort(),
            pulled_at=pulled_at.max(),
        )
        .sort("network", "hour", "pulled_at", "station_id", descending=[False, True, True, False])
    )
    newest_valid = hour.filter(pl.col("valid")).max().over(_STATION)
    # Once newer hours are too old to count, the network's newest pull is that of such a one.
    later = pulled_at > pulled_at.cum_max().shift().over("network")
    kept = hours.filter(
        (hour >= now - NEWEST_BEGAN_WITHIN)
        | (hour == hour.max().over(_STATION))
        | (hour == newest_valid).fill_null(value=False)
        | later.fill_null(value=False)
    )
    return kept.select(NEWEST_HOURS.schema.names()).sort(NEWEST_HOURS.key)
