"""Read-only SQL over the warehouse, printed as a table, CSV or JSON, or written to a file.

What a table needs is DuckDB alone, so that it is there at once.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TextIO

import duckdb
from rich.console import Console

from aq_platform.console import legible
from aq_platform.tables import Column, print_table
from aq_resources.failures import PermanentFailure
from aq_resources.folders import refuse_unusable
from aq_resources.settings import Settings
from aq_resources.stores.object_store import open_object_store
from aq_resources.warehouse.connection import connect_read_only
from aq_resources.warehouse.errors import damaged_catalog
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.names import UNION_SCHEMA
from aq_resources.warehouse.reading import check_select, confine, whole_read

# A table with more rows than the first shows its first and last ones, so many of each.
WHOLE_ROWS, END_ROWS = 200, 20
# Of msgspec's integers.
_MOST_BITS = 63
_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*")
_TIMES = re.compile(r"DATE|TIME.*|INTERVAL|BOOLEAN|UUID")
_LONG_KIND = 24


class Opened(NamedTuple):
    """A confined connection, and the folders that it can read."""

    connection: duckdb.DuckDBPyConnection
    folders: list[str]


class Tables(Protocol):
    """What a query reads."""

    @property
    def location(self) -> WarehouseLocation:
        """Of the warehouse."""

    def open(self, sql: str) -> AbstractContextManager[Opened]:
        """Open what a query needs.

        Args:
            sql: The query, which is looked at before anything is read for it.

        Returns:
            The connection until the block ends.

        Raises:
            PermanentFailure: The query is not one SELECT over the lake.
            duckdb.Error: It cannot be parsed, or the warehouse not read.
        """


@dataclass(frozen=True)
class TablesNow:
    """The warehouse as it is.

    Attributes:
        location: Where it is.
        folder: The object store, which views read.
    """

    location: WarehouseLocation
    folder: str

    @classmethod
    def of_environment(cls) -> Self:
        """As the environment's settings say."""
        settings = Settings()
        refuse_unusable(settings.home)
        store = open_object_store(settings.object_store_url, settings.s3_endpoint_url)
        return cls(WarehouseLocation.of(settings), store.uri(""))

    @contextmanager
    def open(self, sql: str) -> Iterator[Opened]:
        with closing(connect_read_only(self.location)) as connection:
            folders = confine(connection, [self.folder])
            check_select(connection, sql)
            yield Opened(connection, folders)


def run_query(
    tables: Tables,
    sql: str,
    form: str,
    console: Console,
    stream: TextIO,
    *,
    every_row: bool = False,
) -> list[str]:
    """Print the result of a query.

    Args:
        tables: What it reads.
        sql: One statement, read-only.
        form: `table`, `csv` or `json`.
        console: Where a table goes.
        stream: Where CSV and JSON go; JSON is a list of objects, times are in ISO 8601.
        every_row: Whether a long table is printed whole, as CSV and JSON always are.

    Returns:
        Lines for the standard error: the attributions that CSV and JSON need, since they are
        passed on; for a table that was cut, how to get the rest.

    Raises:
        PermanentFailure: The query is not one SELECT over the lake, or DuckDB refuses it; has its
            own explanation.
    """
    with _explained(tables, sql) as connection:
        if form == "table":
            page = whole_read(tables.location, lambda: _page(connection, sql, every_row=every_row))
            return _print_page(page, console)
        stations = _stations(connection)
        names, rows = whole_read(tables.location, lambda: _fetched(connection, sql))
    text = _json(names, rows) if form == "json" else _csv(names, rows)
    # A file has every value as it is; on a terminal none does anything but stand there.
    stream.write(legible(text) if stream.isatty() else text)
    return [f"Attribution: {one}" for one in _attributions(stations, sql, names, rows)]


def write_query(tables: Tables, sql: str, form: str, path: Path) -> list[str]:
    """Write the result of a query to a file, whole or not at all.

    Args:
        tables: What it reads.
        sql: One statement, read-only.
        form: `csv`, `json`, `parquet` (its metadata carry the attribution) or `arrow` (an IPC
            file).
        path: The file, which is replaced.

    Returns:
        As `run_query`.

    Raises:
        PermanentFailure: As `run_query`; or the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        if form in ("csv", "json"):
            with partial.open("w", encoding="utf-8", newline="") as stream:
                lines = run_query(tables, sql, form, Console(), stream)
        else:
            lines = _write_columns(tables, sql, form, partial)
        partial.replace(path)
    except OSError as error:
        raise PermanentFailure(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return lines


def _write_columns(tables: Tables, sql: str, form: str, path: Path) -> list[str]:
    from aq_resources.attribution import ATTRIBUTION

    with _explained(tables, sql) as connection:
        stations = _stations(connection)
        frame = whole_read(tables.location, lambda: connection.sql(sql).pl())
    credits_due = _attributions(stations, sql, frame.columns, frame.rows())
    if form == "arrow":
        frame.write_ipc(path)
    else:
        frame.write_parquet(path, metadata={ATTRIBUTION: json.dumps(credits_due)})
    return [f"Attribution: {one}" for one in credits_due]


@contextmanager
def _explained(tables: Tables, sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one SELECT, with errors that say what was wrong."""
    folders: list[str] = []
    try:
        with tables.open(sql) as (connection, folders):
            yield connection
    except duckdb.PermissionException as error:
        raise PermanentFailure(
            f"The query failed: {error}\naq query reads the lake alone: {', '.join(folders)}"
        ) from error
    except duckdb.Error as error:
        damage = damaged_catalog(tables.location, str(error))
        raise damage or PermanentFailure(f"The query failed: {error}") from error


@dataclass(frozen=True)
class _Page:
    """Rows of a result: all of them, or the first and the last of so many."""

    columns: list[Column]
    rows: Sequence[tuple[Any, ...]]
    last: Sequence[tuple[Any, ...]]
    count: int


def _page(connection: duckdb.DuckDBPyConnection, sql: str, *, every_row: bool) -> _Page:
    """What is shown of a result.

    Counted and cut by DuckDB, which reads little of a big table for that: the ends of one on S3
    are there long before its middle could be.
    """
    result = connection.sql(sql)
    columns = [_column(*one) for one in zip(result.columns, result.types, strict=True)]
    if every_row:
        rows = result.fetchall()
        return _Page(columns, rows, (), len(rows))
    first = result.limit(WHOLE_ROWS + 1).fetchall()
    if len(first) <= WHOLE_ROWS:
        return _Page(columns, first, (), len(first))
    counted = result.count("*").fetchone()
    # Rows may have been taken away since.
    count = max(counted[0] if counted else 0, len(first))
    last = result.limit(END_ROWS, count - END_ROWS).fetchall()
    return _Page(columns, first[:END_ROWS], last, count)


def _column(name: str, kind: duckdb.sqltypes.DuckDBPyType) -> Column:
    written = str(kind)
    numeric = _NUMBERS.fullmatch(written) is not None
    short = written.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ").lower()
    return Column(
        name,
        numeric=numeric,
        text=not numeric and _TIMES.fullmatch(written) is None,
        kind=short if len(short) <= _LONG_KIND else kind.id,
    )


def _print_page(page: _Page, console: Console) -> list[str]:
    """Print the rows and their number; how to get what is not shown."""
    cut = print_table(page.columns, page.rows, console, last=page.last)
    counted = f"{page.count:,} row{'' if page.count == 1 else 's'}"
    if not page.last:
        console.print(counted, highlight=False)
        return _rest(cut)
    console.print(
        f"{counted}: the first {len(page.rows)} and the last {len(page.last)}", highlight=False
    )
    return ["All rows: --all, or --format csv > rows.csv.", *_rest(cut)]


def _rest(cut: int | None) -> list[str]:
    if cut is None:
        return []
    return [f"Longer values are cut to {cut} characters: --format csv has them whole."]


def _fetched(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[Any]]:
    cursor = connection.execute(sql)
    names = _distinct_names([column[0] for column in cursor.description or ()])
    return names, cursor.fetchall()


def _json(names: list[str], rows: list[Any]) -> str:
    import msgspec

    encoder = msgspec.json.Encoder(decimal_format="number")
    records = [dict(zip(names, map(_json_value, row), strict=True)) for row in rows]
    return encoder.encode(records).decode() + "\n"


def _csv(names: list[str], rows: list[Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_value(value) for value in row] for row in rows)
    return text.getvalue()


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
    return sorted({text or _own_attribution(network) for network, _, text in needed})


def _own_attribution(network: str) -> str:
    from aq_resources.networks import network_attribution

    return network_attribution(network)


def _csv_value(value: Any) -> Any:
    """CSV has no lists: they go as JSON."""
    if isinstance(value, list | dict):
        import msgspec

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
        import msgspec

        return msgspec.Raw(str(value).encode())
    return _plain(value)


def _plain(value: Any) -> Any:
    """Times in ISO 8601; everything else as it is."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value
