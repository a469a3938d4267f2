"""Read-only SQL over the warehouse, printed as a table, CSV or JSON."""

from __future__ import annotations

import csv
import re
from datetime import date, datetime, time
from typing import Any, TextIO

import duckdb
import msgspec
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from aq_platform.demo import rich_table
from aq_resources.failures import PermanentFailure
from aq_resources.networks import network_attribution
from aq_resources.platform import Platform
from aq_resources.warehouse import UNION_SCHEMA

_COLUMN_WIDTH = 8
_ENDLESS = 100_000

_MOST_BITS = 63


def run_query(
    platform: Platform, sql: str, form: str, console: Console, stream: TextIO
) -> list[str]:
    """Print the result of ``sql``; whom to name for it, unless it is a table to look at.

    Raises `PermanentFailure` with DuckDB's own explanation.
    """
    connection = platform.warehouse.connect_read_only()
    try:
        if form == "table":
            relation = connection.sql(sql)
            if relation is not None:
                _print_whole(rich_table(relation.pl()), console)
            return []
        stations = _stations(connection)
        cursor = connection.execute(sql)
        names = _distinct([column[0] for column in cursor.description or ()])
        rows = cursor.fetchall()
    except duckdb.Error as error:
        raise PermanentFailure(f"The query failed: {error}") from error
    finally:
        connection.close()
    if form == "json":
        encoder = msgspec.json.Encoder(decimal_format="number")
        records = [dict(zip(names, map(_in_json, row), strict=True)) for row in rows]
        stream.write(encoder.encode(records).decode() + "\n")
    else:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_in_a_cell(value) for value in row] for row in rows)
    return _named(stations, sql, names, rows)


def _stations(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str | None]]:
    """Network, station and attribution of every station; none in a warehouse without any."""
    try:
        return connection.execute(
            f"SELECT network, station_id, attribution FROM {UNION_SCHEMA}.stations"
        ).fetchall()
    except duckdb.CatalogException:
        return []


def _named(
    stations: list[tuple[str, str, str | None]], sql: str, names: list[str], rows: list[Any]
) -> list[str]:
    """Whom to name for the networks that ``sql`` mentions, narrowed to those and to the stations
    that the result shows.
    """
    words = set(re.findall(r"\w+", sql.casefold()))
    named = [one for one in stations if words & {one[0], UNION_SCHEMA}] if rows else []
    for place, column in enumerate(("network", "station_id")):
        if column in names:
            shown = {str(row[names.index(column)]) for row in rows}
            # A column of that name may hold something else.
            named = [one for one in named if one[place] in shown] or named
    return sorted({text or network_attribution(network) for network, _, text in named})


def _print_whole(table: Table, console: Console) -> None:
    """Print with no column squeezed to nothing; in a pipe, with none folded either."""
    if console.is_terminal:
        needed = _COLUMN_WIDTH * len(table.columns)
    else:
        needed = Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum
    console.width = max(console.width, needed)
    console.print(table, crop=False)


def _in_a_cell(value: Any) -> Any:
    """CSV has no lists: they go as JSON."""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return _plain(value)


def _distinct(names: list[str]) -> list[str]:
    """An object has each key once: a repeated column gets a number, as in DuckDB's own tables."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        distinct.append(f"{name}_{count}" if count else name)
    return distinct


def _in_json(value: Any) -> Any:
    """JSON's integers have no end, msgspec's have: larger ones go as they are written."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return msgspec.Raw(str(value).encode())
    return _plain(value)


def _plain(value: Any) -> Any:
    """Times in ISO 8601; everything else as it is."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value
