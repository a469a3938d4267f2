"""The US EPA air-quality index of a concentration and of a day, and its categories.

40 CFR 58, Appendix G and EPA-454/B-24-002: a concentration is truncated, the index rounds half up,
and the last band is open-ended with its own slope. Breakpoints are in `us_epa_tables`, by default
those in force since 6 May 2024: PM2.5 and PM10 from the 24-hour mean in µg/m³, CO and O3 from the
8-hour mean in ppm, NO2 and SO2 from the highest hour in ppb (SO2 from 305 ppb on from the 24-hour
mean).
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from aq_science.indices.by_parameter import by_parameter
from aq_science.indices.us_epa_tables import (
    INDEX_UNITS,
    MAX_1H,
    MAX_8H,
    MEAN_24H,
    US_EPA_2024,
    UsEpaTable,
)
from aq_science.units import EU_REFERENCE_C, to_canonical

CATEGORIES = [
    "Good",
    "Moderate",
    "Unhealthy for Sensitive Groups",
    "Unhealthy",
    "Very Unhealthy",
    "Hazardous",
]
CATEGORY = pl.Enum(CATEGORIES)
# Every table has had the categories begin at the same indices.
LOWEST_INDICES = (0, 51, 101, 151, 201, 301)

# From so many ppb of SO2 on the 24-hour mean counts; the hour says no more than the band before.
SO2_BY_MEAN = 305.0


def aqi_concentration(
    parameter: str, value: pl.Expr, reference_c: float = EU_REFERENCE_C
) -> pl.Expr:
    """A concentration in the unit of the index table.

    Args:
        parameter: its canonical name.
        value: in the parameter's canonical unit.
        reference_c: temperature (°C) at which gases are converted.

    Returns:
        In the unit of `INDEX_UNITS`.
    """
    scale, _ = to_canonical(parameter, INDEX_UNITS[parameter][0], reference_c) or (1.0, 0.0)
    return value if scale == 1.0 else value / scale


def daily_aqi(
    parameter: str,
    mean: pl.Expr,
    maximum: pl.Expr,
    max_8h_mean: pl.Expr,
    reference_c: float = EU_REFERENCE_C,
    table: UsEpaTable = US_EPA_2024,
) -> pl.Expr:
    """Index of a day.

    Args:
        parameter: its canonical name, one of the table's.
        mean: of the day's hours, like the others in the parameter's canonical unit.
        maximum: highest hour.
        max_8h_mean: highest running 8-hour mean.
        reference_c: temperature (°C) at which gases are converted.
        table: the breakpoints.

    Returns:
        The index (Int32); null where what it is made from is, or is below the first band.
    """
    averaging = table.averaging[parameter]
    basis = {MEAN_24H: mean, MAX_8H: max_8h_mean, MAX_1H: maximum}
    value = aqi_concentration(parameter, basis[averaging], reference_c)
    if parameter == "so2" and averaging == MAX_1H:
        whole_day = aqi_concentration(parameter, mean, reference_c)
        value = (
            pl.when(whole_day >= SO2_BY_MEAN)
            .then(whole_day)
            .otherwise(value.clip(upper_bound=SO2_BY_MEAN - 1))
        )
    return aqi(parameter, value, table)


def daily_aqi_of_any(
    mean: pl.Expr,
    maximum: pl.Expr,
    max_8h_mean: pl.Expr,
    reference_c: float = EU_REFERENCE_C,
    tables: Sequence[UsEpaTable] = (US_EPA_2024,),
) -> pl.Expr:
    """As `daily_aqi`, for rows of any `parameter`, each by the table in force on its `date`.

    Args:
        mean: of the day's hours, like the others in the parameter's canonical unit.
        maximum: highest hour.
        max_8h_mean: highest running 8-hour mean.
        reference_c: temperature (°C) at which gases are converted.
        tables: from the oldest to the newest; the first is used for earlier dates as well.

    Returns:
        The index (Int32); null for parameters that have none.
    """
    index: pl.Expr | None = None
    for table in tables:
        by_this = by_parameter(
            pl.col("parameter"),
            {
                name: daily_aqi(name, mean, maximum, max_8h_mean, reference_c, table)
                for name in table.bands
            },
            pl.lit(None, pl.Int32),
        )
        if index is None:
            index = by_this
        else:
            index = pl.when(pl.col("date") >= table.in_force_from).then(by_this).otherwise(index)
    return pl.lit(None, pl.Int32) if index is None else index


def aqi(parameter: str, concentration: pl.Expr, table: UsEpaTable = US_EPA_2024) -> pl.Expr:
    """Index of a concentration.

    Args:
        parameter: its canonical name, one of the table's.
        concentration: in the table's own unit (`INDEX_UNITS`); negative noise counts as 0.
        table: the breakpoints.

    Returns:
        The index (Int32); null below the first band.
    """
    # The small addend undoes binary representation (9.1 is stored just below 9.1).
    steps = 10 ** INDEX_UNITS[parameter][1]
    truncated = ((concentration.clip(lower_bound=0.0) + 1e-9) * steps).floor() / steps
    index: pl.Expr = pl.lit(None, pl.Float64)
    for low, high, index_low, index_high in table.bands[parameter]:
        slope = (index_high - index_low) / (high - low)
        index = (
            pl.when(truncated >= low - 1e-9)
            .then(index_low + slope * (truncated - low))
            .otherwise(index)
        )
    return (index + 0.5 + 1e-9).floor().cast(pl.Int32)


def aqi_category(index: pl.Expr) -> pl.Expr:
    """Name of the category an index falls in."""
    name: pl.Expr = pl.lit(None, CATEGORY)
    for lowest, category in zip(LOWEST_INDICES, CATEGORIES, strict=True):
        name = pl.when(index >= lowest).then(pl.lit(category, CATEGORY)).otherwise(name)
    return name
