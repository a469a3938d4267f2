"""A page of hourly readings, from the day files: as many days at a time as the page needs.

The warehouse's view over them opens every file that there ever was, these only those of the range.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from aq_resources.documents.columns import plain_schema
from aq_science.parameters import PARAMETERS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.windows import Window
from aq_serving.cursors import after
from aq_serving.ranges import Wanted, order_of
from aq_serving.reader import Reader

ORDER = order_of(HOURLY_READINGS, "hour")
_MOST_DAYS_AT_ONCE = 366
# Days without a row say that rows are rare.
_FASTER = 8


def read_hours(reader: Reader, networks: Sequence[str], wanted: Wanted) -> pl.DataFrame:
    """One row more than the page has, where there is one.

    Args:
        reader: Reads.
        networks: Those that have what is wanted.
        wanted: Which rows; `bounds` are instants.

    Returns:
        `HOURLY_READINGS`, sorted by `ORDER`.

    Raises:
        ProblemError: It cannot be read now.
    """
    start, end = _window(wanted)
    begun = start if wanted.key is None else min(max(start, wanted.key[0]), end)
    with reader.turn():
        found = pl.concat(_parts(reader, networks, wanted, Window(begun, end)))
    return found.sort(ORDER).head(wanted.limit + 1)


def _parts(
    reader: Reader, networks: Sequence[str], wanted: Wanted, window: Window
) -> Iterator[pl.DataFrame]:
    """Rows of ever more days, until there are enough."""
    began = time.monotonic()
    rows = _condition(wanted, window)
    files = [reader.day_files(network) for network in networks]
    present = {one.root: one.versions(window.start.date()) for one in files}
    days = [day for day in window.dates if any(day in there for there in present.values())]
    schema = plain_schema(HOURLY_READINGS)
    yield schema.to_frame()
    read = count = 0
    first = _first_days(wanted)
    while read < len(days) and count <= wanted.limit:
        if time.monotonic() - began > reader.seconds:
            raise reader.too_long()
        chunk = days[read : read + days_at_once(read, count, wanted.limit + 1, first)]
        for one in files:
            of_this = {day: present[one.root][day] for day in chunk if day in present[one.root]}
            scan = one.scan_days(list(of_this)) if first == 1 else reader.months.scan(one, of_this)
            part = scan.filter(rows).collect().cast(schema)
            if wanted.key is not None:
                # By text: as encoded, the columns sort by other orders.
                part = part.filter(after(ORDER, wanted.key))
            count += part.height
            yield part
        read += len(chunk)


def days_at_once(read: int, rows: int, enough: int, first: int = 1) -> int:
    """How many days to read next, so that few more rows come than are needed.

    Args:
        read: Days read so far.
        rows: Rows found in them.
        enough: Rows that are needed.
        first: Days that have not more than enough, as far as is known before any was read.

    Returns:
        At least one.

    >>> [days_at_once(0, 0, 1001), days_at_once(1, 0, 1001), days_at_once(9, 216, 1001)]
    [1, 8, 33]
    """
    if read == 0:
        return min(first, _MOST_DAYS_AT_ONCE)
    if rows == 0:
        return min(read * _FASTER, _MOST_DAYS_AT_ONCE)
    return min(max(1, math.ceil((enough - rows) * read / rows)), _MOST_DAYS_AT_ONCE)


def _first_days(wanted: Wanted) -> int:
    """As many as cannot have more rows than the page, where stations are named."""
    named = {column: len(allowed) for column, allowed in wanted.equal}
    if "station_id" not in named:
        return 1
    rows_a_day = 24 * named["station_id"] * named.get("parameter", len(PARAMETERS))
    return max(1, wanted.limit // rows_a_day)


def _window(wanted: Wanted) -> tuple[datetime, datetime]:
    if wanted.bounds is None:
        raise ValueError("hourly readings are read by a range")
    start, end = wanted.bounds
    if not (isinstance(start, datetime) and isinstance(end, datetime)):
        raise TypeError("the range of hourly readings is one of instants")
    return start, end


def _condition(wanted: Wanted, window: Window) -> pl.Expr:
    found = (pl.col("hour") >= window.start) & (pl.col("hour") < window.end)
    for column, allowed in wanted.equal:
        found &= pl.col(column).is_in(allowed) if len(allowed) > 1 else pl.col(column) == allowed[0]
    return found
