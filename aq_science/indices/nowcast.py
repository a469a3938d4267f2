"""NowCast of particles: the weighted mean of the last hours from which the index of now is made.

US EPA, EPA-454/B-24-002: the weight of an hour falls with its age, the faster the more the
concentrations of the last twelve hours differ, but to no less than half from one hour to the next.
An hour has a NowCast where two of the last three hours, itself included, have a value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from aq_science.windows import HOUR

NOWCAST_PARAMETERS = ("pm25", "pm10")

HOURS = 12
RECENT_HOURS = 3
RECENT_VALID = 2
LEAST_RATIO = 0.5

# Numbers of a block of series that is worked on at once: its matrices stay in a core's cache.
_BLOCK = 50_000

_Matrix = npt.NDArray[np.float64]


def nowcast(hourly: pl.DataFrame) -> pl.DataFrame:
    """NowCast of every series of PM2.5 and PM10, from the first hour to the last.

    `hourly` is `HOURLY_READINGS` of one network (at least station_id, parameter, hour, value and
    flag; µg/m³), in any order and with eleven hours ahead of those of interest. Hours flagged
    `valid` count.

    The result has `station_id`, `parameter`, `hour` (UTC, the beginning) and `value` (µg/m³), by
    series and hour, and no row where there is no NowCast. It is not truncated, which `aqi` does.
    """
    particles = hourly.filter(pl.col("parameter").is_in(NOWCAST_PARAMETERS)).select(
        "station_id",
        "parameter",
        "hour",
        value=pl.when((pl.col("flag") == "valid") & pl.col("value").is_finite()).then("value"),
        minute=pl.col("hour").dt.minute(),
    )
    # Hours of zones that differ from UTC by half or quarter hours lie between those of the others.
    parts = particles.partition_by("minute", include_key=False)
    found = [particles.clear().drop("minute"), *(_nowcast(part) for part in parts)]
    return pl.concat(found).sort("station_id", "parameter", "hour")


def _nowcast(readings: pl.DataFrame) -> pl.DataFrame:
    """As `nowcast`, for hours that all begin in the same minute of a UTC hour.

    Works on a dense matrix of series by hours, in which an absent hour is not a number.
    """
    series = readings.select("station_id", "parameter").unique().with_row_index("row")
    first = readings["hour"].min()
    placed = readings.join(series, ["station_id", "parameter"], maintain_order="left").select(
        "row", "value", column=(pl.col("hour") - first).dt.total_hours()
    )
    rows, columns = placed["row"].to_numpy(), placed["column"].to_numpy()
    values = np.full((len(series), int(columns.max()) + 1), np.nan)
    values[rows, columns] = placed["value"].fill_null(np.nan).to_numpy()
    at_once = max(1, _BLOCK // values.shape[1])
    for start in range(0, len(series), at_once):
        values[start : start + at_once] = weighted_means(values[start : start + at_once])
    row, column = np.nonzero(np.isfinite(values))
    return series[row].select(
        "station_id",
        "parameter",
        hour=first + pl.Series(column) * HOUR,
        value=pl.Series(values[row, column]),
    )


def weighted_means(values: _Matrix) -> _Matrix:
    """NowCasts of a matrix of series by consecutive hours; in both no value is not a number.

    >>> weighted_means(np.array([[10.0, np.nan, 5.0]])).round(3).tolist()
    [[nan, nan, 6.0]]
    """
    present = np.isfinite(values)
    lowest = _over_hours(np.minimum, np.where(present, values, np.inf))
    highest = _over_hours(np.maximum, np.where(present, values, -np.inf))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        ratio = np.clip(lowest / highest, LEAST_RATIO, 1.0)
    # Twelve hours of clean air do not differ, whatever 0 / 0 is.
    ratio[highest == 0.0] = 1.0
    filled = np.where(present, values, 0.0)
    total, weights = filled.copy(), present.astype(np.float64)
    weight = np.ones_like(values)
    for age in range(1, min(HOURS, values.shape[1])):
        weight *= ratio
        total[:, age:] += weight[:, age:] * filled[:, :-age]
        weights[:, age:] += weight[:, age:] * present[:, :-age]
    recent = present.astype(np.int8)
    for age in range(1, min(RECENT_HOURS, values.shape[1])):
        recent[:, age:] += present[:, :-age]
    enough = recent >= RECENT_VALID
    return np.where(enough, total / np.where(enough, weights, 1.0), np.nan)


def _over_hours(extreme: Callable[[_Matrix, _Matrix], _Matrix], values: _Matrix) -> _Matrix:
    """The extreme of each hour and those before it: over two hours, four, eight, then twelve."""
    for lag in (1, 2, 4, 4):
        values[:, lag:] = extreme(values[:, lag:], values[:, :-lag])
    return values
