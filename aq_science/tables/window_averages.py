"""The table `window_averages`."""

from __future__ import annotations

import polars as pl

from aq_science.device_kinds import SENSORS
from aq_science.tables.core import Column, Rule, Table
from aq_science.tables.types import INSTANT

SENSOR = pl.Enum(list(SENSORS))

WINDOW_AVERAGES = Table(
    name="window_averages",
    text=(
        "What devices pushed, over windows that follow each other (10 s unless a setting says "
        "otherwise), one row a device, sensor and window with a reading. A late reading changes "
        "its window."
    ),
    key=("network", "fleet", "device_id", "sensor", "window_start"),
    window="window_start",
    of_days=True,
    columns=(
        Column("network", pl.Categorical(), "Network"),
        Column("fleet", pl.Categorical(), "Fleet that the device belongs to"),
        Column("device_id", pl.Categorical(), "Device within the fleet"),
        Column("sensor", SENSOR, "What was measured"),
        Column("window_start", INSTANT, "Start of the window"),
        Column("seconds", pl.Int32(), "Its length", unit="s"),
        Column("count", pl.Int64(), "Readings within it; one that came twice counts once"),
        Column("mean", pl.Float64(), "Their mean", unit="unit"),
        Column("minimum", pl.Float64(), "The least of them", unit="unit"),
        Column("maximum", pl.Float64(), "The greatest of them", unit="unit"),
        Column(
            "expected",
            pl.Int32(),
            "Readings that the device's interval lets expect; null while that is not known",
        ),
        Column(
            "partial",
            pl.Boolean(),
            "Whether less than 75 % of these came, or the window was not over when the hour's "
            "newest reading came",
        ),
        Column("late", pl.Int64(), "Readings that came late"),
        Column("unit", pl.Categorical(), "Unit of the values"),
        Column("received_at", INSTANT, "When the newest of its readings came"),
    ),
    rules=(
        Rule("a_reading_at_least", "A window has a reading.", pl.col("count") < 1),
        Rule(
            "mean_within_its_extremes",
            "The mean lies between the least and the greatest value.",
            # The mean of equal values may differ from them in the last digit.
            (pl.col("mean") < pl.col("minimum") - 1e-9 * pl.col("minimum").abs())
            | (pl.col("mean") > pl.col("maximum") + 1e-9 * pl.col("maximum").abs()),
        ),
    ),
)
