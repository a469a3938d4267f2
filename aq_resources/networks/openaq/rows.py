"""Rows on their way from answers to versions, whether of the interface or of the archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from aq_resources.network_client import Problems
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.tables.types import INSTANT

# Station, parameter's name and unit are null where an answer does not say; the sensor knows them.
ROW_SCHEMA = pl.Schema(
    {
        "sensor": pl.Int64(),
        "station": pl.String(),
        "name": pl.String(),
        "unit_native": pl.String(),
        "ends": INSTANT,
        "value_native": pl.Float64(),
        "coverage": pl.Float64(),
        "start": INSTANT,
        "end": INSTANT,
        "pulled_at": INSTANT,
        "duplicate": pl.Boolean(),
        "provider_flag": pl.Boolean(),
    }
)

# Answers that name every hour of their window that has a value.
WHOLE_ROWS = pl.Schema(
    {"sensor": pl.Int64(), **dict.fromkeys(("start", "end", "pulled_at"), INSTANT)}
)


@dataclass
class OpenAQRows:
    """The rows of some answers; which sources (sensors, stations) gave some or had a problem.

    `locations` are the answers that say which sensor is whose.
    """

    problems: Problems = field(default_factory=Problems)
    frames: list[pl.DataFrame] = field(default_factory=lambda: [ROW_SCHEMA.to_frame()])
    sources_with_problems: set[str] = field(default_factory=set)
    sources_read: set[str] = field(default_factory=set)
    whole: list[tuple[int, datetime, datetime, datetime]] = field(default_factory=list)
    locations: list[RawAnswer] = field(default_factory=list)

    def merge(self, other: OpenAQRows) -> None:
        """Add what was read of other answers."""
        self.problems.merge(other.problems)
        self.frames += other.frames
        self.sources_with_problems |= other.sources_with_problems
        self.sources_read |= other.sources_read
        self.locations += other.locations
        self.whole += other.whole

    def note(self, source: str, kind: str, example: str) -> None:
        """Note what is wrong with an answer or a row of it.

        Args:
            source: The sensor's or station's id.
            kind: What is wrong, in one snake_case word.
            example: The row, or what is wrong with it.
        """
        self.problems.add(source, kind, example)
        self.sources_with_problems.add(source)
