"""Average, least and greatest value over any span, of windows and of readings at its ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl

from aq_science.devices.readings import one_of_each
from aq_science.windows import Window

_SERIES = ("fleet", "device_id", "sensor")
_STATISTICS = ("count", "mean", "minimum", "maximum")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Parts(NamedTuple):
    """A span as whole windows, and what is left of it at its ends."""

    whole: Window
    ends: tuple[Window, ...]


def parts_of(span: Window, seconds: int) -> Parts:
    """Cut a span where windows begin.

    Args:
        span: Any, [start, end).
        seconds: Length of the windows.

    Returns:
        The windows that lie within it, perhaps none, and the rest.
    """
    length = timedelta(seconds=seconds)
    first = -((_EPOCH - span.start) // length) * length + _EPOCH
    last = (span.end - _EPOCH) // length * length + _EPOCH
    if first >= last:
        return Parts(Window(span.start, span.start), (span,))
    ends = (Window(span.start, first), Window(last, span.end))
    return Parts(Window(first, last), tuple(end for end in ends if end.start < end.end))


def span_statistics(windows: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """What a span's readings come to, weighted by their number.

    Args:
        windows: Rows of `window_averages` that lie whole within the span.
        readings: `READING_SCHEMA`: those of the span that are in none of the windows.

    Returns:
        `fleet`, `device_id`, `sensor`, `count`, `mean`, `minimum`, `maximum`, sorted.
    """
    at_ends = one_of_each(readings)
    whole = windows.select(pl.col(_SERIES).cast(pl.String), *_STATISTICS)
    single = at_ends.select(
        pl.col(_SERIES).cast(pl.String),
        pl.lit(1, pl.Int64).alias("count"),
        *(pl.col("value").alias(name) for name in _STATISTICS[1:]),
    )
    weighted = (pl.col("mean") * pl.col("count")).sum() / pl.col("count").sum()
    return (
        pl.concat([whole, single])
        .group_by(*_SERIES)
        .agg(
            pl.col("count").sum(),
            weighted.alias("mean"),
            pl.col("minimum").min(),
            pl.col("maximum").max(),
        )
        .sort(*_SERIES)
    )
