"""What the API gives as the latest: newest valid reading and newest forecast of each series."""

from __future__ import annotations

import polars as pl

from aq_science.indices.us_epa import CATEGORY
from aq_science.tables.core import Column, Table
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.stations import STATIONS
from aq_science.tables.types import INSTANT, PARAMETER, UNIT

HORIZONS = (1, 2)
_FORECAST = {column.name: column for column in FORECASTS.columns}
_STATION = {column.name: column for column in STATIONS.columns}

LATEST = Table(
    name="latest",
    text=(
        "One row a station and parameter: its newest valid reading of the last three days, and its "
        "newest forecast of the last day."
    ),
    key=("network", "station_id", "parameter"),
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        *(_STATION[name] for name in ("name", "latitude", "longitude", "country")),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("unit", UNIT, "Canonical unit of the parameter"),
        Column("hour", INSTANT, "Start of the newest hour flagged `valid`; null without one"),
        Column("value", pl.Float64(), "Mean of that hour", unit="unit"),
        Column("pulled_at", INSTANT, "When that value was first received"),
        *(_FORECAST[name] for name in ("issued_for", "model", "mode")),
        *(
            Column(f"forecast_{horizon}_{name}", dtype, text, unit=unit)
            for horizon in HORIZONS
            for name, dtype, text, unit in (
                ("hour", INSTANT, f"Start of the hour predicted at horizon {horizon}", None),
                ("value", pl.Float64(), "Predicted mean of that hour", "unit"),
                ("lower_80", pl.Float64(), "Lower end of its 80 % interval", "unit"),
                ("upper_80", pl.Float64(), "Upper end of its 80 % interval", "unit"),
                ("aqi_category", CATEGORY, "US EPA category of the predicted mean", None),
            )
        ),
    ),
)
