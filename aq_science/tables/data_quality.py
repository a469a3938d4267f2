"""The table `data_quality`."""

from __future__ import annotations

import polars as pl

from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import PARAMETER

# Of a UTC day.
HOURS_OF_A_DAY = 24

_EXPECTED, _PRESENT, _MISSING = (
    pl.col(f"hours_{name}") for name in ("expected", "present", "missing")
)
_FLAGGED = pl.sum_horizontal(f"hours_{flag}" for flag in ("valid", "suspect", "invalid"))

DATA_QUALITY = Table(
    name="data_quality",
    text=(
        "One row a station, parameter and UTC day: how many hours came, how the quality tests "
        "judged them, and how many were changed later. A day on which an active station sent "
        "nothing has a row too; the day in progress counts as a whole one."
    ),
    key=("network", "station_id", "parameter", "date"),
    window="date",
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("station_id", pl.Categorical(), "Station within the network"),
        Column("parameter", PARAMETER, "Canonical parameter"),
        Column("date", pl.Date(), "UTC day"),
        Column("hours_expected", pl.Int32(), "Hours of the day", unit="h"),
        Column(
            "hours_present", pl.Int32(), "Hours flagged `valid`, `suspect` or `invalid`", unit="h"
        ),
        Column("hours_valid", pl.Int32(), "Hours flagged `valid`", unit="h"),
        Column("hours_suspect", pl.Int32(), "Hours flagged `suspect`", unit="h"),
        Column("hours_invalid", pl.Int32(), "Hours flagged `invalid`", unit="h"),
        Column(
            "hours_missing",
            pl.Int32(),
            "Hours that never came, came without a value or were taken back",
            unit="h",
        ),
        Column(
            "hours_revised",
            pl.Int32(),
            "Hours that the network changed after they were first received",
            unit="h",
        ),
        Column(
            "mean_coverage",
            pl.Float64(),
            "Mean share of the hours that was measured, 0..1; null if unknown",
            unit="1",
        ),
        Column(
            "tests",
            pl.List(pl.Struct({"test": pl.String(), "hours": pl.Int32()})),
            (
                "The quality tests that fired, each with its number of hours, most hours first; "
                "an hour counts with every test that fired on it"
            ),
        ),
    ),
    rules=(
        Rule(
            "hours_add_up",
            "Valid, suspect and invalid hours are those present; with the missing, all expected.",
            (_FLAGGED != _PRESENT)
            | (_PRESENT + _MISSING != _EXPECTED)
            | (_EXPECTED < HOURS_OF_A_DAY)
            | (_MISSING < 0),
        ),
    ),
)
