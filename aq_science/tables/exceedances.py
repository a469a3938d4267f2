"""The table `exceedances`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import PARAMETER, UNIT

STANDARDS = ("who_2021", "eu_2008", "eu_2030")
METRICS = ("daily_mean", "max_8h_mean", "annual_mean")

EXCEEDANCES = Table(
    name="exceedances",
    text=(
        "How a station's year compares with each limit of its parameters: one row a station, "
        "parameter, year and limit. A parameter without a limit has no row."
    ),
    key=("network", "station_id", "parameter", "year", "standard", "metric"),
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("year", pl.Int32(), "Year of the local dates; one in progress as far as it goes"),
        Column(
            "standard",
            pl.Enum(STANDARDS),
            (
                "`who_2021` (guidelines), `eu_2008` (Directive 2008/50/EC) or `eu_2030` "
                "(Directive (EU) 2024/2881)"
            ),
        ),
        Column(
            "metric",
            pl.Enum(METRICS),
            "What is compared: `daily_mean` and `max_8h_mean` of each day, or `annual_mean`",
        ),
        Column("level", pl.Float64(), "The level", unit="unit"),
        Column("unit", UNIT, "Canonical unit of the parameter"),
        Column("days_valid", pl.Int32(), "Valid days of the year that have the metric", unit="d"),
        Column("data_capture", pl.Float64(), "`days_valid` over the days of the year", unit="1"),
        Column("days_over", pl.Int32(), "Days above the level; null for an annual mean", unit="d"),
        Column(
            "days_allowed",
            pl.Int32(),
            "Days that may be above it; null for an annual mean",
            unit="d",
        ),
        Column("annual_mean", pl.Float64(), "Mean of the valid days; null for days", unit="unit"),
        Column(
            "exceeded",
            pl.Boolean(),
            (
                "More days than allowed, or an annual mean above the level; null where less than "
                "90 % of the year's days stand behind the mean"
            ),
        ),
    ),
    rules=(
        Rule(
            "counts_fit",
            "Days over are among the valid ones; data capture is a share.",
            (pl.col("days_over") > pl.col("days_valid")) | ~pl.col("data_capture").is_between(0, 1),
        ),
    ),
)
