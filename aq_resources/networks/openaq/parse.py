"""From stored answers to versions: one value a station, parameter and hour."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlparse

import httpx
import polars as pl

from aq_resources.networks._client import Parsed, Problems
from aq_resources.networks.openaq.bodies import NAMES, Hour, Latest, hour_ending, read, subject
from aq_resources.networks.openaq.choice import one_sensor_an_hour
from aq_resources.networks.openaq.drafts import DRAFT, Drafts
from aq_resources.networks.openaq.files import FileReader
from aq_resources.networks.openaq.locations import Sensor, sensors
from aq_resources.raw_pulls import RawAnswer
from aq_science.readings import PARAMETER, complete_hours

# Rows that are turned into a frame at once.
BATCH_ROWS = 200_000


class Reader:
    """Readings of stored answers; what their rows leave out is looked up in the locations."""

    def __init__(self) -> None:
        self._drafts = Drafts()
        self._problems = self._drafts.problems
        self._files = FileReader(self._drafts)
        self._locations: list[RawAnswer] = []
        self._rows: list[tuple[Any, ...]] = []

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's rows, or note why there are none."""
        name = subject(answer.url)
        if answer.status != httpx.codes.OK:
            self._problems.add(name, f"status_{answer.status}", answer.body)
            return
        path = urlparse(answer.url).path
        if path.endswith(".csv.gz"):
            self._files.add(answer)
        elif re.search(r"/locations(/\d+)?$", path):
            self._locations.append(answer)
            # Read now for what is wrong with it; its sensors are needed at the end alone.
            sensors([answer], self._problems)
        else:
            known, before = self._problems.total, len(self._rows)
            if re.search(r"/sensors/\d+/(hours|measurements)$", path):
                self._add_hours(answer, int(name))
            elif path.endswith("/latest"):
                self._add_latest(answer)
            if self._problems.total > known:
                self._drafts.troubled.add(name)
            if len(self._rows) > before:
                self._drafts.read.add(name)
            if len(self._rows) >= BATCH_ROWS:
                self._close_batch()

    def _add_hours(self, answer: RawAnswer, sensor: int) -> None:
        start, end = answer.window
        seen: set[datetime] = set()
        for row in read(answer, Hour, self._problems):
            ends = row.period.datetime_to.utc
            hour = hour_ending(ends)
            if hour is None or hour != row.period.datetime_from.utc:
                self._problems.add(str(sensor), "not_an_hour", f"hour ending {ends.isoformat()}")
                continue
            # A gap in the data is a row without a value, whatever coverage it claims.
            if row.value is None:
                continue
            if ends in seen:
                self._problems.add(str(sensor), "duplicate_hour", ends.isoformat())
            seen.add(ends)
            self._rows.append(
                (
                    sensor,
                    None,
                    row.parameter.name,
                    row.parameter.units,
                    ends,
                    row.value,
                    row.share,
                    start,
                    end,
                    answer.pulled_at,
                    False,
                )
            )

    def _add_latest(self, answer: RawAnswer) -> None:
        for row in read(answer, Latest, self._problems):
            # The last of a sensor that reports more often than hourly is no hour's mean.
            if row.value is None or hour_ending(row.datetime.utc) is None:
                continue
            # A row names neither parameter nor unit; its sensor does.
            self._rows.append(
                (
                    *(row.sensors_id, None, None, None, row.datetime.utc, row.value, None),
                    *(*answer.window, answer.pulled_at, False),
                )
            )

    def _close_batch(self) -> None:
        self._drafts.frames.append(pl.DataFrame(self._rows, schema=DRAFT, orient="row"))
        self._rows = []

    def parsed(self) -> Parsed:
        """Everything added, by station and hour."""
        self._close_batch()
        self._files.close()
        known = sensors(self._locations, Problems())
        unreadable = tuple(
            sorted(
                {
                    known[int(name)].station if name.isdecimal() and int(name) in known else name
                    for name in self._drafts.troubled - self._drafts.read
                }
            )
        )
        return Parsed(self._versions(known), self._problems, unreadable)

    def _versions(self, known: dict[int, Sensor]) -> pl.DataFrame:
        draft = pl.concat(self._drafts.frames)
        listed = pl.DataFrame(
            [
                (sensor.sensor_id, sensor.station, sensor.parameter, sensor.unit)
                for sensor in known.values()
            ],
            schema={
                "sensor": pl.Int64(),
                "listed_station": pl.String(),
                "listed_parameter": pl.String(),
                "listed_unit": pl.String(),
            },
            orient="row",
        )
        rows = draft.join(listed, on="sensor", how="left", maintain_order="left").with_columns(
            pl.coalesce("station", "listed_station").alias("station_id"),
            pl.coalesce(
                pl.col("name").replace_strict(NAMES, default=None, return_dtype=pl.String()),
                pl.when(pl.col("name").is_null()).then("listed_parameter"),
            ).alias("parameter"),
            pl.coalesce("unit_native", "listed_unit").alias("unit_native"),
            hour=pl.col("ends") - pl.duration(hours=1),
        )
        # Of the whole world's latest values most are strangers; asked for by number, none is.
        strangers = (
            rows.filter(pl.col("station_id").is_null(), pl.col("name").is_not_null())
            .group_by("sensor", maintain_order=True)
            .len()
        )
        for sensor, count in strangers.iter_rows():
            self._problems.add(str(sensor), "unknown_sensor", "in no location's answer", count)
        rows = rows.filter(
            pl.col("station_id").is_not_null(),
            pl.col("parameter").is_not_null(),
            pl.col("hour").is_between("start", "end", closed="left"),
        )
        keys = ["sensor", "hour", "pulled_at", "start", "end"]
        rows = rows.with_columns(
            duplicate=pl.col("duplicate") | pl.struct(keys).is_duplicated()
        ).unique(keys, keep="last", maintain_order=True)
        versions = rows.select(
            pl.col("station_id").cast(pl.Categorical()),
            pl.col("parameter").cast(PARAMETER),
            "hour",
            "value_native",
            pl.col("unit_native").cast(pl.Categorical()),
            "coverage",
            pl.col("sensor").cast(pl.String()).cast(pl.Categorical()).alias("sensor_id"),
            "duplicate",
            "pulled_at",
        )
        return one_sensor_an_hour(complete_hours(versions))
