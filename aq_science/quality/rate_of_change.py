"""Does a quantity change faster than nature does."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from aq_science.quality.core import Criterion, found_at, nowhere
from aq_science.tables.types import SERIES

_HOUR_US = 3_600_000_000


def rate_of_change(readings: pl.DataFrame, *, most: Mapping[str, float]) -> Criterion:
    """Fires where `|value - former| > most[parameter]`, `former` being the value an hour before.

    Not on an hour that is back, within `most`, at the value of two hours before: the hour between
    was the odd one. Where the hour before is absent nothing is judged.

    Args:
        readings: `station_id, parameter, hour, value`, in any order.
        most: Greatest change from an hour to the next, in canonical units; other parameters are
            not judged.

    Returns:
        The criterion for these readings; `observed` is the change's size.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> hours = pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 1, 4), "1h")
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.lit("temperature", PARAMETER),
    ...     hour=hours.cast(INSTANT),
    ...     value=pl.Series([12.0, 48.0, 13.0, 14.0, 40.0]),
    ... )
    >>> jumps = rate_of_change(readings, most={"temperature": 20.0})
    >>> readings.select(jumps.fires).to_series().to_list()
    [False, True, False, False, True]
    """
    judged = readings.select(parameter="parameter", row=pl.int_range(pl.len())).filter(
        pl.col("parameter").is_in(list(most))
    )
    if judged.is_empty():
        return nowhere()
    value = pl.col("value")
    found = (
        readings[judged["row"]]
        .select(SERIES, "parameter", hour=pl.col("hour").to_physical(), value="value")
        .hstack(judged.select("row"))
        .filter(value.is_not_null())
        .sort("series", "hour")
        .with_columns(
            limit=pl.col("parameter").replace_strict(most, return_dtype=pl.Float64),
            change=(value - _before(1)).abs(),
            back=(value - _before(2)).abs(),
        )
        .filter(
            pl.col("change") > pl.col("limit"),
            (pl.col("back") > pl.col("limit")).fill_null(value=True),
        )
    )
    if found.is_empty():
        return nowhere()
    places, change, limit = (found[name].to_numpy() for name in ("row", "change", "limit"))
    return found_at(len(readings), places, change, limit)


def _before(hours: int) -> pl.Expr:
    """The value so many hours before, null where that hour is absent; sorted by series and hour."""
    series, hour = pl.col("series"), pl.col("hour")
    same = (series == series.shift(hours)) & (hour - hour.shift(hours) == hours * _HOUR_US)
    return pl.when(same).then(pl.col("value").shift(hours))
