"""What the API gives of every station at once: its category of three hours, or why it has none."""

from __future__ import annotations

import polars as pl

from aq_science.indices.us_epa import CATEGORY
from aq_science.tables.core import Column, Table
from aq_science.tables.stations import STATIONS
from aq_science.tables.types import INSTANT, PARAMETER

OVERVIEW_HORIZONS = (0, 1, 2)
CURRENT, FLAGGED, SILENT = STATES = ("current", "flagged", "silent")
# Why no forecast is there: the model's own reason, or none was made for an hour that has not ended.
NO_FORECAST_REASONS = ("no_valid_readings", "sensor_flagged", "not_issued")
_SHOWN = ("name", "latitude", "longitude", "country", "city", "timezone")
_WHEN = ("now", "in one hour", "in two hours")

OVERVIEW = Table(
    name="overview",
    text=(
        "One row a station: its worst US EPA category now and in the two hours forecast, and in "
        "words what is missing."
    ),
    key=("network", "station_id"),
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        *(column for column in STATIONS.columns if column.name in _SHOWN),
        Column(
            "state",
            pl.Enum(STATES),
            (
                "`current`: a valid hour began within the last four; `flagged`: hours came, and "
                "the quality tests rejected all; `silent`: no hour came"
            ),
        ),
        Column("newest_hour", INSTANT, "Newest hour with a value; null without one for a day"),
        Column("newest_valid_hour", INSTANT, "Newest hour flagged `valid`; null as above"),
        Column("tests", pl.List(pl.String()), "Of a flagged station the quality tests that fired"),
        *(
            Column(f"{name}_{horizon}", dtype, f"{text}, {_WHEN[horizon]}")
            for horizon in OVERVIEW_HORIZONS
            for name, dtype, text in (
                ("hour", INSTANT, "Start of the hour"),
                ("rank", pl.Int32(), "Rank of the category, 1 for the best, 6 for the worst"),
                ("category", CATEGORY, "US EPA category"),
                ("parameter", PARAMETER, "Parameter that it follows from"),
            )
        ),
        Column(
            "no_forecast",
            pl.Enum(NO_FORECAST_REASONS),
            (
                "Why there is no forecast: `no_valid_readings` or `sensor_flagged` as its model "
                "says, `not_issued` where none was made for an hour that has not ended"
            ),
        ),
    ),
)
