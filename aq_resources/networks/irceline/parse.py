"""From stored answers to versions: points of many series."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from aq_resources.network_client import Problems
from aq_resources.network_toolkit.rows import (
    beside,
    counted,
    last_of_each_hour,
    versions_of,
    whole_hours,
    within_window,
)
from aq_resources.networks.irceline.bodies import (
    Meanings,
    Point,
    Series,
    SeriesMeaning,
    meanings_of,
    parameter_of,
    series_of,
)
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.tables.types import INSTANT
from aq_science.versions import VERSION_SCHEMA

MISSING_BELOW = -99.9
_HOUR_MS = 3_600_000
_SERIES_SCHEMA = {
    **{name: VERSION_SCHEMA[name] for name in ("station_id", "parameter", "unit_native")},
    "sensor_id": VERSION_SCHEMA["sensor_id"],
    **dict.fromkeys(("start", "end", "pulled_at"), INSTANT),
}


@dataclass
class IrcelineRows:
    """Points of many answers (see `ParsedRows`)."""

    problems: Problems
    unreadable: set[str]
    # One row a series of an answer (`_SERIES_SCHEMA`), and how many points it has.
    series: list[tuple[str, str, str | None, str, datetime, datetime, datetime]] = field(
        default_factory=list
    )
    counts: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's points, or note why there are none."""
        meanings = meanings_of(answer, self.problems)
        if meanings is None:
            return
        found = series_of(answer, meanings, self.problems, self.unreadable)
        if found is None:
            return
        for series_id, meaning in meanings.items():
            if series_id not in found:
                self.problems.add(meaning.station, "series_absent", series_id)
        for series_id, values in found.items():
            if (known := meanings.get(series_id)) is None:
                self.problems.add("unknown", "series_not_asked_for", series_id)
            elif values is not None:
                self._take(series_id, known, values.values, answer)
        self._note_unreadable(meanings, found)

    def _take(
        self, series_id: str, meaning: SeriesMeaning, points: list[Point], answer: RawAnswer
    ) -> None:
        parameter = parameter_of(meaning.phenomenon)
        if parameter is None:
            return
        times = (*answer.readable, answer.pulled_at)
        self.series.append((meaning.station, parameter, meaning.uom or None, series_id, *times))
        self.counts.append(len(points))
        self.stamps += [point.timestamp for point in points]
        self.values += [point.value for point in points]

    def _note_unreadable(self, meanings: Meanings, found: Series) -> None:
        """Stations of which every series has lost its form."""
        sound = {
            meanings[series_id].station
            for series_id, values in found.items()
            if series_id in meanings and values is not None
        }
        self.unreadable |= {meaning.station for meaning in meanings.values()} - sound

    def versions(self) -> pl.DataFrame:
        """Everything added; of an hour given twice by a series the last value stands."""
        if not self.series:
            return VERSION_SCHEMA.to_frame()
        series = pl.DataFrame(self.series, schema=_SERIES_SCHEMA, orient="row")
        rows = beside(self._frame(), "place", series)
        rows = whole_hours(within_window(rows, "place", self._note), self._note, "place")
        rows = last_of_each_hour(rows, "place", self._note)
        value = pl.col("value_native")
        present = value.is_finite() & (value > MISSING_BELOW)
        return versions_of(rows.with_columns(value_native=pl.when(present).then(value)))

    def _frame(self) -> pl.DataFrame:
        places = np.repeat(np.arange(len(self.series)), self.counts)
        return pl.DataFrame(
            {"place": places, "stamp": self.stamps, "value_native": self.values},
            schema_overrides={"stamp": pl.Int64(), "value_native": pl.Float64()},
        ).with_columns(
            # A stamp marks the hour's end.
            hour=pl.from_epoch(pl.col("stamp") - _HOUR_MS, "ms").cast(INSTANT)
        )

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        for place, count, stamp in counted(bad, "place"):
            station, _, _, series_id, *_ = self.series[place]
            self.problems.add(station, kind, f"{series_id}: {stamp}", count)
