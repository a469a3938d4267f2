"""What a quality test is, and what a suite of them needs to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from aq_science.parameters import PARAMETERS, Parameter
from aq_science.tables.types import FLAGS
from aq_science.windows import Window


class Criterion(NamedTuple):
    """Which readings a test finds, as expressions over the columns of the readings.

    `fires` is true for what is found; null counts as false. `observed` is what was compared with
    `limit`, both in the unit that the test compares in; null where there is nothing to compare.
    """

    fires: pl.Expr
    observed: pl.Expr
    limit: pl.Expr


# A criterion that only has to look closely at a few of the readings is made from them.
MadeFromReadings = Callable[[pl.DataFrame], Criterion]


class MadeAmongNeighbours(NamedTuple):
    """A criterion made from the readings and from which stations are `NEIGHBOURS` of each other."""

    make: Callable[[pl.DataFrame, pl.DataFrame], Criterion]


Entry = Criterion | MadeFromReadings | MadeAmongNeighbours

# Pairs of stations, in both directions.
NEIGHBOURS = pl.Schema({"station_id": pl.Categorical(), "neighbour": pl.Categorical()})

NOTHING = pl.lit(None, pl.Float64)

# Columns that a test may look at in the readings of other days.
SEEN_BY_TESTS = ("station_id", "parameter", "hour", "value", "value_native", "coverage")


def by_parameter(threshold: Callable[[Parameter], float]) -> pl.Expr:
    """The threshold of every row's parameter; column `parameter` has type `PARAMETER`."""
    numbers = pl.Series([threshold(p) for p in PARAMETERS.values()], dtype=pl.Float64)
    return pl.lit(numbers).gather(pl.col("parameter").to_physical())


def found_at(
    count: int, rows: np.ndarray, observed: np.ndarray, limit: np.ndarray | float
) -> Criterion:
    """The criterion that fires on some rows of many.

    Args:
        count: Number of readings.
        rows: The places of those that are found.
        observed: What was compared there, in the order of `rows`.
        limit: And with what.

    Returns:
        The criterion, whose `observed` and `limit` are null on all other rows.
    """
    columns = []
    for numbers in (observed, limit):
        column = np.full(count, np.nan)
        column[rows] = numbers
        columns.append(pl.lit(pl.Series(column, nan_to_null=True)))
    return Criterion(columns[1].is_not_null(), *columns)


def nowhere() -> Criterion:
    """The criterion that fires on no row."""
    return Criterion(pl.repeat(value=False, n=pl.len()), NOTHING, NOTHING)


def made(entry: Entry, readings: pl.DataFrame, neighbours: pl.DataFrame) -> Criterion:
    """The criterion of an entry for some readings.

    Args:
        entry: What a quality test holds.
        readings: The readings, with the columns that the test asks for.
        neighbours: Which of their stations are `NEIGHBOURS` of each other.

    Returns:
        The criterion, good for these readings alone.
    """
    if isinstance(entry, Criterion):
        return entry
    if isinstance(entry, MadeAmongNeighbours):
        return entry.make(readings, neighbours)
    return entry(readings)


def either(*entries: Entry) -> MadeAmongNeighbours:
    """What the first of several ways to look at a reading finds, or else the next."""

    def first(readings: pl.DataFrame, neighbours: pl.DataFrame) -> Criterion:
        criteria = [made(entry, readings, neighbours) for entry in entries]
        fires = [one.fires.fill_null(value=False) for one in criteria]

        def of_the_first(column: str) -> pl.Expr:
            return pl.coalesce(
                pl.when(fired).then(getattr(one, column))
                for fired, one in zip(fires, criteria, strict=True)
            )

        return Criterion(pl.any_horizontal(fires), of_the_first("observed"), of_the_first("limit"))

    return MadeAmongNeighbours(first)


@dataclass(frozen=True)
class QualityTest:
    """A test with its thresholds; `version` goes up when it judges otherwise than before.

    `criteria` holds what it finds, by the flag that it then gives; of several that fire the worst
    flag counts. To decide on an hour the test looks at the hour's whole UTC day and beyond that at
    most `before` back and `after` ahead of the hour, at readings alone and never at other tests'
    findings. Those of neighbouring stations count among what it sees at the same hours.
    """

    name: str
    criteria: Mapping[str, Entry]
    before: timedelta = timedelta()
    after: timedelta = timedelta()
    version: int = 1

    def __post_init__(self) -> None:
        if unknown := self.criteria.keys() - set(FLAGS):
            raise ValueError(f"{self.name}: no such flag: {', '.join(sorted(unknown))}")


@dataclass(frozen=True)
class Suite:
    """Tests in the order in which `reasons` names them."""

    tests: tuple[QualityTest, ...]
    before: timedelta = field(init=False)
    after: timedelta = field(init=False)

    def __post_init__(self) -> None:
        names = self.names
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"tests of one name: {', '.join(sorted(twice))}")
        # Frozen, and yet derived once.
        for side in ("before", "after"):
            longest = max((getattr(test, side) for test in self.tests), default=timedelta())
            object.__setattr__(self, side, longest)

    @property
    def names(self) -> list[str]:
        """The tests' names."""
        return [test.name for test in self.tests]

    def with_context(self, window: Window) -> Window:
        """The hours that the tests look at to decide on those of `window`, which is whole days."""
        return window.padded(before=self.before, after=self.after)

    def affected_days(self, window: Window) -> list[date]:
        """Days outside `window`, which is whole days, whose flags depend on readings within it."""
        reached = window.padded(before=self.after, after=self.before)
        return [day for day in reached.dates if not Window.of_days(day, day).overlaps(window)]
