"""What the API gives as a station's US EPA category, now and for the next two hours."""

from __future__ import annotations

import polars as pl

from aq_science.indices.us_epa import CATEGORY
from aq_science.tables.core import Column, Table
from aq_science.tables.types import INSTANT, PARAMETER, UNIT

BASES = ("nowcast", "forecast")

CURRENT_CATEGORIES = Table(
    name="category",
    text=(
        "US EPA category of a station, a row a parameter and hour: now by the NowCast of PM2.5 and "
        "PM10, the next hours by the forecasts."
    ),
    key=("network", "station_id", "parameter", "horizon"),
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column(
            "horizon", pl.Int8(), "0 for the newest hour measured, 1 and 2 as in `forecasts`", "h"
        ),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("hour", INSTANT, "Start of the hour"),
        Column("value", pl.Float64(), "NowCast, or predicted mean of the hour", unit="unit"),
        Column("unit", UNIT, "Canonical unit of the parameter"),
        Column("aqi", pl.Int32(), "US EPA index of 2024 of a NowCast; null for a forecast"),
        Column("category", CATEGORY, "Category of that index, or of the predicted mean"),
        Column("rank", pl.Int32(), "1 for the best category, 6 for the worst"),
        Column("colour", pl.String(), "Official colour of the category, `#RRGGBB`"),
        Column("advice", pl.String(), "The EPA's cautionary statement (`None`: it gives none)"),
        Column("basis", pl.Enum(BASES), "`nowcast` or `forecast`"),
    ),
)
