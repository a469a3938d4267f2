"""Does the sensor still move: days made mostly of exact zeros."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from aq_science.quality.core import Criterion
from aq_science.tables.types import SERIES

_DAY = pl.col("hour").dt.epoch("d").cast(pl.Int64)
# Series and UTC day in one integer: grouping by it costs a third of grouping by three columns.
_SERIES_DAY = (SERIES * (1 << 24) + _DAY).alias("series_day")
_GROUP = ("station_id", "parameter", _DAY)


def flat_line_of_zeros(
    readings: pl.DataFrame, *, at_least: Mapping[str, int], share: float
) -> Criterion:
    """Fires on a zero where the sensor counts as stuck or clipped on that UTC day.

    That is where of the `n` hours of a station, parameter and UTC day that have a value, `z` are
    exactly zero and `z >= at_least[parameter]` and `z >= share * n`.

    Args:
        readings: `station_id, parameter, hour, value`; a day is judged by the rows that are here.
        at_least: Number of zeros (hours) from which a day counts, by parameter.
        share: Share of the day's hours with a value that must be zero, 0..1.

    Returns:
        The criterion for these readings; `observed` is `z`, `limit` the least `z` that fires.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> hours = pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 1, 3), "1h")
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.lit("co", PARAMETER),
    ...     hour=hours.cast(INSTANT),
    ...     value=pl.Series([0.0, 0.0, 0.0, 5.0]),
    ... )
    >>> zeros = flat_line_of_zeros(readings, at_least={"co": 1}, share=0.75)
    >>> readings.select(zeros.fires).to_series().to_list()
    [True, True, True, False]
    """
    value = pl.col("value")
    enough = pl.col("parameter").replace_strict(at_least, return_dtype=pl.UInt32)
    days = (
        readings.lazy()
        .filter(value == 0)
        .group_by(_SERIES_DAY)
        .agg(pl.col("parameter").first(), zeros=pl.len())
        .filter(pl.col("zeros") >= enough)
        .collect()
    )
    present = value.is_not_null().sum().over(_GROUP)
    observed = (value == 0).sum().over(_GROUP).cast(pl.Float64)
    limit = pl.max_horizontal(enough.cast(pl.Float64), share * present)
    if days.is_empty():
        return Criterion(pl.repeat(value=False, n=pl.len()), observed, limit)
    counted = (
        readings.lazy()
        .filter(value.is_not_null())
        .select(_SERIES_DAY)
        .filter(pl.col("series_day").is_in(days["series_day"].implode()))
        .group_by("series_day")
        .agg(present=pl.len())
        .collect()
    )
    stuck = days.join(counted, on="series_day").filter(pl.col("zeros") >= share * pl.col("present"))
    on_stuck_day = _SERIES_DAY.is_in(stuck["series_day"].implode())
    return Criterion((value == 0) & on_stuck_day, observed, limit)
