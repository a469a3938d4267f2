"""The view `index_categories`, whose rows are part of the program."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import PARAMETER

INDEX_NAMES = ("us_epa", "european")

_LOWER, _UPPER = pl.col("lower"), pl.col("upper")

INDEX_CATEGORIES = Table(
    name="index_categories",
    text=(
        "The categories of the air-quality indices, for all networks: one row an index, version "
        "of its breakpoints, parameter and category."
    ),
    key=("index_name", "table_name", "parameter", "category"),
    columns=(
        Column("index_name", pl.Enum(INDEX_NAMES), "`us_epa` or `european`"),
        Column(
            "table_name",
            pl.String(),
            (
                "Version of the breakpoints: `2024` of both indices; of `us_epa` also `1999`, "
                "`2008`, `2010-04`, `2010-08`, `2013` and `2015`, each with every parameter"
            ),
        ),
        Column(
            "in_force_from",
            pl.Date(),
            "First day of the version; null for the European index, which no law puts in force",
        ),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("category", pl.String(), "Name, as in `daily_averages.aqi_category`"),
        Column("rank", pl.Int32(), "1 for the best category, 6 for the worst"),
        Column(
            "lower",
            pl.Float64(),
            (
                "Lowest concentration of it, truncated as the law has it (`us_epa`); the "
                "concentration that has to be exceeded (`european`)"
            ),
            unit="unit",
        ),
        Column(
            "upper",
            pl.Float64(),
            "Highest concentration of it; null for the worst category",
            unit="unit",
        ),
        Column("unit", pl.String(), "Unit of the breakpoints, which for gases is not canonical"),
        Column(
            "averaging",
            pl.String(),
            "What is compared: `24-hour mean`, `highest 8-hour mean`, `highest hour` or `hour`",
        ),
        Column("index_low", pl.Int32(), "Lowest index; of the European index the rank"),
        Column("index_high", pl.Int32(), "Highest index; null where it is open-ended"),
        Column("colour", pl.String(), "Official colour, `#RRGGBB`"),
        Column(
            "advice",
            pl.String(),
            (
                "What to do: the EPA's cautionary statement (`None` where it gives none), or in "
                "our own words the EEA's health messages for everyone and for sensitive people"
            ),
        ),
        Column("source", pl.String(), "Where breakpoints and advice are from"),
    ),
    rules=(
        Rule(
            "bands_are_bands",
            "Ranks are 1 to 6, and no band ends below its start.",
            ~pl.col("rank").is_between(1, 6)
            | (_UPPER <= _LOWER)
            | (pl.col("index_high") < pl.col("index_low")),
        ),
    ),
)
