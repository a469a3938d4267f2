"""Runs of equal values in a series, and what comes before and after each: what several tests read.

Only values that the quantity can have count (the fail span of the gross range test, and no code for
"no value"), and a gap of more than `LONGEST_GAP` ends a run. So does an hour that was measured in
part: what was out for a while has moved. Everything about an hour depends on the readings within
`REACH` of it and on nothing further off, so that a day's flags are the same however a range of days
was cut.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from aq_science.parameters import PARAMETERS, SENTINELS
from aq_science.quality.core import by_parameter
from aq_science.tables.types import MINUTE_ROOM, SERIES

REACH = timedelta(hours=24)
LONGEST_GAP = timedelta(hours=6)

_MINUTE = timedelta(minutes=1)
_REACH = REACH // _MINUTE
_GAP = LONGEST_GAP // _MINUTE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

RUN_COLUMNS = {"run_rows": pl.Int32(), "before": pl.Float64(), "after": pl.Float64()}

# Where a value is worth comparing with those beside it: below zero, or as high as no everyday one.
_HIGH = {p.name: min(p.suspect[1], p.spike or p.suspect[1]) for p in PARAMETERS.values()}


def with_runs(readings: pl.DataFrame) -> pl.DataFrame:
    """Readings with the columns of `RUN_COLUMNS`.

    Args:
        readings: `station_id, parameter, hour, value, value_native, coverage`, in any order.

    Returns:
        The readings in their order. `run_rows` is the number of readings with the hour's value, one
        after another, that lie within `REACH` of it, itself included; 0 for what does not count.
        `before` and `after` are the nearest other values on either side of that run, in the unit of
        `value`; null where there is none within `REACH` of the hour, and where the value is an
        everyday one: neither below zero, nor at the parameter's `spike` or `suspect`, nor repeated.

    >>> from aq_science.tables.types import INSTANT, PARAMETER
    >>> hours = pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 1, 4), "1h")
    >>> readings = pl.select(
    ...     station_id=pl.lit("s1", pl.Categorical),
    ...     parameter=pl.lit("co", PARAMETER),
    ...     hour=hours.cast(INSTANT),
    ...     value=pl.Series([0.4, 9.9, 9.9, 0.3, 0.5]),
    ... ).with_columns(value_native="value", coverage=pl.lit(None, pl.Float64))
    >>> with_runs(readings).select("run_rows", "before", "after").rows()
    [(1, None, None), (2, 0.4, 0.3), (2, 0.4, 0.3), (1, None, None), (1, None, None)]
    """
    minutes = pl.col("hour").dt.epoch("s").cast(pl.Int64) // 60
    value = pl.col("value")
    possible = value.is_between(
        by_parameter(lambda p: p.fail[0]), by_parameter(lambda p: p.fail[1])
    )
    place = readings.select(
        SERIES,
        minutes=minutes,
        value="value",
        counts=(possible & ~pl.col("value_native").is_in(SENTINELS)).fill_null(value=False),
        whole=(pl.col("coverage") >= 1.0).fill_null(value=True),
        striking=(value < 0) | (value >= by_parameter(lambda p: _HIGH[p.name])),
    )
    every = place["counts"].all()
    rows = np.arange(len(place)) if every else place["counts"].arg_true().to_numpy()
    if not every:
        place = place[rows]
    # Numbered as they come: mostly each stands together, in the order of its hours.
    series = place["series"].to_numpy()
    begins = np.flatnonzero(np.diff(series, prepend=-1))
    if np.unique(series[begins]).size == begins.size:
        series = np.repeat(np.arange(begins.size), np.diff(begins, append=series.size))
    places = series * MINUTE_ROOM + place["minutes"].to_numpy()
    if not (places[1:] > places[:-1]).all():
        order = np.argsort(places, kind="stable")
        rows, places, place = rows[order], places[order], place[order]
    found = _runs(places, *(place[name].to_numpy() for name in ("value", "whole", "striking")))
    run_rows = np.zeros(len(readings), np.int32)
    run_rows[rows] = 1
    beside = np.full((2, len(readings)), np.nan)
    run_rows[rows[found.at]] = found.rows
    beside[:, rows[found.at]] = found.before, found.after
    return readings.with_columns(
        pl.Series("run_rows", run_rows),
        pl.Series("before", beside[0], nan_to_null=True),
        pl.Series("after", beside[1], nan_to_null=True),
    )


class _Found(NamedTuple):
    """What is to be known of some readings, by their place among those that count."""

    at: Ints
    rows: Ints
    before: Floats
    after: Floats


def _runs(places: Ints, values: Floats, whole: Flags, striking: Flags) -> _Found:
    """Of readings in the order of series and time, the striking and the repeated ones."""
    same = (np.diff(places) <= _GAP) & (values[1:] == values[:-1])
    repeated = np.zeros(places.size, np.bool_)
    repeated[1:] |= same
    repeated[:-1] |= same
    index = np.flatnonzero(striking | repeated)
    first, last = _ends(same, index)
    before = _beside(first - 1, index, places, values)
    after = _beside(last + 1, index, places, values)
    if not whole.all():
        first, last = _ends(same & whole[1:] & whole[:-1], index)
    rows = last - first + 1
    # A run within a day counts whole; of longer ones only what lies within reach of each hour.
    long = places[last] - places[first] > _REACH
    if long.any():
        here = index[long]
        low = np.searchsorted(places, places[here] - _REACH, "left")
        high = np.searchsorted(places, places[here] + _REACH, "right") - 1
        rows[long] = np.minimum(last[long], high) - np.maximum(first[long], low) + 1
    return _Found(index, rows, before, after)


def _ends(joined: Flags, index: Ints) -> tuple[Ints, Ints]:
    """The first and the last reading of the run of each, where each joins the next or not."""
    starts = np.r_[0, np.flatnonzero(~joined) + 1]
    run = np.searchsorted(starts, index, "right") - 1
    return starts[run], np.r_[starts[1:], joined.size + 1][run] - 1


def _beside(neighbour: Ints, index: Ints, places: Ints, values: Floats) -> Floats:
    """Values of neighbours within reach; those of other series lie far beyond it."""
    inside = np.clip(neighbour, 0, places.size - 1)
    near = (neighbour == inside) & (np.abs(places[inside] - places[index]) <= _REACH)
    return np.where(near, values[inside], np.nan)
