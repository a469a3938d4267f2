"""Does a quantity change faster than nature does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from aq_science.quality.core import Criterion, found_at, nowhere
from aq_science.tables.types import MINUTE_ROOM, SERIES


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
    value = pl.col("value")
    judged = (
        readings.lazy()
        .with_row_index("row")
        .filter(pl.col("parameter").is_in(list(most)), value.is_not_null())
        .select(
            SERIES * MINUTE_ROOM + pl.col("hour").dt.epoch("s") // 60,
            pl.col("parameter").replace_strict(most, return_dtype=pl.Float64),
            "value",
            "row",
        )
        .collect()
    )
    places, limits, values, rows = (column.to_numpy() for column in judged)
    if not (places[1:] > places[:-1]).all():
        order = np.argsort(places, kind="stable")
        places, limits, values, rows = (x[order] for x in (places, limits, values, rows))
    change, former = (_changes(places, values, hours) for hours in (1, 2))
    # Compared with nothing, a change is NaN, and exceeds no limit.
    found = np.flatnonzero((change > limits) & ~(former <= limits))
    if not found.size:
        return nowhere()
    return found_at(len(readings), rows[found], change[found], limits[found])


def _changes(places: np.ndarray, values: np.ndarray, hours: int) -> np.ndarray:
    """By how much each value differs from that of so many hours before; NaN where that is absent.

    Args:
        places: Series and minute as one number, rising.
        values: The values at these places.
        hours: How far to look back; it is that many rows, since rows are hours.

    Returns:
        Sizes of the changes.
    """
    changes = np.full(values.size, np.nan)
    same = places[hours:] - places[:-hours] == hours * 60
    changes[hours:] = np.where(same, np.abs(values[hours:] - values[:-hours]), np.nan)
    return changes
