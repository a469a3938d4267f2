"""How the networks are now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from aq_science.current_air import LATEST_READINGS_WITHIN
from aq_science.freshness import is_recent
from aq_science.tables.network_health import CURRENT, EMPTY, NETWORKS, SILENT
from aq_science.windows import DAY, HOUR


def network_health(
    hours: pl.DataFrame,
    stations: pl.DataFrame,
    allowed: Mapping[str, timedelta],
    now: datetime,
) -> pl.DataFrame:
    """Freshness of each network.

    Args:
        hours: `NEWEST_HOURS` of any time before, with text for categories.
        stations: `STATIONS`.
        allowed: By network, how long it may be silent; these are the networks.
        now: UTC.

    Returns:
        `NETWORKS` with text for its categories, by its key.
    """
    present = hours.filter(pl.col("hour") >= now - LATEST_READINGS_WITHIN)
    recent, valid = pl.col("hour") >= now - DAY, pl.col("valid")
    station = pl.col("station_id")
    seen = present.group_by("network").agg(
        newest_hour=pl.col("hour").max(),
        newest_pulled_at=pl.col("pulled_at").max(),
        stations_reporting=station.filter(recent).n_unique(),
        stations_valid=station.filter(recent & valid).n_unique(),
    )
    networks = pl.DataFrame(
        {
            "network": list(allowed),
            "silent_after_hours": [wait // HOUR for wait in allowed.values()],
        },
        {"network": pl.String(), "silent_after_hours": pl.Int32()},
    )
    counts = ("stations", "stations_reporting", "stations_valid")
    rows = (
        networks.join(stations.group_by("network").agg(stations=pl.len()), on="network", how="left")
        .join(seen, on="network", how="left")
        .with_columns(pl.col(counts).fill_null(0))
    )
    states = [
        EMPTY if newest is None else CURRENT if is_recent(newest, now, allowed[name]) else SILENT
        for name, newest in rows.select("network", "newest_hour").iter_rows()
    ]
    found = rows.with_columns(state=pl.Series(states, dtype=pl.String()))
    return found.select(NETWORKS.schema.names()).sort("network")
