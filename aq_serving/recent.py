"""Readings and forecasts of the last hours, for what is said of now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import polars as pl

from aq_resources.documents.columns import plain_schema
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.windows import Window
from aq_serving.reader import Reader

_SERIES = "network, station_id, parameter"


def recent_hours(
    reader: Reader, networks: Sequence[str], window: Window, stations: Collection[str] = ()
) -> pl.DataFrame:
    """Hourly readings of a few days.

    Args:
        reader: Reads.
        networks: Their networks.
        window: The days that it touches are read.
        stations: Ids; all without.

    Returns:
        `HOURLY_READINGS` that begin in the window, in any order.

    Raises:
        ProblemError: They cannot be read now.
    """
    wanted = (pl.col("hour") >= window.start) & (pl.col("hour") < window.end)
    if stations:
        wanted &= pl.col("station_id").is_in(list(stations))
    schema = plain_schema(HOURLY_READINGS)
    with reader.turn():
        parts = [
            reader.day_files(network).scan(window).filter(wanted).collect().cast(schema)
            for network in networks
        ]
    return pl.concat([schema.to_frame(), *parts])


def recent_forecasts(
    reader: Reader, networks: Sequence[str], since: datetime, stations: Collection[str] = ()
) -> pl.DataFrame:
    """The newest forecasts of each series, as far as they were issued from a time on.

    Args:
        reader: Reads.
        networks: Their networks.
        since: Earliest issue time.
        stations: Ids; all without.

    Returns:
        `FORECASTS`: the horizons of one issue time a series.

    Raises:
        ProblemError: They cannot be read now.
    """
    chosen, values = "", [list(networks), since]
    if stations:
        chosen = " AND station_id = ANY(?::VARCHAR[])"
        values.append(list(stations))
    rows = reader.query(
        f"SELECT {', '.join(FORECASTS.schema)} FROM {UNION_SCHEMA}.{FORECASTS.name} "
        f"WHERE network = ANY(?::VARCHAR[]) AND issued_for >= ?::TIMESTAMPTZ{chosen} "
        f"QUALIFY issued_for = max(issued_for) OVER (PARTITION BY {_SERIES})",
        values,
    )
    return rows.cast(plain_schema(FORECASTS))
