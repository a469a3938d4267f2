"""From stored answers to versions: one value a station, parameter and hour."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlparse

import polars as pl

from aq_resources.network_client import Parsed, Problems
from aq_resources.network_toolkit.bodies import is_refusal
from aq_resources.network_toolkit.rows import (
    OUTSIDE_WINDOW,
    begun,
    by_presence,
    counted,
    in_batches,
    note_set_aside,
    versions_of,
)
from aq_resources.networks.openaq.api import PAGE
from aq_resources.networks.openaq.bodies import (
    NAMES,
    Hour,
    Latest,
    hour_of,
    records_of,
    source_of,
)
from aq_resources.networks.openaq.files import FileReader
from aq_resources.networks.openaq.locations import Sensor, sensors
from aq_resources.networks.openaq.rows import ROW_SCHEMA, OpenAQRows
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science import sensor_choice
from aq_science.stations import usable_zone
from aq_science.versions import WHOLE_SCHEMA
from aq_science.windows import HOUR

# Sensors of a station are asked one after another: what came within so long came together.
TOGETHER = HOUR


def read_answers(answers: Iterable[RawAnswer]) -> Parsed:
    """Readings of stored answers; what their rows leave out is looked up in the locations."""
    rows = OpenAQRows()

    def set_aside(answer: RawAnswer, error: BaseException) -> None:
        source = source_of(answer.url)
        note_set_aside(answer, source, error, rows.problems)
        rows.sources_with_problems.add(source)

    for part in in_batches(answers, _rows_of, set_aside):
        rows.merge(part)
    known = sensors(rows.locations, Problems())
    unreadable = {
        known[int(name)].station if name.isdecimal() and int(name) in known else name
        for name in rows.sources_with_problems - rows.sources_read
    }
    versions, absences = by_presence(_versions(rows, known))
    return Parsed(
        select_sensor(versions),
        rows.problems,
        tuple(sorted(unreadable)),
        absences,
        _whole(rows, known),
    )


def _rows_of(batch: Iterable[RawAnswer]) -> OpenAQRows:
    reader = _Reader()
    for answer in batch:
        reader.add(answer)
    return reader.close()


class _Reader:
    """Takes answers in."""

    def __init__(self) -> None:
        self._rows = OpenAQRows()
        self._problems = self._rows.problems
        self._files = FileReader(self._rows)
        # Rows that are in no frame yet.
        self._batch: list[tuple[Any, ...]] = []

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's rows, or note why there are none."""
        source = source_of(answer.url)
        if is_refusal(answer, {source}, self._problems):
            return
        path = urlparse(answer.url).path
        if path.endswith(".csv.gz"):
            self._files.add(answer)
        elif re.search(r"/locations(/\d+)?$", path):
            self._rows.locations.append(answer)
            # Read now for what is wrong with it; its sensors are needed at the end alone.
            sensors([answer], self._problems)
        else:
            known, before = self._problems.total, len(self._batch)
            if re.search(r"/sensors/\d+/(hours|measurements)$", path):
                self._add_hours(answer, int(source))
            elif path.endswith("/latest"):
                self._add_latest(answer)
            if self._problems.total > known:
                self._rows.sources_with_problems.add(source)
            if len(self._batch) > before:
                self._rows.sources_read.add(source)

    def _add_hours(self, answer: RawAnswer, sensor: int) -> None:
        start, end = answer.readable
        seen: dict[datetime, tuple[str, str, float | None, float | None, bool]] = {}
        known = self._problems.total
        rows = records_of(answer, Hour, self._problems)
        inside = [row for row in rows if start + HOUR <= row.period.datetime_to.utc < end + HOUR]
        # The hour before is no other time: some count both ends of a window.
        if not inside and any(row.period.datetime_to.utc != start for row in rows):
            example = rows[0].period.datetime_to.utc.isoformat()
            self._problems.add(str(sensor), OUTSIDE_WINDOW, example, len(rows))
        for row in inside:
            ends = row.period.datetime_to.utc
            if hour_of(row.period) is None:
                self._problems.add(str(sensor), "not_an_hour", f"hour ending {ends.isoformat()}")
                continue
            # A gap in the data is a row without a value, whatever coverage it claims.
            if row.value is not None and not math.isfinite(row.value):
                self._problems.add(str(sensor), "not_a_number", f"{ends.isoformat()}: {row.value}")
                continue
            parameter = row.parameter
            content = (parameter.name, parameter.units, row.value, row.share, row.doubted)
            # The same row twice is one row.
            if seen.get(ends) == content:
                continue
            if ends in seen:
                self._problems.add(str(sensor), "duplicate_hour", ends.isoformat())
            seen[ends] = content
            self._batch.append(
                (
                    sensor,
                    None,
                    *content[:2],
                    ends,
                    *content[2:4],
                    start,
                    end,
                    answer.pulled_at,
                    False,
                    content[4],
                )
            )
        if seen and self._problems.total == known and _is_whole(answer, len(rows)):
            self._rows.whole.append((sensor, start, max(seen), answer.pulled_at))

    def _add_latest(self, answer: RawAnswer) -> None:
        start, end = answer.readable
        for row in records_of(answer, Latest, self._problems):
            hour = row.datetime.hour_ended
            # The last of a sensor that reports more often than hourly is no hour's mean.
            if row.value is None or hour is None or not start <= hour < end:
                continue
            if not math.isfinite(row.value):
                self._problems.add(str(row.sensors_id), "not_a_number", str(row.value))
                continue
            # A row names neither parameter nor unit; its sensor does.
            self._batch.append(
                (
                    *(row.sensors_id, None, None, None, row.datetime.utc, row.value, None),
                    *(*answer.readable, answer.pulled_at, False, False),
                )
            )

    def close(self) -> OpenAQRows:
        """The rows of everything added."""
        self._rows.frames.append(pl.DataFrame(self._batch, schema=ROW_SCHEMA, orient="row"))
        self._files.close()
        return self._rows


def _versions(found: OpenAQRows, known: dict[int, Sensor]) -> pl.DataFrame:
    rows = _described(found, known)
    rows = rows.filter(pl.col("station_id").is_not_null(), pl.col("parameter").is_not_null())
    rows = _full_local_hours(rows, found.problems)
    rows = begun(rows, partial(_note, found.problems))
    keys = ["sensor", "hour", "pulled_at", "start", "end"]
    rows = rows.with_columns(
        duplicate=pl.col("duplicate") | pl.struct(keys).is_duplicated(),
        sensor_id=pl.col("sensor").cast(pl.String()),
    ).unique(keys, keep="last", maintain_order=True)
    return versions_of(rows)


def _whole(found: OpenAQRows, known: dict[int, Sensor]) -> pl.DataFrame:
    """The windows of which an answer names every hour that has a value, as `WHOLE_SCHEMA`."""
    rows = [
        (known[sensor].station, known[sensor].parameter, str(sensor), *times)
        for sensor, *times in found.whole
        if sensor in known
    ]
    return pl.DataFrame(rows, schema=WHOLE_SCHEMA, orient="row")


def _is_whole(answer: RawAnswer, rows: int) -> bool:
    """Whether an answer is the first page of its question and the last one."""
    limit = answer.params.get("limit", "")
    whole = rows < (int(limit) if limit.isdecimal() else PAGE)
    return whole and answer.params.get("page", "1") == "1"


def _described(found: OpenAQRows, known: dict[int, Sensor]) -> pl.DataFrame:
    """Every row, with what its sensor's location says where the answer does not."""
    listed = pl.DataFrame(
        [
            (sensor.sensor_id, sensor.station, sensor.parameter, sensor.unit, sensor.timezone)
            for sensor in known.values()
        ],
        schema={
            "sensor": pl.Int64(),
            "listed_station": pl.String(),
            "listed_parameter": pl.String(),
            "listed_unit": pl.String(),
            "zone": pl.String(),
        },
        orient="row",
    )
    rows = pl.concat(found.frames).join(listed, on="sensor", how="left", maintain_order="left")
    rows = rows.with_columns(
        pl.coalesce("station", "listed_station").alias("station_id"),
        pl.coalesce(
            pl.col("name").replace_strict(NAMES, default=None, return_dtype=pl.String()),
            pl.when(pl.col("name").is_null()).then("listed_parameter"),
        ).alias("parameter"),
        pl.coalesce("unit_native", "listed_unit").alias("unit_native"),
        # A stamp marks the hour's end.
        hour=pl.col("ends") - pl.duration(hours=1),
    )
    # Of the whole world's latest values most are strangers; asked for by number, none is.
    strangers = (
        rows.filter(pl.col("station_id").is_null(), pl.col("name").is_not_null())
        .group_by("sensor", maintain_order=True)
        .len()
    )
    for sensor, count in strangers.iter_rows():
        found.problems.add(str(sensor), "unknown_sensor", "in no location's answer", count)
    return rows


def _full_local_hours(rows: pl.DataFrame, problems: Problems) -> pl.DataFrame:
    """Without hours that begin at :15, :30 or :45 where that is no full hour of the station's zone.

    A station of no known zone may have them: its network says that they are hours.
    """
    between = pl.col("hour").dt.minute() != 0
    odd = rows.filter(between)
    if odd.is_empty():
        return rows
    zones = {name: usable_zone(name) for name in odd["zone"].unique().drop_nulls().to_list()}
    wrong = [
        odd.filter(
            pl.col("zone") == name, pl.col("hour").dt.convert_time_zone(zone).dt.minute() != 0
        )
        for name, zone in zones.items()
        if zone is not None
    ]
    bad = pl.concat([odd.clear(), *wrong])
    _note(problems, bad, "not_an_hour")
    return rows.join(bad, on=["sensor", "hour"], how="anti", maintain_order="left")


def _note(problems: Problems, bad: pl.DataFrame, kind: str) -> None:
    for sensor, count, ends in counted(bad.with_columns(stamp="ends"), "sensor"):
        problems.add(str(sensor), kind, f"hour ending {ends}", count)


def select_sensor(versions: pl.DataFrame) -> pl.DataFrame:
    """Versions of one sensor a station, parameter and hour, by OpenAQ's preference."""
    return sensor_choice.select_sensor(versions, sensor_choice.canonical_unit_then_newest, TOGETHER)
