"""Runs of equal values in a series, and what comes before and after each: what several tests read.

Only values that the quantity can have count (the fail span of the gross range test, and no code for
"no value"), and a gap of more than `LONGEST_GAP` ends a run. So does an hour that was measured in
part: what was out for a while has moved. Everything about
an hour depends on the readings within `REACH` of it and on nothing further off, so that a day's
flags are the same however a range of days was cut.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from aq_science.parameters import SENTINELS
from aq_science.quality.core import by_parameter
from aq_science.tables.types import SERIES

REACH = timedelta(hours=24)
LONGEST_GAP = timedelta(hours=6)

_MINUTE = timedelta(minutes=1)
_REACH = REACH // _MINUTE
_GAP = LONGEST_GAP // _MINUTE
# Of minutes since 1970, with room for centuries.
_SERIES_ROOM = 1 << 32

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RUN_COLUMNS = {"run_rows": pl.Int32(), "before": pl.Float64(), "after": pl.Float64()}


def with_runs(readings: pl.DataFrame) -> pl.DataFrame:
    """Readings with the columns of `RUN_COLUMNS`.

    Args:
        readings: `station_id, parameter, hour, value, value_native, coverage`, in any order.

    Returns:
        The readings in their order. `run_rows` is the number of readings with the hour's value, one
        after another, that lie within `REACH` of it, itself included; null without a value.
        `before` and `after` are the nearest other values on either side of that run, in the unit of
        `value`; null where there is none within `REACH` of the hour.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> hours = pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 1, 4), "1h")
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.lit("co", PARAMETER),
    ...     hour=hours.cast(INSTANT),
    ...     value=pl.Series([0.4, 9.9, 9.9, 0.3, 0.5]),
    ... ).with_columns(value_native="value", coverage=pl.lit(None, pl.Float64))
    >>> with_runs(readings).select("run_rows", "before", "after").rows()
    [(1, None, 9.9), (2, 0.4, 0.3), (2, 0.4, 0.3), (1, 9.9, 0.5), (1, 0.3, None)]
    """
    minutes = pl.col("hour").dt.epoch("s").cast(pl.Int64) // 60
    possible = pl.col("value").is_between(
        by_parameter(lambda p: p.fail[0]), by_parameter(lambda p: p.fail[1])
    )
    place = readings.select(
        SERIES,
        minutes=minutes,
        value="value",
        counts=possible & ~pl.col("value_native").is_in(SENTINELS),
        whole=(pl.col("coverage") >= 1.0).fill_null(value=True),
    )
    rows = place["counts"].fill_null(value=False).arg_true().to_numpy()
    series = place["series"].gather(rows)
    # Numbered as they come: mostly each stands together, in the order of its hours.
    number = series.rle_id().cast(pl.Int64)
    if number.len() and number[-1] + 1 > series.n_unique():
        number = series
    places = (number * _SERIES_ROOM + place["minutes"].gather(rows)).to_numpy()
    values = place["value"].gather(rows).to_numpy()
    whole = place["whole"].gather(rows).to_numpy()
    if not (places[1:] > places[:-1]).all():
        order = np.argsort(places, kind="stable")
        rows, places, values, whole = (column[order] for column in (rows, places, values, whole))
    run_rows, before, after = _runs(places, values, whole)
    complete = rows.size == len(readings) and bool((rows[1:] > rows[:-1]).all())
    columns = []
    for name, found in (("run_rows", run_rows), ("before", before), ("after", after)):
        if complete:
            column = pl.Series(name, found)
        else:
            spread = np.full(len(readings), np.nan)
            spread[rows] = found
            column = pl.Series(name, spread)
        columns.append(column.fill_nan(None).cast(RUN_COLUMNS[name]))
    return readings.with_columns(columns)


def _runs(
    places: Ints, values: Floats, whole: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Of readings in the order of series and time."""
    count = places.size
    if not count:
        empty = np.empty(0)
        return empty, empty, empty
    same = (np.diff(places) <= _GAP) & (values[1:] == values[:-1])
    index = np.arange(count)
    first, last = _ends(same)
    before = _beside(first - 1, index, places, values)
    after = _beside(last + 1, index, places, values)
    if not whole.all():
        first, last = _ends(same & whole[1:] & whole[:-1])
    rows = (last - first + 1).astype(np.float64)
    # A run within a day counts whole; of longer ones only what lies within reach of each hour.
    long = places[last] - places[first] > _REACH
    if long.any():
        here = index[long]
        low = np.searchsorted(places, places[here] - _REACH, "left")
        high = np.searchsorted(places, places[here] + _REACH, "right") - 1
        rows[here] = np.minimum(last[here], high) - np.maximum(first[here], low) + 1
    return rows, before, after


def _ends(joined: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Of every reading the first and the last one of its run, where each joins the next or not."""
    starts = np.flatnonzero(np.r_[True, ~joined])
    run = np.cumsum(np.r_[False, ~joined])
    return starts[run], (np.r_[starts[1:], joined.size + 1] - 1)[run]


def _beside(neighbour: Ints, index: Ints, places: Ints, values: Floats) -> Floats:
    """Values of neighbours within reach; those of other series lie far beyond it."""
    inside = np.clip(neighbour, 0, places.size - 1)
    near = (neighbour == inside) & (np.abs(places[inside] - places[index]) <= _REACH)
    return np.where(near, values[inside], np.nan)
