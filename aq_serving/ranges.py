"""Rows of a table of the warehouse within a range of its time: one page, by key.

The statement is made of declared names alone; whatever a request says is bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from aq_resources.documents.columns import plain_schema
from aq_resources.warehouse.ddl import sql_type
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_science.tables.core import Table
from aq_serving.cursors import Key
from aq_serving.parsing import check_range, parse_day, parse_instant
from aq_serving.queries import Days, Instants
from aq_serving.reader import Reader

Bounds = tuple[date | datetime, date | datetime]

# Longest ranges in days: for all stations, and for those that a request names.
INSTANT_LIMITS = (31, 366)
DAY_LIMITS = (366, 3660)


@dataclass(frozen=True)
class Wanted:
    """What a request wants of a table.

    Attributes:
        order: Columns by which pages are cut: the time first, then the rest of the key.
        equal: Columns, and the values of which each has to have one.
        bounds: Start and end of the first column of `order`; None for all.
        key: Behind which row the page begins.
        limit: Most rows.
    """

    order: tuple[str, ...]
    equal: Sequence[tuple[str, list[Any]]]
    bounds: Bounds | None
    key: Key | None
    limit: int


def instants_of(asked: Instants, *, known_stations: bool) -> Bounds:
    """The range of instants that is asked for.

    Raises:
        ProblemError: An end is wrong, or the range too long.
    """
    start, end = parse_instant(asked.start, "start"), parse_instant(asked.end, "end")
    return check_range(start, end, INSTANT_LIMITS[known_stations])


def days_of(asked: Days, *, known_stations: bool) -> Bounds:
    """The range of days that is asked for.

    Raises:
        ProblemError: An end is wrong, or the range too long.
    """
    start, end = parse_day(asked.start, "start"), parse_day(asked.end, "end")
    return check_range(start, end, DAY_LIMITS[known_stations])


def order_of(table: Table, time: str | None) -> tuple[str, ...]:
    """The table's key with its time first: neighbours in time are neighbours in the files."""
    return tuple(dict.fromkeys([*([time] if time else []), *table.key]))


def read_page(reader: Reader, table: Table, wanted: Wanted) -> pl.DataFrame:
    """One row more than the page has, where there is one.

    Args:
        reader: Reads.
        table: Of the warehouse.
        wanted: Which rows.

    Returns:
        In the table's columns, sorted by `wanted.order`.

    Raises:
        ProblemError: It cannot be read now.
    """
    sql, values = statement(table, wanted)
    return reader.query(sql, values).cast(plain_schema(table))


def statement(table: Table, wanted: Wanted) -> tuple[str, list[Any]]:
    """The statement of `read_page`, and what is bound in it."""
    clauses, values = ["true"], list[Any]()
    for column, allowed in wanted.equal:
        clauses.append(f"{column} = ANY(?::{_type(table, column)}[])")
        values.append(allowed)
    if wanted.bounds is not None:
        kind = _type(table, wanted.order[0])
        clauses.append(f"{wanted.order[0]} >= ?::{kind} AND {wanted.order[0]} < ?::{kind}")
        values += wanted.bounds
    if wanted.key is not None:
        # The first column by itself as well: by it files are left out.
        kinds = [_type(table, column) for column in wanted.order]
        clauses.append(f"{wanted.order[0]} >= ?::{kinds[0]}")
        row = ", ".join(f"?::{kind}" for kind in kinds)
        clauses.append(f"({', '.join(wanted.order)}) > ({row})")
        values += [wanted.key[0], *wanted.key]
    sql = (
        f"SELECT {', '.join(table.schema)} FROM {UNION_SCHEMA}.{table.name} "
        f"WHERE {' AND '.join(clauses)} ORDER BY {', '.join(wanted.order)} LIMIT ?"
    )
    return sql, [*values, wanted.limit + 1]


def _type(table: Table, column: str) -> str:
    return sql_type(table.schema[column])
