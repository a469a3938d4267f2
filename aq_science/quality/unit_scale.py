"""Is a day's series of the size that its unit claims."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from aq_science.quality.core import Criterion, nowhere
from aq_science.tables.types import SERIES_DAY


def implausibly_small(
    readings: pl.DataFrame, *, least: Mapping[str, float], hours: int
) -> Criterion:
    """Fires on a series-day that is far too small for its unit, as of mg/m³ written as µg/m³.

    That is where of a station, parameter and UTC day with at least `hours` values the largest
    is above 0 and below `least[parameter]`. All of a day's values at once, since one alone may be
    small; zeros are another test's.

    Args:
        readings: `station_id, parameter, hour, value`; a day is judged by the rows that are here.
        least: What the highest hour of a day exceeds everywhere, by parameter, in canonical units.
        hours: Values from which on a day shows its size.

    Returns:
        The criterion for these readings; `observed` is the day's largest value.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> readings = pl.select(
    ...     station_id=pl.lit("s", pl.Categorical),
    ...     parameter=pl.lit("co", PARAMETER),
    ...     hour=pl.datetime(2024, 3, 1).cast(INSTANT),
    ...     value=pl.Series([0.0004, 0.0006]),
    ... )
    >>> small = implausibly_small(readings, least={"co": 0.01}, hours=2)
    >>> readings.select(small.fires).to_series().to_list()
    [True, True]
    """
    value = pl.col("value")
    limit = pl.col("parameter").replace_strict(least, default=None, return_dtype=pl.Float64)
    # Nearly every reading is none of those, and only their days need a look.
    candidates = (
        readings.lazy().filter(value > 0, value < max(least.values())).filter(value < limit)
    )
    days = candidates.select(SERIES_DAY).unique().collect()["series_day"]
    if days.is_empty():
        return nowhere()
    small = (
        readings.lazy()
        .filter(SERIES_DAY.is_in(days.implode()), value.is_not_null())
        .group_by(SERIES_DAY)
        .agg(value.max(), limit=limit.first(), count=pl.len())
        .filter(value > 0, value < pl.col("limit"), pl.col("count") >= hours)
        .collect()
    )
    highest = SERIES_DAY.replace_strict(
        small["series_day"], small["value"], default=None, return_dtype=pl.Float64
    )
    return Criterion(SERIES_DAY.is_in(small["series_day"].implode()), highest, limit)
