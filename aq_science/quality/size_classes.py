"""Do the size classes of particles agree: what is finer is part of what is coarser."""

from __future__ import annotations

import polars as pl

from aq_science.quality.core import Criterion, nowhere
from aq_science.tables.types import MINUTE_ROOM

_STATION = pl.col("station_id").to_physical().cast(pl.Int64)
_PLACE = (_STATION * MINUTE_ROOM + pl.col("hour").dt.epoch("s").cast(pl.Int64) // 60).alias("place")


def pm25_above_pm10(readings: pl.DataFrame, *, times: float, beyond: float) -> Criterion:
    """Fires on both where `pm25 > times * pm10 + beyond` at a station in an hour.

    Which of the two is wrong cannot be seen. Instruments of different make differ by some per cent,
    and both are noisy near zero.

    Args:
        readings: `station_id, parameter, hour, value`.
        times: How often as high PM2.5 may be.
        beyond: And how much higher, in µg/m³.

    Returns:
        The criterion for these readings; `observed` is PM2.5, `limit` the most it may be.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.Series(["pm25", "pm10", "co"], dtype=PARAMETER),
    ...     hour=pl.datetime(2024, 3, 1).cast(INSTANT),
    ...     value=pl.Series([80.0, 40.0, 0.4]),
    ... )
    >>> above = pm25_above_pm10(readings, times=1.2, beyond=10.0)
    >>> readings.select(above.fires).to_series().to_list()
    [True, True, None]
    """
    size, value = pl.col("parameter"), pl.col("value")
    # No other can be above the limit.
    fine = readings.filter(size == "pm25", value > beyond).select(_PLACE, fine=value)
    coarse = readings.filter(size == "pm10", value.is_not_null()).select(_PLACE, coarse=value)
    above = (
        fine.join(coarse, on="place")
        .with_columns(limit=times * pl.col("coarse") + beyond)
        .filter(pl.col("fine") > pl.col("limit"))
        .unique("place")
    )
    of_particles = size.is_in(["pm25", "pm10"])

    def found(column: str) -> pl.Expr:
        numbers = _PLACE.replace_strict(
            above["place"], above[column], default=None, return_dtype=pl.Float64
        )
        return pl.when(of_particles).then(numbers)

    if above.is_empty():
        return nowhere()
    fires = pl.when(of_particles).then(_PLACE.is_in(above["place"].implode()))
    return Criterion(fires, found("fine"), found("limit"))
