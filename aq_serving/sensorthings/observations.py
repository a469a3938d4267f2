"""Observations: rows of the stores as the standard has them, walked through in the order of time.

Hourly readings lie in a file a day, averages and forecasts in the warehouse by time: so they are
read window by window, each longer than the one before while little is found, until there is enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from aq_resources.documents.columns import plain_schema
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_science.local_days import day_start
from aq_science.tables.core import Table
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.types import INSTANT
from aq_science.windows import DAY, HOUR, Window, midnight
from aq_serving.problems import bad_request
from aq_serving.reader import Reader
from aq_serving.sensorthings.filters import EVERYWHEN, Bounds
from aq_serving.sensorthings.identifiers import DAY as DAY_STAMP
from aq_serving.sensorthings.identifiers import MINUTE, joined
from aq_serving.sensorthings.model import END, ENTITY_SETS, OBSERVATIONS
from aq_serving.sensorthings.series import SERIES
from aq_serving.stations import KEEP_SECONDS

SCHEMA = ENTITY_SETS[OBSERVATIONS].schema
START, STOP = "phenomenonTime", "phenomenonTime" + END
ORDER = (START, "id")
# What is held at once, whatever a request asks for.
MOST_ROWS = 50_000
_MOST_DAYS = 366
_FASTER = 8
# Rows of a window when all of them have to be seen.
_ROWS_AT_ONCE = 500_000
_SERIES = ("network", "station_id", "parameter")
# A local day begins up to 14 hours before the UTC day of its date, and up to 12 behind it.
_AROUND_DAY = timedelta(hours=14)
# A forecast is for an hour that begins within these of its issue time.
_AHEAD = 3 * HOUR
_INSTANT = "%Y-%m-%dT%H:%M:%S%.fZ"


@dataclass(frozen=True)
class Wanted:
    """Which Observations.

    Attributes:
        streams: Frame of their Datastreams.
        bounds: Of the start of their phenomenon time.
        conditions: All of which have to hold.
    """

    streams: pl.DataFrame
    bounds: Bounds = EVERYWHEN
    conditions: Sequence[pl.Expr] = ()


class Observations:
    """Reads Observations."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sources: dict[str, _Hourly | _Daily | _Forecasts] = {
            HOURLY_READINGS.name: _Hourly(reader),
            DAILY_AVERAGES.name: _Daily(reader),
            FORECASTS.name: _Forecasts(reader),
        }

    def by_time(self, wanted: Wanted, rows: int, *, descending: bool = False) -> pl.DataFrame:
        """The first Observations by time and identifier.

        Args:
            wanted: Which.
            rows: How many.
            descending: Whether the newest come first.

        Returns:
            In the columns of `SCHEMA`.

        Raises:
            ProblemError: They cannot be read now, or not in time.
        """
        order = _Order([pl.col(name) for name in ORDER], [descending, False])
        pace = _Pace(rows)
        parts = [SCHEMA.to_frame()]
        for part in self._windows(wanted, pace, order.first(rows), descending=descending):
            parts.append(order.sort(part.lazy()).collect())
            if pace.rows >= rows:
                break
        return pl.concat(parts).head(rows)

    def by_parent(
        self, wanted: Wanted, key: str, rows: int, *, descending: bool = False
    ) -> pl.DataFrame:
        """The first Observations by time of each related entity.

        Args:
            wanted: Which.
            key: Column that tells whose they are.
            rows: How many of each.
            descending: Whether the newest come first.

        Returns:
            In the columns of `SCHEMA`, by time.

        Raises:
            ProblemError: They cannot be read now, not in time, or are too many.
        """
        order = _Order([pl.col(name) for name in ORDER], [descending, False])
        parts = [SCHEMA.to_frame()]
        counts = dict.fromkeys(wanted.streams[_of_stream(key)].to_list(), 0)
        left = [wanted.streams]
        finish = order.first_of_each(key, rows)
        for part in self._windows(wanted, _Pace(None), finish, descending=descending, left=left):
            parts.append(part)
            for name, count in part.group_by(key).len().iter_rows():
                counts[name] += count
            _check_size(sum(map(len, parts)))
            unfinished = [name for name, count in counts.items() if count < rows]
            if not unfinished:
                break
            left[0] = wanted.streams.filter(pl.col(_of_stream(key)).is_in(unfinished))
        found = order.sort(pl.concat(parts).lazy()).collect()
        return found.filter(pl.int_range(pl.len()).over(key) < rows)

    def sorted_by(
        self, wanted: Wanted, rows: int, by: Sequence[tuple[pl.Expr, bool]]
    ) -> pl.DataFrame:
        """The first Observations by something else than time; all have to be read for it.

        Args:
            wanted: Which.
            rows: How many.
            by: What to sort by, and whether it is turned round.

        Returns:
            In the columns of `SCHEMA`.

        Raises:
            ProblemError: They cannot be read now, or not in time.
        """
        order = _Order(
            [*(key for key, _ in by), *(pl.col(name) for name in ORDER)],
            [*(turned for _, turned in by), False, False],
        )
        best = SCHEMA.to_frame()
        for part in self._windows(wanted, _Pace(_ROWS_AT_ONCE), order.first(rows)):
            best = order.sort(pl.concat([best, part]).lazy()).head(rows).collect()
        return best

    def count(self, wanted: Wanted) -> int:
        """How many there are.

        Raises:
            ProblemError: They cannot be counted now, or not in time.
        """
        parts = self._windows(wanted, _Pace(_ROWS_AT_ONCE), lambda frame, _: frame.select("id"))
        return sum(map(len, parts))

    # Machinery

    def _windows(
        self,
        wanted: Wanted,
        pace: _Pace,
        finish: _Finish,
        *,
        descending: bool = False,
        left: list[pl.DataFrame] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Rows of one window after the other.

        `left` holds the Datastreams whose rows are still wanted, if these become fewer.
        """
        began = time.monotonic()
        left = left or [wanted.streams]
        extents = self._extents(wanted)
        whole = _overall(extents.values(), wanted.bounds)
        while whole.start < whole.end:
            if time.monotonic() - began > self._reader.seconds:
                raise self._reader.too_long()
            window, whole = _cut(whole, pace.days(), descending=descending)
            there = [name for name, extent in extents.items() if extent.overlaps(window)]
            found = self._read(window, left[0], there, _within(window, wanted.conditions, finish))
            pace.note(window, found.height)
            yield found

    def _read(
        self, window: Window, streams: pl.DataFrame, tables: Sequence[str], finish: _Finish
    ) -> pl.DataFrame:
        """What some tables have in a window.

        Args:
            window: When.
            streams: Of which Datastreams.
            tables: Those that may have something.
            finish: What becomes of their rows.

        Returns:
            The rows.
        """
        parts = [
            part
            for table, chosen in _by_table(streams)
            if table in tables
            for part in self._sources[table].read(window, chosen, finish)
        ]
        return pl.concat(parts) if parts else SCHEMA.to_frame()

    def _extents(self, wanted: Wanted) -> dict[str, Window]:
        """From the first to the last time at which each table may have something."""
        found = {
            table: self._sources[table].extent(part, wanted.bounds)
            for table, part in _by_table(wanted.streams)
        }
        return {table: extent for table, extent in found.items() if extent is not None}


def _overall(extents: Collection[Window], bounds: Bounds) -> Window:
    if not extents:
        return _NOTHING
    start, end = min(one.start for one in extents), max(one.end for one in extents)
    start = start if bounds.start is None else max(start, bounds.start)
    end = end if bounds.end is None else min(end, bounds.end)
    return Window(start, end) if start < end else _NOTHING


def _by_table(streams: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Datastreams by the table that has their Observations."""
    for table in dict.fromkeys(series.table.name for series in SERIES.values()):
        names = [series.name for series in SERIES.values() if series.table.name == table]
        part = streams.filter(pl.col("properties/series").is_in(names))
        if part.height:
            yield table, part


@dataclass(frozen=True, eq=False)
class _Order:
    """What Observations are sorted by.

    Attributes:
        keys: Expressions.
        descending: Whether each is turned round.
    """

    keys: Sequence[pl.Expr]
    descending: Sequence[bool]

    def sort(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The rows in this order."""
        return rows.sort(*self.keys, descending=list(self.descending), nulls_last=True)

    def first(self, count: int) -> _Finish:
        """The first rows alone, before the rest is made of them."""
        return lambda rows, form: _shown(self.sort(rows).head(count), form)

    def first_of_each(self, key: str, count: int) -> _Finish:
        """As `first`, for each value of a column."""
        rank = pl.int_range(pl.len()).over(key)
        return lambda rows, form: _shown(self.sort(rows).filter(rank < count), form)


_NOTHING = Window(midnight(date(2000, 1, 1)), midnight(date(2000, 1, 1)))


class _Pace:
    """How long the next window is: so that few more rows come than are needed.

    Without a number that is enough, eight times as long each time.
    """

    def __init__(self, enough: int | None) -> None:
        self._enough = enough
        self._days = 0
        self._last = 0
        self.rows = 0

    def note(self, window: Window, rows: int) -> None:
        """Take note of what a window had."""
        self._last = len(window.dates)
        self._days += len(window.dates)
        self.rows += rows

    def days(self) -> int:
        """Days of the next window."""
        if self._last == 0:
            return 1
        most = min(self._last * _FASTER, _MOST_DAYS)
        if self._enough is None or self.rows == 0:
            return most
        needed = max(self._enough - self.rows, 1)
        return min(max(1, math.ceil(needed * self._days / self.rows)), most)


class _Hourly:
    """Hourly readings, from the files of their days."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def extent(self, streams: pl.DataFrame, bounds: Bounds) -> Window | None:
        since = None if bounds.start is None else bounds.start.date()
        days: list[date] = []
        with self._reader.turn():
            for network in streams["properties/network"].unique():
                days += self._reader.day_files(network).days(since)
        return Window.of_days(min(days), max(days)) if days else None

    def read(self, window: Window, streams: pl.DataFrame, finish: _Finish) -> list[pl.DataFrame]:
        parts = []
        with self._reader.turn():
            for (network,), part in streams.group_by("properties/network"):
                rows = self._reader.day_files(str(network)).scan(window)
                wanted = rows.filter(
                    pl.col("hour") >= window.start,
                    pl.col("hour") < window.end,
                    pl.col("station_id").is_in(part["properties/station_id"].unique().to_list()),
                    pl.col("parameter").is_in(part["properties/parameter"].unique().to_list()),
                ).cast(plain_schema(HOURLY_READINGS))
                parts.append(_finished(_with_streams(wanted, part), _HOURLY, finish))
        return parts


class _Warehouse:
    """Rows of a table of the warehouse."""

    table: Table
    # Column by whose values they are read, and how far these may be from the phenomenon's time.
    time: str
    before: timedelta
    behind: timedelta

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: tuple[float, Window] | None = None

    def extent(self, streams: pl.DataFrame, bounds: Bounds) -> Window | None:
        """From the first to the last row, with a day on, so that it is true for a while."""
        del streams, bounds
        known = self._known
        if known is None or time.monotonic() - known[0] >= KEEP_SECONDS:
            found = self._extent()
            if found is None:
                return None
            known = self._known = (time.monotonic(), found)
        return known[1]

    def _extent(self) -> Window | None:
        [row] = self._reader.query(
            f"SELECT min({self.time}), max({self.time}) FROM {UNION_SCHEMA}.{self.table.name}"
        ).iter_rows()
        if row[0] is None:
            return None
        first, last = (_instant(value) for value in row)
        return Window(midnight((first - self.behind).date()), last + self.behind + DAY)

    def rows(self, window: Window, streams: pl.DataFrame) -> pl.LazyFrame:
        """Rows that may be of the Datastreams, with these."""
        first, last = window.start - self.behind, window.end + self.before
        bounds: list[Any] = [first, last]
        kind = "TIMESTAMPTZ"
        if isinstance(self.table.schema[self.time], pl.Date):
            bounds, kind = [first.date(), last.date() + DAY], "DATE"
        named = [streams[f"properties/{name}"].unique().to_list() for name in _SERIES]
        chosen = " AND ".join(f"{name} = ANY(?::VARCHAR[])" for name in _SERIES)
        frame = self._reader.query(
            f"SELECT {', '.join(self.table.schema)} FROM {UNION_SCHEMA}.{self.table.name} "
            f"WHERE {chosen} AND {self.time} >= ?::{kind} AND {self.time} < ?::{kind}",
            [*named, *bounds],
        )
        return _with_streams(frame.cast(plain_schema(self.table)).lazy(), streams)


class _Daily(_Warehouse):
    table, time = DAILY_AVERAGES, "date"
    before = behind = _AROUND_DAY

    def read(self, window: Window, streams: pl.DataFrame, finish: _Finish) -> list[pl.DataFrame]:
        """Observations of local days that begin in the window."""
        rows = self.rows(window, streams).collect()
        days = rows.select("timezone", "date", "rule").unique()
        begun = days.with_columns(
            pl.Series(
                START, [_day(zone, day, rule, 0) for zone, day, rule in days.iter_rows()], INSTANT
            ),
            pl.Series(
                STOP, [_day(zone, day, rule, 1) for zone, day, rule in days.iter_rows()], INSTANT
            ),
        )
        dated = rows.lazy().join(begun.lazy(), on=["timezone", "date", "rule"], nulls_equal=True)
        return [_finished(dated, _DAILY, finish)]


class _Forecasts(_Warehouse):
    table, time = FORECASTS, "issued_for"
    before, behind = HOUR, _AHEAD

    def read(self, window: Window, streams: pl.DataFrame, finish: _Finish) -> list[pl.DataFrame]:
        """Observations of hours that begin in the window."""
        rows = self.rows(window, streams)
        ahead = rows.filter(pl.col("horizon") == pl.col("properties/horizon").cast(pl.Int8))
        return [_finished(ahead, _FORECASTS, finish)]


def _with_streams(rows: pl.LazyFrame, streams: pl.DataFrame) -> pl.LazyFrame:
    keys = streams.select(
        *(pl.col(f"properties/{name}").alias(name) for name in _SERIES),
        pl.col("id").alias("_datastream"),
        "_feature",
        "properties/horizon",
    )
    return rows.join(keys.lazy(), on=_SERIES)


def _day(zone: str | None, day: date, rule: str | None, later: int) -> datetime:
    standard = (rule or "").endswith("_standard_day")
    return day_start(zone or "UTC", day + later * DAY, standard=standard)


def _instant(value: date | datetime) -> datetime:
    return value if isinstance(value, datetime) else midnight(value)


def _finite(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_finite()).then(pl.col(name))


@dataclass(frozen=True)
class _Form:
    """How rows of a table become Observations.

    Attributes:
        stamp: End of the identifier.
        start: Of the phenomenon's time.
        stop: Its end.
        result: The result; null where the value does not count.
        made: When it came about.
        quality: Whether it counts, in a word.
        parameters: Columns that are shown beside it.
        instants: Those of them that are instants.
    """

    stamp: pl.Expr
    start: pl.Expr
    stop: pl.Expr
    result: pl.Expr
    made: pl.Expr
    quality: pl.Expr
    parameters: tuple[str, ...]
    instants: tuple[str, ...] = ()


_IS_VALID = pl.col("flag") == "valid"
_HOURLY = _Form(
    stamp=pl.col("hour").dt.strftime(MINUTE),
    start=pl.col("hour"),
    stop=pl.col("hour") + HOUR,
    result=pl.when(_IS_VALID).then(_finite("value")),
    made=pl.col("hour") + HOUR,
    quality=pl.col("flag"),
    parameters=(
        "value",
        "reasons",
        "status",
        "coverage",
        "value_native",
        "unit_native",
        "sensor_id",
        "revision",
        "pulled_at",
    ),
    instants=("pulled_at",),
)
_DAILY = _Form(
    stamp=pl.col("date").dt.strftime(DAY_STAMP),
    start=pl.col(START),
    stop=pl.col(STOP),
    result=pl.when(pl.col("valid")).then(_finite("mean")),
    made=pl.col(STOP),
    quality=pl.when(pl.col("valid")).then(pl.lit("valid")).otherwise(pl.lit("incomplete")),
    parameters=(
        "mean",
        "minimum",
        "maximum",
        "hours_valid",
        "hours_present",
        "hours_expected",
        "completeness",
        "rule",
        "reason",
        "timezone",
        "max_8h_mean",
        "aqi",
        "aqi_category",
        "who_2021_exceeded",
    ),
)
_FORECASTS = _Form(
    stamp=pl.col("issued_for").dt.strftime(MINUTE),
    start=pl.col("hour"),
    stop=pl.col("hour") + HOUR,
    result=_finite("value"),
    made=pl.col("issued_at"),
    quality=pl.col("mode"),
    parameters=(
        "issued_for",
        "lower_80",
        "upper_80",
        "lower_95",
        "upper_95",
        "model",
        "model_day",
        "aqi_category",
        "who_2021_probability",
    ),
    instants=("issued_for",),
)


_Finish = Callable[[pl.LazyFrame, _Form], pl.LazyFrame]


def _within(window: Window, conditions: Sequence[pl.Expr], finish: _Finish) -> _Finish:
    """As `finish`, of the rows of a window that fulfil the conditions."""
    keep = [pl.col(START) >= window.start, pl.col(START) < window.end, *conditions]
    return lambda rows, form: finish(rows.filter(keep), form)


def _finished(rows: pl.LazyFrame, form: _Form, finish: _Finish) -> pl.DataFrame:
    """The rows with all that Observations have but their parameters, finished and read."""
    made = rows.with_columns(
        joined(pl.col("_datastream"), form.stamp).alias("id"),
        form.start.alias(START),
        form.stop.alias(STOP),
        form.result.alias("result"),
        form.made.alias("resultTime"),
        form.quality.alias("resultQuality"),
    )
    return finish(made, form).collect()


def _shown(rows: pl.LazyFrame, form: _Form) -> pl.LazyFrame:
    """In the columns of `SCHEMA`; the parameters as JSON, which costs more than all the rest."""
    shown = [
        (pl.col(name).dt.to_string(_INSTANT) if name in form.instants else pl.col(name)).alias(name)
        for name in form.parameters
    ]
    parameters = pl.struct(*shown).struct.json_encode().alias("parameters")
    return rows.with_columns(parameters).select(
        pl.col(name).cast(kind) for name, kind in SCHEMA.items()
    )


def _of_stream(key: str) -> str:
    """Column of Datastreams that has what `key` has in their Observations."""
    return "id" if key == "_datastream" else key


def _cut(whole: Window, days: int, *, descending: bool) -> tuple[Window, Window]:
    """The next days of a window, and what is left of it."""
    if descending:
        last = (whole.end - timedelta(microseconds=1)).date()
        edge = max(whole.start, midnight(last - (days - 1) * DAY))
        return Window(edge, whole.end), Window(whole.start, edge)
    edge = min(whole.end, midnight(whole.start.date() + days * DAY))
    return Window(whole.start, edge), Window(edge, whole.end)


def _check_size(rows: int) -> None:
    if rows > MOST_ROWS:
        raise bad_request(
            f"These are more than {MOST_ROWS} Observations at once. Ask for fewer of each by $top "
            "within $expand, or for fewer Datastreams.",
            "$expand",
        )
