"""The table `gaps`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import INSTANT, PARAMETER

CAUSES = (
    "rejected",
    "coverage_too_low",
    "withdrawn",
    "not_yet_due",
    "pull_failed",
    "station_retired",
    "source_silent",
)
CAUSE = pl.Enum(CAUSES)

_FIRST, _LAST = pl.col("first_hour"), pl.col("last_hour")

GAPS = Table(
    name="gaps",
    text=(
        "One row a station, parameter and run of hours of a UTC day without a valid value, with "
        "the cause. Hours that are in no row have one."
    ),
    key=("network", "station_id", "parameter", "first_hour"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("date", pl.Date(), "UTC day"),
        Column("first_hour", INSTANT, "Start of the first hour"),
        Column("last_hour", INSTANT, "Start of the last hour"),
        Column("hours", pl.Int32(), "Number of hours", unit="h"),
        Column(
            "cause",
            CAUSE,
            (
                "`rejected` by quality tests, `coverage_too_low`, `withdrawn` by the network, "
                "`not_yet_due`, `pull_failed`, `station_retired` or `source_silent`: the network "
                "answered without a value"
            ),
        ),
        Column("tests", pl.List(pl.String()), "Of rejected hours the tests; else null"),
    ),
    rules=(
        Rule(
            "hours_add_up",
            "A row has the hours from its first to its last, within its day.",
            (pl.col("hours") != (_LAST - _FIRST).dt.total_hours() + 1)
            | (_LAST < _FIRST)
            | (_FIRST.dt.date() != pl.col("date"))
            | (_LAST.dt.date() != pl.col("date")),
        ),
    ),
)
