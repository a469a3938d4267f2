"""From records to versions: the one way that the rows of every network take.

A client's `ParsedRows` takes answers in and keeps their records column by column, since polars
costs by the call more than by the row. Its frame then passes `within_window`, before anything else
looks at it, as far as the network needs it `whole_hours`, `last_of_each_hour` and `in_long_form`,
and always `versions_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import polars as pl

from aq_resources.network_client import SET_ASIDE, Parsed, Problems
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.tables.types import INSTANT, PARAMETER
from aq_science.versions import ABSENCE_SCHEMA, VERSION_SCHEMA, complete_hours

# Characters of answers that are turned into a frame at once: bounds memory.
BATCH_CHARACTERS = 16_000_000
# The kind of problem that rows are all of whose stamps lie elsewhere.
OUTSIDE_WINDOW = "outside_window"
# And rows of hours that had not even begun when they were received: a clock is ahead.
FUTURE_STAMP = "future_stamp"
_HOUR_US = 3_600_000_000
_QUARTER_US = _HOUR_US // 4
# A panic of polars is no `Exception`.
_RAISED = (Exception, pl.exceptions.PanicException)
# Columns of a version that most networks do not know.
_OPTIONAL = {
    "coverage": None,
    "sensor_id": None,
    "duplicate": False,
    "provider_flag": False,
    "channels_apart": None,
    "status": None,
}

# Takes rows that are left out, and why.
Note = Callable[[pl.DataFrame, str], None]
Part = TypeVar("Part")


class ParsedRows(Protocol):
    """Records of many answers, column by column."""

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's records, or note why there are none."""

    def versions(self) -> pl.DataFrame:
        """Everything added, as versions (`VERSION_SCHEMA`); without a value where one is absent."""


def parse_in_batches(
    answers: Iterable[RawAnswer],
    new_rows: Callable[[Problems, set[str]], ParsedRows],
    source_of: Callable[[RawAnswer], str],
) -> Parsed:
    """Read every answer, some `BATCH_CHARACTERS` at a time.

    Args:
        answers: Stored answers.
        new_rows: Makes an empty `ParsedRows` from the problems and the unreadable stations that
            it notes.
        source_of: What an answer is about, for the problems.

    Returns:
        The readings of all answers.
    """
    problems = Problems()
    unreadable: set[str] = set()

    def read(batch: Sequence[RawAnswer]) -> Parsed:
        met, lost = Problems(), set[str]()
        rows = new_rows(met, lost)
        for answer in batch:
            rows.add(answer)
        return Parsed(rows.versions(), met, tuple(lost))

    def set_aside(answer: RawAnswer, error: BaseException) -> None:
        note_set_aside(answer, source_of(answer), error, problems)
        unreadable.add(source_of(answer))

    versions = [VERSION_SCHEMA.to_frame()]
    absences = [ABSENCE_SCHEMA.to_frame()]
    for part in in_batches(answers, read, set_aside):
        with_value, without = by_presence(part.versions)
        versions.append(with_value)
        # A value that cannot be read is none, and yet the network does not say that there is none.
        garbled = [station for station, kind in part.problems.counts if kind == "not_a_number"]
        absences.append(without.filter(~pl.col("station_id").cast(pl.String).is_in(garbled)))
        problems.merge(part.problems)
        unreadable.update(part.unreadable)
    return Parsed(
        pl.concat(versions), problems, tuple(sorted(unreadable)), absences=pl.concat(absences)
    )


def by_presence(versions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The versions with a value, and the absences (`ABSENCE_SCHEMA`) among them."""
    absent = versions["value_native"].is_null()
    if not absent.any():
        return versions, ABSENCE_SCHEMA.to_frame()
    return versions.filter(~absent), versions.filter(absent).select(ABSENCE_SCHEMA.names())


def in_batches(
    answers: Iterable[RawAnswer],
    read: Callable[[Sequence[RawAnswer]], Part],
    set_aside: Callable[[RawAnswer, BaseException], None],
) -> Iterator[Part]:
    """Read answers together; where that fails, one by one, to find the one to blame.

    Args:
        answers: Stored answers.
        read: Reads some of them. It keeps nothing from one call to the next, since answers are
            read again by themselves after a call that raised.
        set_aside: Is handed each answer that cannot be read even by itself, and what was raised.

    Returns:
        What `read` made of all others.
    """
    for batch in _batches(answers):
        try:
            yield read(batch)
        except _RAISED:
            for answer in batch:
                try:
                    yield read([answer])
                except _RAISED as error:
                    set_aside(answer, error)


def note_set_aside(
    answer: RawAnswer, source: str, error: BaseException, problems: Problems
) -> None:
    """Note an answer that a parser could not take.

    Args:
        answer: The answer.
        source: What it is about.
        error: What was raised.
        problems: Takes `answer_set_aside`.
    """
    text = f"received {answer.pulled_at:%Y-%m-%d %H:%M:%S}Z: {type(error).__name__}: {error}"
    problems.add(source, SET_ASIDE, text)


def _batches(answers: Iterable[RawAnswer]) -> Iterator[list[RawAnswer]]:
    batch: list[RawAnswer] = []
    size = 0
    for answer in answers:
        batch.append(answer)
        size += len(answer.body)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def requests_of(answers: Sequence[RawAnswer]) -> pl.DataFrame:
    """What the answers were asked, in their order: `start`, `end` and `pulled_at`."""
    return pl.DataFrame(
        {
            "start": [answer.readable[0] for answer in answers],
            "end": [answer.readable[1] for answer in answers],
            "pulled_at": [answer.pulled_at for answer in answers],
        },
        schema={"start": INSTANT, "end": INSTANT, "pulled_at": INSTANT},
    )


def beside(rows: pl.DataFrame, place: str, what: pl.DataFrame) -> pl.DataFrame:
    """Rows, each beside the row of another frame that it names.

    Args:
        rows: The rows.
        place: Name of the column with the other frame's row, counted from 0.
        what: The other frame.

    Returns:
        The rows in their order, with the columns of both.
    """
    # Cheaper than a join by half.
    return rows.hstack(what.select(pl.all().gather(rows[place])))


def instant(stamp: pl.Expr, form: str) -> pl.Expr:
    """A stamp as a time in UTC; null where it cannot be read.

    A 60th second is none: polars would take 00:59:60 for 01:00, and so for another hour's stamp.
    """
    read = stamp.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
    return pl.when(~stamp.str.contains(":60", literal=True)).then(read)


def within_window(rows: pl.DataFrame, source: str, note: Note) -> pl.DataFrame:
    """The rows whose hour shares time with the window asked for, and those whose stamp is no time.

    Args:
        rows: With `hour` (UTC), null where the stamp could not be read, and the window's `start`
            and `end`: `[start, end)`.
        source: Name of the column that says what gives the rows, such as an answer's place.
        note: Is handed the rows of sources all of whose hours lie elsewhere, as `outside_window`,
            and those from the future (`begun`). Other rows outside are nothing to note: networks
            count both ends of a window.

    Returns:
        The rows, in their order.
    """
    hour = pl.col("hour")
    before = pl.col("start") - pl.duration(hours=1)
    inside = rows.filter(hour.is_between(before, "end", closed="none") | hour.is_null())
    if len(inside) < len(rows) and inside[source].n_unique() < rows[source].n_unique():
        heard = rows.filter(hour.is_between(before, "end") | hour.is_null())[source].unique()
        note(rows.filter(~pl.col(source).is_in(heard.implode())), OUTSIDE_WINDOW)
    return begun(inside, note)


def begun(rows: pl.DataFrame, note: Note) -> pl.DataFrame:
    """The rows whose hour had begun when they were received, and those whose stamp is no time.

    `rows` has `hour` and `pulled_at` (UTC); `note` is handed the others, as `future_stamp`.
    """
    ahead = rows["hour"] > rows["pulled_at"]
    if not ahead.any():
        return rows
    note(rows.filter(ahead), FUTURE_STAMP)
    return rows.filter(~ahead.fill_null(value=False))


def whole_hours(
    rows: pl.DataFrame,
    note: Note,
    source: str | None = None,
    unreadable: str = "timestamp_format",
) -> pl.DataFrame:
    """The rows that stand for an hour: those of UTC, or those of the station's zone.

    Zones of half and quarter hours have theirs at :15, :30 or :45 UTC, all at the same minute. A
    source that has others beside them sends something shorter.

    Args:
        rows: With `hour` (UTC), null where the stamp could not be read, and `source`.
        note: Is handed the others.
        source: Name of a column: whose hours begin at the same minute, such as the station.
            Without, hours are those of UTC alone.
        unreadable: What a stamp is called that could not be read.

    Returns:
        The rows, in their order.
    """
    minute = rows["hour"].to_physical() % _HOUR_US
    if not minute.null_count() and (minute == 0).all():
        return rows
    note(rows.filter(minute.is_null()), unreadable)
    whole = minute == 0
    if source is not None:
        within = pl.col("within")
        alone = within.min().over(source) == within.max().over(source)
        stamped = rows.select(source, within=minute)
        whole |= stamped.select(alone & (within % _QUARTER_US == 0)).to_series()
    note(rows.filter(~whole), "not_a_whole_hour")
    return rows.filter(whole)


def last_of_each_hour(rows: pl.DataFrame, source: str, note: Note) -> pl.DataFrame:
    """The last row of each source and hour; the same row twice, word for word, is one row.

    Args:
        rows: With `hour`, a whole hour within the window asked for, and `source`.
        source: Name of an integer column: what gives an hour once, such as an answer's place.
        note: Is handed the rows that others contradict, as `duplicate_hour`.

    Returns:
        The rows in their order, with `duplicate` for an hour of which rows differ.
    """
    # Source and hour as one integer, since a struct takes five times as long.
    hours = rows["hour"].to_physical() // _HOUR_US
    key = (rows[source].cast(pl.Int64) * (1 << 24) + hours).alias("key")
    if (key.diff().drop_nulls() > 0).all():
        return rows.with_columns(duplicate=pl.lit(value=False))
    rows = rows.with_columns(key).unique(keep="last", maintain_order=True)
    rows = rows.with_columns(duplicate=pl.col("key").is_duplicated())
    repeated = rows.filter("duplicate")
    if not repeated.is_empty():
        note(repeated.filter(~pl.col("key").is_first_distinct()), "duplicate_hour")
        rows = rows.unique("key", keep="last", maintain_order=True)
    return rows.drop("key")


def in_long_form(
    rows: pl.DataFrame, fields: Mapping[str, tuple[str, str]], others: Sequence[str]
) -> pl.DataFrame:
    """Rows with a column for each quantity as rows of one value.

    Args:
        rows: With `answer` (its place), `station_id`, a column for each key of `fields`, and
            `others`.
        fields: Parameter and unit by the network's own key.
        others: Columns to keep.

    Returns:
        `others`, `parameter`, `unit_native` and `value_native`, which is null where the answer has
        the quantity at other hours of the station: one that it lacks altogether is not measured.
    """
    names = {key: parameter for key, (parameter, _) in fields.items()}
    units = {key: unit for key, (_, unit) in fields.items()}
    measured = [key for key in fields if rows[key].null_count() < len(rows)]
    source = ["answer", "station_id"]
    index = [*dict.fromkeys([*source, *others])]
    long = rows.unpivot(measured, index=index, variable_name="field", value_name="value_native")
    absent = long["value_native"].is_null()
    if absent.any():
        measures = rows.group_by(source).agg(pl.col(measured).count())
        lacking = measures.unpivot(measured, index=source, variable_name="field").filter(
            pl.col("value") == 0
        )
        if lacking.height:
            absences = long.filter(absent).join(lacking, on=[*source, "field"], how="anti")
            long = pl.concat([long.filter(~absent), absences])
    field = pl.col("field")
    return long.select(
        *others,
        field.replace_strict(names, return_dtype=PARAMETER).alias("parameter"),
        field.replace_strict(units, return_dtype=pl.Categorical()).alias("unit_native"),
        "value_native",
    )


def versions_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Versions (`VERSION_SCHEMA`) of the complete hours among the rows.

    `rows` has the columns of a version, of which `coverage`, `sensor_id` and `duplicate` may be
    missing. An hour in progress when it was pulled is left out.
    """
    missing = {name: value for name, value in _OPTIONAL.items() if name not in rows.columns}
    return complete_hours(
        rows.with_columns(pl.lit(value).alias(name) for name, value in missing.items()).select(
            pl.col(name).cast(dtype) for name, dtype in VERSION_SCHEMA.items()
        )
    )


def counted(rows: pl.DataFrame, by: str) -> Iterator[tuple[Any, int, str]]:
    """Values of the column `by`, how many rows have each, and the first one's `stamp`."""
    if not rows.is_empty():
        found = rows.group_by(by, maintain_order=True).agg(pl.len(), pl.col("stamp").first())
        for value, count, stamp in found.iter_rows():
            yield value, count, str(stamp)
