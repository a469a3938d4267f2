"""Read-only SQL over the warehouse, printed as a table, CSV or JSON, or written to a file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TextIO

import duckdb
import msgspec
import polars as pl
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from aq_platform.as_known import Moment, tables_as_known
from aq_platform.console import err, legible
from aq_platform.tables import rich_table
from aq_resources.attribution import ATTRIBUTION
from aq_resources.failures import PermanentFailure
from aq_resources.networks import network_attribution
from aq_resources.services import Services
from aq_resources.warehouse.ddl import UNION_SCHEMA
from aq_resources.warehouse.errors import damaged_catalog
from aq_resources.warehouse.reading import check_select, confine, whole_read

# Rows of a table on the screen: a person reads no more, and rich lays out 500 a second.
SHOWN_ROWS = 200
_COLUMN_WIDTH = 8
_ENDLESS = 100_000
# Of msgspec's integers.
_MOST_BITS = 63


def run_query(
    services: Services,
    sql: str,
    form: str,
    console: Console,
    stream: TextIO,
    shown_rows: int = SHOWN_ROWS,
    moment: Moment | None = None,
) -> list[str]:
    """Print the result of a query.

    Args:
        services: The warehouse, and the networks' attributions.
        sql: One statement, read-only.
        form: `table`, `csv` or `json`.
        console: Where a table goes.
        stream: Where CSV and JSON go; JSON is a list of objects, times are in ISO 8601.
        shown_rows: A table has no more rows than these, CSV and JSON have all.
        moment: What was known when; the tables as they are now without.

    Returns:
        Lines for the standard error: the attributions that CSV and JSON need, since they are
        passed on; for a table that was cut, how to get the rest.

    Raises:
        PermanentFailure: The query is not one SELECT over the lake, or DuckDB refuses it; has its
            own explanation.
    """
    with _reading(services, sql, moment) as connection:
        location = services.warehouse.location
        if form == "table":
            frame = whole_read(location, lambda: connection.sql(sql).limit(shown_rows + 1).pl())
            return _print_table(frame, console, shown_rows)
        stations = _stations(connection)
        names, rows = whole_read(location, lambda: _fetched(connection, sql))
    text = _json(names, rows) if form == "json" else _csv(names, rows)
    # A file has every value as it is; on a terminal none does anything but stand there.
    stream.write(legible(text) if stream.isatty() else text)
    return [f"Attribution: {one}" for one in _attributions(stations, sql, names, rows)]


def write_query(
    services: Services, sql: str, form: str, path: Path, moment: Moment | None = None
) -> list[str]:
    """Write the result of a query to a file, whole or not at all.

    Args:
        services: The warehouse, and the networks' attributions.
        sql: One statement, read-only.
        form: `csv`, `json`, `parquet` (its metadata carry the attribution) or `arrow` (an IPC
            file).
        path: The file, which is replaced.
        moment: As for `run_query`.

    Returns:
        As `run_query`.

    Raises:
        PermanentFailure: As `run_query`; or the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        if form in ("csv", "json"):
            with partial.open("w", encoding="utf-8", newline="") as stream:
                lines = run_query(services, sql, form, Console(), stream, moment=moment)
        else:
            lines = _write_columns(services, sql, form, partial, moment)
        partial.replace(path)
    except OSError as error:
        raise PermanentFailure(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return lines


def _write_columns(
    services: Services, sql: str, form: str, path: Path, moment: Moment | None
) -> list[str]:
    with _reading(services, sql, moment) as connection:
        stations = _stations(connection)
        frame = whole_read(services.warehouse.location, lambda: connection.sql(sql).pl())
    credits_due = _attributions(stations, sql, frame.columns, frame.rows())
    if form == "arrow":
        frame.write_ipc(path)
    else:
        frame.write_parquet(path, metadata={ATTRIBUTION: json.dumps(credits_due)})
    return [f"Attribution: {one}" for one in credits_due]


@contextmanager
def _reading(
    services: Services, sql: str, moment: Moment | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A confined connection for one SELECT, with errors that say what was wrong."""
    folders: list[str] = []
    opened = (
        _lake(services, sql)
        if moment is None
        else tables_as_known(services, sql, moment, _say_progress)
    )
    try:
        with opened as (connection, folders):
            yield connection
    except duckdb.PermissionException as error:
        raise PermanentFailure(
            f"The query failed: {error}\naq query reads the lake alone: {', '.join(folders)}"
        ) from error
    except duckdb.Error as error:
        damage = damaged_catalog(services.warehouse.location, str(error))
        raise damage or PermanentFailure(f"The query failed: {error}") from error


@contextmanager
def _lake(services: Services, sql: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[str]]]:
    with closing(services.warehouse.connect_read_only()) as connection:
        folders = confine(connection, [services.object_store.uri("")])
        check_select(connection, sql)
        yield connection, folders


def _say_progress(line: str) -> None:
    err.print(line, highlight=False, markup=False, soft_wrap=True)


def _fetched(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[Any]]:
    cursor = connection.execute(sql)
    names = _distinct_names([column[0] for column in cursor.description or ()])
    return names, cursor.fetchall()


def _json(names: list[str], rows: list[Any]) -> str:
    encoder = msgspec.json.Encoder(decimal_format="number")
    records = [dict(zip(names, map(_json_value, row), strict=True)) for row in rows]
    return encoder.encode(records).decode() + "\n"


def _csv(names: list[str], rows: list[Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_value(value) for value in row] for row in rows)
    return text.getvalue()


def _print_table(frame: pl.DataFrame, console: Console, shown_rows: int) -> list[str]:
    """Print the first rows; one more than these tells that there are more."""
    _print_whole(rich_table(frame.head(shown_rows)), console)
    if frame.height <= shown_rows:
        return []
    rest = (
        f"These are the first {shown_rows} rows. All of them: --format csv > rows.csv; "
        f"the next ones: LIMIT {shown_rows} OFFSET {shown_rows} in the query."
    )
    return [rest]


def _stations(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str | None]]:
    """Network, station and attribution of every station."""
    return connection.execute(
        f"SELECT network, station_id, attribution FROM {UNION_SCHEMA}.stations"
    ).fetchall()


def _attributions(
    stations: list[tuple[str, str, str | None]], sql: str, names: list[str], rows: list[Any]
) -> list[str]:
    """Attributions of the networks that `sql` mentions, narrowed to the networks and stations
    that the result shows.
    """
    words = set(re.findall(r"\w+", sql.casefold()))
    needed = [one for one in stations if words & {one[0], UNION_SCHEMA}] if rows else []
    for index, column in enumerate(("network", "station_id")):
        if column in names:
            shown = {str(row[names.index(column)]) for row in rows}
            # A column of that name may hold something else.
            needed = [one for one in needed if one[index] in shown] or needed
    return sorted({text or network_attribution(network) for network, _, text in needed})


def _print_whole(table: Table, console: Console) -> None:
    """Print with no column squeezed to nothing; in a pipe, with none folded either."""
    if console.is_terminal:
        needed = _COLUMN_WIDTH * len(table.columns)
    else:
        needed = Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum
    console.width = max(console.width, needed)
    console.print(table, crop=False)


def _csv_value(value: Any) -> Any:
    """CSV has no lists: they go as JSON."""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return _plain(value)


def _distinct_names(names: list[str]) -> list[str]:
    """An object has each key once: a repeated column gets a number, as in DuckDB's own tables."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        distinct.append(f"{name}_{count}" if count else name)
    return distinct


def _json_value(value: Any) -> Any:
    """JSON's integers have no end, msgspec's have: larger ones go as they are written."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return msgspec.Raw(str(value).encode())
    return _plain(value)


def _plain(value: Any) -> Any:
    """Times in ISO 8601; everything else as it is."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value
