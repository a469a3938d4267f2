"""The table `stations`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT

STATIONS = Table(
    name="stations",
    text=(
        "One row a station. A station that its network no longer lists or describes keeps its row"
        " and its `last_seen`."
    ),
    key=("network", "station_id"),
    columns=(
        Column("network", pl.String(), "Network the station belongs to"),
        Column("station_id", pl.String(), "Identifier within the network"),
        Column("name", pl.String(), "Name for people"),
        Column(
            "latitude", pl.Float64(), "Degrees north, WGS 84; null where unknown or wrong", unit="°"
        ),
        Column(
            "longitude",
            pl.Float64(),
            "Degrees east, WGS 84; null together with `latitude`",
            unit="°",
        ),
        Column("country", pl.String(), "ISO 3166-1 alpha-2 code"),
        Column("city", pl.String(), "City"),
        Column(
            "timezone",
            pl.String(),
            (
                "IANA time zone whose days the daily averages follow: from the override, the "
                "network, the position, or the country where it has one zone alone, in this "
                "order; `UTC` where none of them tells"
            ),
        ),
        Column("parameters", pl.List(pl.String()), "Parameters the station reports"),
        Column(
            "first_seen", INSTANT, "When the network first described the station to this platform"
        ),
        Column("last_seen", INSTANT, "When the network last described it"),
        Column("attribution", pl.String(), "Whom to credit in any publication"),
        Column(
            "coordinates_source",
            pl.String(),
            "`upstream`, or `override` from networks.yaml; null without a position",
        ),
    ),
)
