"""The table `daily_averages_by_rule`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import PARAMETER, UNIT

RULES = ("eu_civil_day", "eu_standard_day", "us_epa", "who_2021")

_VALID, _EXPECTED = pl.col("hours_valid"), pl.col("hours_expected")

DAILY_AVERAGES_BY_RULE = Table(
    name="daily_averages_by_rule",
    text=(
        "The same days by the rules of several regulators, one row a station, parameter, local day "
        "and rule; `daily_averages` follows one of them. Made at night for the days that are "
        "pulled again, and by materializing its partitions for others."
    ),
    key=("network", "station_id", "parameter", "date", "rule"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("date", pl.Date(), "Local date of the station, by the rule's day"),
        Column(
            "rule",
            pl.Enum(RULES),
            (
                "`eu_civil_day`, `eu_standard_day` (2008/50/EC), `us_epa` (40 CFR 50, Appendix N: "
                "day of standard time, truncated) or `who_2021`"
            ),
        ),
        Column(
            "mean",
            pl.Float64(),
            "Mean of the hours flagged valid, as the rule rounds it",
            unit="unit",
        ),
        Column("hours_valid", pl.Int32(), "Hours flagged valid", unit="h"),
        Column("hours_expected", pl.Int32(), "Hours of the rule's day: 23, 24 or 25", unit="h"),
        Column("completeness", pl.Float64(), "`hours_valid / hours_expected`", unit="1"),
        Column("valid", pl.Boolean(), "Whether the day counts by the rule"),
        Column("unit", UNIT, "Canonical unit"),
    ),
    rules=(
        Rule(
            "consistent_completeness",
            "0 <= valid <= expected hours, and 24 where the day is one of standard time.",
            (_VALID < 0)
            | (_VALID > _EXPECTED)
            | ~_EXPECTED.is_in([23, 24, 25])
            | (pl.col("rule").is_in(["eu_standard_day", "us_epa"]) & (_EXPECTED != 24)),
        ),
    ),
)
