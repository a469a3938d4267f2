"""The table `daily_averages`."""

from __future__ import annotations

import polars as pl

from aq_science.indices.us_epa import CATEGORY
from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import PARAMETER, UNIT

COMPLETENESS = 0.75
"""Share of a day's hours that have to be valid (2008/50/EC, Annex XI; 40 CFR 50, Appendix N)."""

# Why a day has no mean: none of its hours is there, none has a value, or no value is valid.
REASON = pl.Enum(["no_reading", "no_value", "none_valid"])

_VALID, _PRESENT, _EXPECTED = (pl.col(f"hours_{name}") for name in ("valid", "present", "expected"))

DAILY_AVERAGES = Table(
    name="daily_averages",
    text=(
        "One row a station, parameter and local day of which any hour is there; and of stations "
        "that are still described, one for every day and parameter that they list. The day in "
        "progress has a row too; it counts against the hours of the whole day."
    ),
    key=("network", "station_id", "parameter", "date"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("date", pl.Date(), "Local date of the station"),
        Column("timezone", pl.Categorical(), "IANA time zone of that date"),
        Column("mean", pl.Float64(), "Mean of the hours flagged valid", unit="unit"),
        Column("minimum", pl.Float64(), "Lowest hour flagged valid", unit="unit"),
        Column("maximum", pl.Float64(), "Highest hour flagged valid", unit="unit"),
        Column("hours_valid", pl.Int32(), "Hours flagged valid", unit="h"),
        Column("hours_present", pl.Int32(), "Hours with a value, whatever its flag", unit="h"),
        Column("hours_expected", pl.Int32(), "Hours of the local day: 23, 24 or 25", unit="h"),
        Column("completeness", pl.Float64(), "`hours_valid / hours_expected`", unit="1"),
        Column("valid", pl.Boolean(), "Whether the day meets `rule`"),
        Column(
            "rule",
            pl.Categorical(),
            (
                "Named rule behind `valid` and the day: `75_percent_of_hours_civil_day` or "
                "`75_percent_of_hours_standard_day`"
            ),
        ),
        Column(
            "mean_all_hours",
            pl.Float64(),
            "Mean of every present hour, whatever its flag",
            unit="unit",
        ),
        Column(
            "max_8h_mean",
            pl.Float64(),
            (
                "Highest running 8-hour mean ending on the day (CO, O3); 2008/50/EC: 6 of 8 "
                "hours, 18 means"
            ),
            unit="unit",
        ),
        Column(
            "aqi",
            pl.Int32(),
            (
                "US EPA index from the mean (PM2.5, PM10), `max_8h_mean` (CO, O3) or the maximum "
                "(NO2, SO2), by the table of 2024 or that of `AQ_AQI_TABLE`; valid days only"
            ),
        ),
        Column("aqi_category", CATEGORY, "Category of the index (`index_categories`)"),
        Column(
            "who_2021_exceeded",
            pl.Boolean(),
            (
                "Whether the WHO 2021 24-hour guideline level is exceeded (O3: by `max_8h_mean`);"
                " valid days only"
            ),
        ),
        Column("unit", UNIT, "Canonical unit"),
        Column(
            "reason",
            REASON,
            (
                "Why there is no mean: `no_reading` (no hour came), `no_value` (all came without "
                "one, or were taken back), `none_valid` (quality tests rejected all); null where "
                "there is one. `gaps` and `aq why` say more"
            ),
        ),
    ),
    rules=(
        Rule(
            "consistent_completeness",
            "0 <= valid <= present <= expected hours; `valid` follows the rule.",
            (_VALID < 0)
            | (_VALID > _PRESENT)
            | (_PRESENT > _EXPECTED)
            | ~_EXPECTED.is_in([23, 24, 25])
            | pl.col("valid").ne_missing(_VALID >= COMPLETENESS * _EXPECTED),
        ),
        Rule(
            "mean_or_reason",
            "A day has a mean, or a reason why not.",
            pl.col("mean").is_null() == pl.col("reason").is_null(),
        ),
    ),
)
