"""The table `station_history`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import INSTANT

_FROM, _TO = pl.col("valid_from"), pl.col("valid_to")

STATION_HISTORY = Table(
    name="station_history",
    text=(
        "How a network described its stations in the course of time, a row a station and "
        "description; `stations` has the newest. Brought up to date each night."
    ),
    key=("network", "station_id", "valid_from"),
    columns=(
        Column("network", pl.String(), "Network"),
        Column("station_id", pl.String(), "Station within the network"),
        Column("valid_from", INSTANT, "When the network was first seen to say so"),
        Column("valid_to", INSTANT, "When it was first seen to say something else; null if never"),
        Column("name", pl.String(), "Name for people"),
        Column("latitude", pl.Float64(), "Degrees north, WGS 84; null where unknown", unit="°"),
        Column("longitude", pl.Float64(), "Degrees east, WGS 84; null where unknown", unit="°"),
        Column("country", pl.String(), "ISO 3166-1 alpha-2 code"),
        Column("city", pl.String(), "City"),
        Column("timezone", pl.String(), "IANA time zone"),
        Column(
            "coordinates_source",
            pl.String(),
            "`upstream`, or `override` from networks.yaml; null without a position",
        ),
        Column(
            "moved_km",
            pl.Float64(),
            (
                "Distance from the network's position before; null where either is unknown or an "
                "override, and at first"
            ),
            unit="km",
        ),
    ),
    rules=(Rule("valid_period", "A description ends after it begins.", _TO <= _FROM),),
)
