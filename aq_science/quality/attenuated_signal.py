"""Does a day's series move as air does."""

from __future__ import annotations

import numpy as np
import polars as pl

from aq_science.quality.core import Criterion, found_at, nowhere
from aq_science.tables.types import SERIES_DAY


def attenuated_signal(
    readings: pl.DataFrame, *, share: float, hours: int, distinct: int, pollutants: list[str]
) -> Criterion:
    """Fires on a series-day that hardly moves, though its values are not all the same.

    That is where of a station, parameter and UTC day with at least `hours` values above zero, and
    no other, at least `distinct` are different and `maximum - minimum <= share * maximum`. Fewer
    different values are for the flat line, which knows the resolution.

    Args:
        readings: `station_id, parameter, hour, value`; a day is judged by the rows that are here.
        share: Of the day's maximum, 0..1.
        hours: Values from which on a day is judged.
        distinct: Different values that show that resolution is not why they are alike.
        pollutants: Parameters that are judged.

    Returns:
        The criterion for these readings; `observed` is `maximum - minimum`.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.lit("pm25", PARAMETER),
    ...     hour=pl.datetime(2024, 3, 1).cast(INSTANT),
    ...     value=pl.Series([37.0, 37.02, 37.01, 36.98]),
    ... )
    >>> still = attenuated_signal(readings, share=0.03, hours=4, distinct=4, pollutants=["pm25"])
    >>> readings.select(still.fires).to_series().to_list()
    [True, True, True, True]
    """
    if readings.is_empty():
        return nowhere()
    keys = readings.select(SERIES_DAY)["series_day"].to_numpy()
    values = readings["value"].to_numpy()
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    # A null is NaN here, which the extremes below leave out.
    lowest, highest = (extreme.reduceat(values, starts) for extreme in (np.fmin, np.fmax))
    still = (lowest > 0) & (lowest < highest) & (highest - lowest <= share * highest)
    if not still.any():
        return nowhere()
    # Of a day whose rows lie apart each part hardly moves; and then the whole is to be looked at.
    value = pl.col("value")
    days = (
        readings.lazy()
        .with_columns(SERIES_DAY)
        .filter(
            pl.col("series_day").is_in(np.unique(keys[starts[still]])),
            pl.col("parameter").is_in(pollutants),
            value.is_not_null(),
        )
        .group_by("series_day")
        .agg(
            count=pl.len(),
            different=value.n_unique(),
            observed=value.max() - value.min(),
            limit=share * value.max(),
            lowest=value.min(),
        )
        .filter(
            pl.col("count") >= hours,
            pl.col("different") >= distinct,
            pl.col("lowest") > 0,
            pl.col("observed") <= pl.col("limit"),
        )
        .sort("series_day")
        .collect()
    )
    if days.is_empty():
        return nowhere()
    attenuated = days["series_day"].to_numpy()
    rows = np.flatnonzero(np.isin(keys, attenuated) & ~np.isnan(values))
    at = np.searchsorted(attenuated, keys[rows])
    observed, limit = (days[name].to_numpy()[at] for name in ("observed", "limit"))
    return found_at(len(readings), rows, observed, limit)
