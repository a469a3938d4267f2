"""Rows on their way from answers to versions, and what was met on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from aq_resources.networks._client import Problems
from aq_science.readings import INSTANT

# Station, parameter's name and unit are null where an answer does not say; the sensor knows them.
DRAFT = pl.Schema(
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
    }
)


@dataclass
class Drafts:
    """The rows of some answers, and which subjects gave some or had a problem."""

    problems: Problems = field(default_factory=Problems)
    frames: list[pl.DataFrame] = field(default_factory=lambda: [DRAFT.to_frame()])
    troubled: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)

    def trouble(self, subject: str, kind: str, example: str) -> None:
        """Note what is wrong with an answer or a row of it."""
        self.problems.add(subject, kind, example)
        self.troubled.add(subject)
