"""Rows of the archive's files: many files in one read, since a call costs more than a file."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import polars as pl

from aq_resources.network_toolkit.rows import beside, instant, requests_of
from aq_resources.networks.openaq.bodies import NAMES, source_of
from aq_resources.networks.openaq.rows import ROW_SCHEMA, OpenAQRows
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.hours import hourly_means, usable_values

# Names of columns as the documentation has them -> as the files have them.
_COLUMN_NAMES = {"sensor_id": "sensors_id", "unit": "units"}
_COLUMNS = (
    *("location_id", "sensors_id", "location", "datetime", "lat", "lon"),
    *("parameter", "units", "value"),
)
# A local time with its offset.
_OFFSET = "%Y-%m-%dT%H:%M:%S%z"


class _UnevenRowsError(ValueError):
    """A text whose rows are not its lines."""


def header(text: str) -> tuple[str, ...]:
    """Column names in a file's first line."""
    names = text.partition("\n")[0].replace('"', "").strip().split(",")
    return tuple(_COLUMN_NAMES.get(name, name) for name in names)


def rows(names: tuple[str, ...], texts: Iterable[str]) -> pl.DataFrame:
    """Rows of files with the same columns, as text; numbers may be quoted."""
    bodies = (text.partition("\n")[2] for text in texts)
    data = "".join(body if body.endswith("\n") or not body else body + "\n" for body in bodies)
    # With the names in front, since polars takes the first line for the number of columns.
    whole = f"{','.join(names)}\n{data}"
    return pl.read_csv(whole.encode(), schema=dict.fromkeys(names, pl.String()))


def readable(text: str) -> pl.DataFrame:
    """Rows of one file; none where it is no file of the archive's."""
    names = header(text)
    if set(_COLUMNS) <= set(names):
        with suppress(pl.exceptions.PolarsError):
            return rows(names, [text])
    return pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String()))


class FileReader:
    """Takes files and puts their hours among the rows."""

    def __init__(self, rows: OpenAQRows) -> None:
        self._rows = rows
        self._files: list[RawAnswer] = []

    def add(self, answer: RawAnswer) -> None:
        """Keep a file to be read with others."""
        if missing := set(_COLUMNS) - set(header(answer.body)):
            self._rows.note(source_of(answer.url), "no_columns", ", ".join(sorted(missing)))
            return
        self._files.append(answer)

    def close(self) -> None:
        """Read what was kept."""
        by_header: dict[tuple[str, ...], list[RawAnswer]] = {}
        for answer in self._files:
            by_header.setdefault(header(answer.body), []).append(answer)
        for names, answers in by_header.items():
            try:
                self._take(answers, rows(names, (one.body for one in answers)))
            except (pl.exceptions.PolarsError, _UnevenRowsError):
                self._take_one_by_one(names, answers)

    def _take_one_by_one(self, names: tuple[str, ...], answers: list[RawAnswer]) -> None:
        """Files together cannot be read: find the one that is to blame."""
        for answer in answers:
            try:
                self._take([answer], rows(names, [answer.body]))
            except (pl.exceptions.PolarsError, _UnevenRowsError) as error:
                self._rows.note(source_of(answer.url), "csv_form", str(error))

    def _take(self, answers: list[RawAnswer], table: pl.DataFrame) -> None:
        counts = [len(answer.body.rstrip().splitlines()) - 1 for answer in answers]
        if sum(counts) != len(table):
            raise _UnevenRowsError(f"{len(table)} rows in {sum(counts)} lines")
        table = table.with_columns(
            pl.Series("answer", np.repeat(np.arange(len(answers)), counts)),
            stamp=instant(pl.col("datetime").str.replace("Z$", "+00:00"), _OFFSET),
            number=pl.col("value").cast(pl.Float64, strict=False),
            sensor=pl.col("sensors_id").cast(pl.Int64, strict=False),
            # By how much the local clock is beyond full hours of UTC.
            beyond=_beyond_full_hours(pl.col("datetime")),
        )
        good = pl.all_horizontal(
            pl.col("stamp", "sensor", "location_id", "parameter", "units").is_not_null(),
            pl.col("number").is_finite().fill_null(value=False),
        )
        for place, example in table.filter(~good).select("answer", "datetime").iter_rows():
            self._rows.note(source_of(answers[place].url), "row_form", str(example))
        table = table.filter(good).select(
            *("answer", "sensor", "stamp", "beyond", "location_id", "parameter", "units"), "number"
        )
        self._rows.sources_read |= set(table["location_id"].unique().to_list())
        # A file holds what the provider sent, at its own pace: an hour is the mean of what ended in
        # it. Of hourly values that is the value itself. Full hours are those of the local clock.
        beyond = pl.col("beyond")
        hour = (pl.col("stamp") - pl.duration(microseconds=1) + beyond).dt.truncate("1h") - beyond
        requests = requests_of(answers)
        table = (
            beside(table, "answer", requests)
            .with_columns(hour=hour)
            .filter(pl.col("hour") >= pl.col("start"), pl.col("hour") < pl.col("end"))
        )
        moment = ["answer", "sensor", "stamp"]
        table = table.with_columns(twice=pl.struct(moment).is_duplicated())
        if table["twice"].any():
            # The same row twice is one row.
            table = table.unique(keep="last", maintain_order=True)
            table = table.with_columns(twice=pl.struct(moment).is_duplicated())
        for place, count in (
            table.filter(pl.col("twice") & ~pl.struct(moment).is_first_distinct())
            .group_by("answer", maintain_order=True)
            .len()
            .iter_rows()
        ):
            self._rows.problems.add(source_of(answers[place].url), "duplicate_hour", "", count)
        values = table.unique(moment, keep="last", maintain_order=True).select(
            "answer",
            "sensor",
            "twice",
            station="location_id",
            name="parameter",
            parameter=pl.col("parameter").replace_strict(
                NAMES, default=None, return_dtype=pl.String()
            ),
            unit="units",
            ends="stamp",
            hour="hour",
            value="number",
        )
        values = values.with_columns(usable=usable_values(values))
        series = ["answer", "sensor", "station", "name", "unit"]
        key = [*series, "hour"]
        repeated = values.filter("twice").select(*key, "twice").unique()
        hours = beside(hourly_means(values, series), "answer", requests).join(
            repeated, on=key, how="left", maintain_order="left"
        )
        self._rows.frames.append(
            hours.select(
                "sensor",
                "station",
                "name",
                unit_native="unit",
                ends=pl.col("hour") + pl.duration(hours=1),
                value_native="value",
                coverage="coverage",
                start="start",
                end="end",
                pulled_at="pulled_at",
                duplicate=pl.col("twice").fill_null(value=False),
                provider_flag=pl.lit(value=False),
            ).select(ROW_SCHEMA.names())
        )


def _beyond_full_hours(stamp: pl.Expr) -> pl.Expr:
    """Minutes of a stamp's offset beyond full hours, as a duration: 30 min of +05:30, 0 of Z."""
    minutes = stamp.str.extract(r"[+-]\d\d:?(\d\d)$").cast(pl.Int64, strict=False)
    negative = stamp.str.contains(r"-\d\d:?\d\d$")
    return pl.duration(
        minutes=pl.when(negative).then(-minutes).otherwise(minutes).fill_null(0) % 60
    )
