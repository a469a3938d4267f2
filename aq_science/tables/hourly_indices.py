"""The table `hourly_indices`."""

from __future__ import annotations

import polars as pl

from aq_science.indices import european, us_epa
from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import INSTANT, PARAMETER

HOURLY_INDICES = Table(
    name="hourly_indices",
    text=(
        "What the air was like by the indices of the US EPA (NowCast) and of Europe, one row a "
        "station, parameter and hour that has either. Made at night for the days that are pulled "
        "again, and by materializing its partitions for others."
    ),
    key=("network", "station_id", "parameter", "hour"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("date", pl.Date(), "UTC day of the hour"),
        Column("hour", INSTANT, "Start of the hour"),
        Column(
            "nowcast",
            pl.Float64(),
            "NowCast of PM2.5 and PM10 from the last twelve hours, not truncated",
            unit="µg/m³",
        ),
        Column("nowcast_aqi", pl.Int32(), "US EPA index of 2024 of the NowCast"),
        Column("nowcast_category", us_epa.CATEGORY, "Category of that index"),
        Column(
            "european_level",
            pl.Int8(),
            "Level of the European index of 2024 by the hour's valid value: 1 (good) to 6",
        ),
        Column("european_category", european.CATEGORY, "Name of that level"),
    ),
    rules=(
        Rule(
            "an_index_with_its_name",
            "A row has an index, and each its name.",
            (pl.col("nowcast_aqi").is_null() & pl.col("european_level").is_null())
            | (pl.col("nowcast_aqi").is_null() != pl.col("nowcast_category").is_null())
            | (pl.col("european_level").is_null() != pl.col("european_category").is_null()),
        ),
    ),
)
