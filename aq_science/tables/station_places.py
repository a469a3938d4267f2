"""The table `station_places`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table

STATION_PLACES = Table(
    name="station_places",
    text=(
        "Where a station was on a UTC day, of networks whose records say so: devices move. "
        "`stations` has the place of today."
    ),
    key=("network", "station_id", "date"),
    window="date",
    columns=(
        Column("network", pl.String(), "Network"),
        Column("station_id", pl.String(), "Station within the network"),
        Column("date", pl.Date(), "UTC day"),
        Column("name", pl.String(), "Name of the place"),
        Column("latitude", pl.Float64(), "Degrees north; null where not said", unit="°"),
        Column("longitude", pl.Float64(), "Degrees east; null where not said", unit="°"),
        Column("country", pl.String(), "ISO 3166-1 alpha-2 code"),
        Column("city", pl.String(), "City"),
        Column("timezone", pl.String(), "IANA zone of the position; null without one"),
    ),
)
