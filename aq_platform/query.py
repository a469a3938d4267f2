"""Read-only SQL over the warehouse, printed as a table, CSV or JSON."""

from __future__ import annotations

import csv
from datetime import date, datetime, time
from typing import Any, TextIO

import duckdb
import msgspec
from rich.console import Console

from aq_platform.demo import rich_table
from aq_resources.failures import PermanentFailure
from aq_resources.platform import Platform


def run_query(platform: Platform, sql: str, form: str, console: Console, stream: TextIO) -> None:
    """Print the result of ``sql``. Raises `PermanentFailure` with DuckDB's own explanation."""
    connection = platform.warehouse.connect_read_only()
    try:
        if form == "table":
            relation = connection.sql(sql)
            if relation is not None:
                console.print(rich_table(relation.pl()))
            return
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description or ()]
        rows = cursor.fetchall()
    except duckdb.Error as error:
        raise PermanentFailure(f"The query failed: {error}") from error
    finally:
        connection.close()
    if form == "json":
        encoder = msgspec.json.Encoder(decimal_format="number")
        records = [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
        stream.write(encoder.encode(records).decode() + "\n")
    else:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_plain(value) for value in row] for row in rows)


def _plain(value: Any) -> Any:
    """Times in ISO 8601; everything else as it is."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value
