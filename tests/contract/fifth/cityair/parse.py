"""From stored answers to versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
from aq_resources.networks.cityair.bodies import FIELDS, records_of, station_of

from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import is_refusal
from aq_resources.network_toolkit.rows import (
    beside,
    counted,
    in_long_form,
    last_of_each_hour,
    requests_of,
    versions_of,
    whole_hours,
    within_window,
)
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.versions import VERSION_SCHEMA


@dataclass
class CityAirRows:
    """Records of many answers (see `ParsedRows`)."""

    problems: Problems
    unreadable: set[str]
    answers: list[RawAnswer] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    stamps: list[datetime] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=lambda: {k: [] for k in FIELDS})

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's records, or note why there are none."""
        station = station_of(answer)
        if is_refusal(answer, {station}, self.problems):
            return
        records = records_of(answer, self.problems)
        if records is None:
            self.unreadable.add(station)
            return
        self.places += [len(self.answers)] * len(records)
        self.answers.append(answer)
        self.stamps += [record.hour_end for record in records]
        for key, values in self.columns.items():
            values += [getattr(record, key) for record in records]

    def versions(self) -> pl.DataFrame:
        """Everything added; of an hour given twice the last value stands."""
        if not self.answers:
            return VERSION_SCHEMA.to_frame()
        stamps = pl.Series("stamp", self.stamps, pl.Datetime("us", "UTC"))
        rows = pl.DataFrame(
            {"answer": self.places, "stamp": stamps, **self.columns},
            schema_overrides={"answer": pl.Int64(), **dict.fromkeys(FIELDS, pl.Float64())},
        ).with_columns(hour=pl.col("stamp") - pl.duration(hours=1))
        requests = requests_of(self.answers).with_columns(
            station_id=pl.Series([station_of(answer) for answer in self.answers])
        )
        rows = beside(rows, "answer", requests)
        rows = within_window(rows, "answer", self._note)
        rows = last_of_each_hour(whole_hours(rows, self._note), "answer", self._note)
        return versions_of(
            in_long_form(rows, FIELDS, ["station_id", "hour", "duplicate", "pulled_at"])
        )

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        for place, count, stamp in counted(bad, "answer"):
            self.problems.add(station_of(self.answers[place]), kind, stamp, count)
