"""What a declared table is: columns with unit and text, key, and its rules as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import polars as pl

from aq_science.windows import Window


@dataclass(frozen=True)
class Column:
    """A column. `unit` is a unit (`1` for shares) or the column that holds it; None without one."""

    name: str
    dtype: pl.DataType
    text: str
    unit: str | None = None

    @property
    def described(self) -> str:
        """Text and unit, for people."""
        return self.text if self.unit is None else f"{self.text} [{self.unit}]"


# Compared by identity: what `==` makes of two expressions is a third.
@dataclass(frozen=True, eq=False)
class Rule:
    """What every row has to fulfil.

    `broken` is true for the rows that do not; null counts as false. It is evaluated on whole
    partitions, so that it may look over a partition's other rows. Nothing builds on rows that
    break a `blocking` rule.
    """

    name: str
    text: str
    broken: pl.Expr
    blocking: bool = False


@dataclass(frozen=True)
class Table:
    """A declared table.

    `window` is the column that says which partition a row belongs to (None: replaced whole). A
    column of dates means days, one of times hours, or days where `of_days` says so: parts of a day
    can then be replaced.
    `protected` is a condition in SQL on rows that only rows meeting it themselves may replace.
    """

    name: str
    text: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    window: str | None = None
    of_days: bool = False
    protected: str | None = None

    @property
    def has_daily_partitions(self) -> bool:
        """Whether its partitions are days rather than hours."""
        return self.of_days or (self.window is not None and self.schema[self.window] == pl.Date())

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns in order, with their types in memory."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def bounds(self, window: Window) -> tuple[date, date] | tuple[datetime, datetime]:
        """The window in the type of the window column; its end is excluded."""
        if self.window is not None and self.schema[self.window] == pl.Date():
            return window.start.date(), window.end.date()
        return window.start, window.end

    @property
    def read_by_rules(self) -> list[str]:
        """Columns that the rules look at, and those of the key, in the table's order."""
        named = {name for rule in self.rules for name in rule.broken.meta.root_names()}
        return [name for name in self.schema.names() if name in named | set(self.key)]


def broken_rows(table: Table, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows that break each rule, by the rule's name.

    Args:
        table: Whose rules.
        rows: Whole partitions with at least the columns of `Table.read_by_rules`.

    Returns:
        A frame for every rule, empty where no row breaks it.
    """
    verdicts = rows.select(
        rule.broken.fill_null(value=False).alias(rule.name) for rule in table.rules
    )
    return {rule.name: rows.filter(verdicts[rule.name]) for rule in table.rules}
