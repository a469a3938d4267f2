"""The table `forecasts`."""

from __future__ import annotations

import polars as pl

from aq_science.indices.us_epa import CATEGORY
from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import INSTANT, PARAMETER, UNIT

_VALUE, _HORIZON = pl.col("value"), pl.col("horizon")
_ONE_ISSUE = ("station_id", "parameter", "issued_for")

FORECASTS = Table(
    name="forecasts",
    text="One row a station, parameter (PM2.5, CO), issue time and horizon.",
    key=("network", "station_id", "parameter", "issued_for", "horizon"),
    window="issued_for",
    protected="mode = 'live'",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column(
            "issued_for", INSTANT, "Issue time H: only readings whose hour ended by H were used"
        ),
        Column(
            "horizon",
            pl.Int8(),
            (
                "1 for the hour that begins at H, 2 for the one after it; of stations whose hours "
                "begin between full hours of UTC, 1 for the hour in progress at H"
            ),
            unit="h",
        ),
        Column("hour", INSTANT, "Start of the predicted hour"),
        Column("value", pl.Float64(), "Predicted mean of the hour", unit="unit"),
        Column("lower_80", pl.Float64(), "Lower end of the 80 % interval", unit="unit"),
        Column("upper_80", pl.Float64(), "Upper end of the 80 % interval", unit="unit"),
        Column("lower_95", pl.Float64(), "Lower end of the 95 % interval", unit="unit"),
        Column("upper_95", pl.Float64(), "Upper end of the 95 % interval", unit="unit"),
        Column("unit", UNIT, "Canonical unit"),
        Column("model", pl.Categorical(), "Method that was served, fallbacks included"),
        Column("model_day", pl.Date(), "Day the model was fitted for; null where none was used"),
        Column(
            "mode",
            pl.Categorical(),
            (
                "`live`: computed within the hour after H; `hindcast`: any other. A hindcast "
                "never replaces a live row"
            ),
        ),
        Column("issued_at", INSTANT, "When it was computed"),
        Column("aqi_category", CATEGORY, "US EPA category of the predicted concentration"),
        Column(
            "who_2021_probability",
            pl.Float64(),
            "Probability by the intervals that the hour is above the WHO's 24-hour guideline",
            unit="1",
        ),
    ),
    rules=(
        Rule(
            "finite",
            "Every value is finite, but where no valid reading is there to start from.",
            ~pl.coalesce(
                _VALUE.is_finite(),
                pl.col("model").cast(pl.String).is_in(["no_valid_readings", "sensor_flagged"]),
            ),
        ),
        Rule(
            "ordered_intervals",
            "lower_95 <= lower_80 <= value <= upper_80 <= upper_95.",
            (pl.col("lower_95") > pl.col("lower_80"))
            | (pl.col("lower_80") > _VALUE)
            | (pl.col("upper_80") < _VALUE)
            | (pl.col("upper_80") > pl.col("upper_95")),
        ),
        Rule(
            "both_horizons",
            "Every series has its rows for H and H+1.",
            (pl.len().over(_ONE_ISSUE) != 2)
            | (_HORIZON.min().over(_ONE_ISSUE) != 1)
            | (_HORIZON.max().over(_ONE_ISSUE) != 2),
        ),
    ),
)
