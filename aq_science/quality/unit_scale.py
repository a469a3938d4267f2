"""Is a day's series of the size that its unit claims."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from aq_science.quality.core import Criterion

_VALUE = pl.col("value")
_DAY = ("station_id", "parameter", pl.col("hour").dt.date())


def implausibly_small(least: Mapping[str, float], hours: int) -> Criterion:
    """Fires on a series-day that is far too small for its unit, as of mg/m³ written as µg/m³.

    That is where of a station, parameter and UTC day with at least `hours` values the largest
    is above 0 and below `least[parameter]`. All of a day's values at once, since one alone may be
    small; zeros are another test's.

    >>> from aq_science.tables.types import INSTANT
    >>> readings = pl.DataFrame(
    ...     {"station_id": "s", "parameter": "co", "value": [0.0004, 0.0006]}
    ... ).with_columns(hour=pl.lit("2024-03-01").str.to_datetime().cast(INSTANT))
    >>> readings.select(implausibly_small({"co": 0.01}, 2).fires).to_series().to_list()
    [True, True]
    """
    highest = _VALUE.max().over(_DAY)
    limit = pl.col("parameter").replace_strict(least, default=None, return_dtype=pl.Float64)
    enough = _VALUE.count().over(_DAY) >= hours
    return Criterion((highest > 0) & (highest < limit) & enough, highest, limit)
