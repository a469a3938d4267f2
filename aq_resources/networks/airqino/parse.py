"""From stored answers to versions: rows with a column for each quantity."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import is_refusal
from aq_resources.network_toolkit.rows import (
    FUTURE_STAMP,
    OUTSIDE_WINDOW,
    beside,
    counted,
    in_long_form,
    instant,
    last_of_each_hour,
    requests_of,
    versions_of,
    whole_hours,
    within_window,
)
from aq_resources.networks.airqino.bodies import FIELDS, STAMP, rows_of, station_of
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.versions import VERSION_SCHEMA


@dataclass
class AirQinoRows:
    """Rows of many answers (see `ParsedRows`)."""

    problems: Problems
    unreadable: set[str]
    answers: list[RawAnswer] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    columns: dict[str, list[float | None]] = field(default_factory=lambda: {k: [] for k in FIELDS})
    # Places in `answers`.
    answers_with_problems: set[int] = field(default_factory=set)

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's rows, or note why there are none."""
        station = station_of(answer)
        if is_refusal(answer, {station}, self.problems):
            return
        known = self.problems.total
        rows = rows_of(answer, self.problems, self.unreadable)
        if rows is None:
            return
        if self.problems.total > known:
            self.answers_with_problems.add(len(self.answers))
        stamps, columns = rows
        self.answers.append(answer)
        self.counts.append(len(stamps))
        self.stamps += stamps
        for key, values in columns.items():
            self.columns[key] += values

    def versions(self) -> pl.DataFrame:
        """Everything added; of an hour given twice the last value stands."""
        if not self.answers:
            return VERSION_SCHEMA.to_frame()
        stations = [station_of(answer) for answer in self.answers]
        requests = requests_of(self.answers).with_columns(
            station_id=pl.Series(stations, dtype=pl.Categorical())
        )
        rows = beside(self._frame(), "answer", requests)
        rows = whole_hours(within_window(rows, "answer", self._note), self._note, "answer")
        without_rows = self.answers_with_problems - set(rows["answer"].unique().to_list())
        self.unreadable |= {station_of(self.answers[place]) for place in without_rows}
        rows = last_of_each_hour(rows, "answer", self._note)
        return versions_of(
            in_long_form(rows, FIELDS, ["station_id", "hour", "duplicate", "pulled_at"])
        )

    def _frame(self) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "answer": np.repeat(np.arange(len(self.answers)), self.counts),
                "stamp": self.stamps,
                **self.columns,
            },
            schema={
                "answer": pl.Int64(),
                "stamp": pl.String(),
                **dict.fromkeys(FIELDS, pl.Float64()),
            },
        ).with_columns(hour=instant(pl.col("stamp"), STAMP))

    def _note(self, bad: pl.DataFrame, kind: str) -> None:
        for place, count, stamp in counted(bad, "answer"):
            self.problems.add(station_of(self.answers[place]), kind, stamp, count)
            if kind not in (OUTSIDE_WINDOW, FUTURE_STAMP):
                self.answers_with_problems.add(place)
