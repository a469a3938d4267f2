"""Readings as devices pushed them, and which of those that came twice counts."""

from __future__ import annotations

import polars as pl

from aq_science.tables.types import INSTANT

KEY = ("fleet", "device_id", "sensor", "time")

READING_SCHEMA = pl.Schema(
    {
        "fleet": pl.Categorical(),
        "device_id": pl.Categorical(),
        "sensor": pl.Categorical(),
        "time": INSTANT,
        "value": pl.Float64(),
        "late": pl.Boolean(),
        "received": INSTANT,
    }
)


def one_of_each(readings: pl.DataFrame) -> pl.DataFrame:
    """One reading a device, sensor and time: the one received last.

    Args:
        readings: `READING_SCHEMA`, in any order.

    Returns:
        The same columns, sorted by device, sensor and time. Of readings received at once the
        greatest value counts, so that the order of the rows decides nothing.
    """
    ordered = readings.sort(*KEY, "received", "value")
    last = pl.any_horizontal(pl.col(name) != pl.col(name).shift(-1) for name in KEY)
    return ordered.filter(last.fill_null(value=True))


def intervals(readings: pl.DataFrame, series: tuple[str, ...], fixed: float) -> pl.Expr:
    """Seconds from a reading to the next of its series, for sorted readings.

    Args:
        readings: As `one_of_each` gives them; asked for their order alone.
        series: Columns that name a series.
        fixed: The interval where it is known; 0: the median of the gaps.

    Returns:
        An expression over `readings`; null for a series of one reading.
    """
    if fixed:
        return pl.lit(fixed)
    gap = pl.col("time").diff().dt.total_microseconds() / 1_000_000
    return gap.median().over(*(name for name in series if name in readings.columns))
