"""What is published of how recent readings are: enough for the states of stations and networks."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT

NEWEST_HOURS = Table(
    name="newest_hours",
    text=(
        "One row a station and hour of the last three days with a value, of those hours alone that "
        "say how recent its readings are: the last four, the newest, the newest valid one, and "
        "those that came later than any newer hour of the network."
    ),
    key=("network", "station_id", "hour"),
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("hour", INSTANT, "Start of the hour"),
        Column("valid", pl.Boolean(), "Whether any parameter's value is flagged `valid`"),
        Column("tests", pl.List(pl.String()), "Quality tests that fired on any of its values"),
        Column("pulled_at", INSTANT, "When the last of its values came"),
    ),
)
