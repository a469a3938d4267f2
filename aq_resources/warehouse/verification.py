"""Parquet files that the catalog names: whether each is there and whole, and how to go on without.

DuckLake trusts its catalog: a file that is lost, empty or cut makes every query that needs it fail,
and the write that would replace its rows too, since that has to look for them first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import duckdb

from aq_resources.warehouse.ddl import lake_tables

_METADATA = "__ducklake_metadata_{lake}"


@dataclass(frozen=True)
class DamagedFile:
    """A file that cannot be read whole.

    Attributes:
        network: The schema of its table.
        table: The table's name.
        uri: Where it should be.
        reason: What is wrong with it.
        first: Least value of the table's window column in it, as text; None where unknown.
        last: Greatest value.
    """

    network: str
    table: str
    uri: str
    reason: str
    first: str | None
    last: str | None


def verify_files(
    connection: duckdb.DuckDBPyConnection, lake: str, windows: dict[str, str]
) -> tuple[int, list[DamagedFile]]:
    """Read every file in use to its end.

    Args:
        connection: To the lake, which is attached under that name.
        lake: The name.
        windows: Column by which a table's rows are replaced, by table name.

    Returns:
        How many files there are, and those that are not what the catalog says.
    """
    looked, damaged = 0, []
    for schema, table in lake_tables(connection, lake):
        rows = _recorded(connection, lake, schema, table, windows.get(table, ""))
        for uri, deletes in _files(connection, lake, schema, table):
            looked += 1
            count, first, last = rows.get(uri.rsplit("/", 1)[-1], (None, None, None))
            reason = _wrong(connection, uri, count)
            if reason is None and deletes is not None:
                # Without the list of its deleted rows a file shows too many.
                reason = _wrong(connection, deletes, None)
            if reason is not None:
                damaged.append(DamagedFile(schema, table, uri, reason, first, last))
    return looked, damaged


def forget_files(
    connection: duckdb.DuckDBPyConnection, lake: str, damaged: list[DamagedFile]
) -> None:
    """Let the newest snapshot do without these files; older ones go on naming them.

    The rows are gone until their partitions are made again.

    Args:
        connection: To the lake, within a transaction.
        lake: The name under which it is attached.
        damaged: The files.
    """
    metadata = _METADATA.format(lake=lake)
    for file in damaged:
        connection.execute(
            f"UPDATE {metadata}.ducklake_data_file SET end_snapshot = "
            f"(SELECT max(snapshot_id) FROM {metadata}.ducklake_snapshot) "
            "WHERE end_snapshot IS NULL AND (path = ? OR ends_with(path, ?))",
            [file.uri, file.uri.rsplit("/", 1)[-1]],
        )


def flush_new_files(data_path: str, since: float) -> None:
    """See to it that files written since a moment survive a loss of power.

    DuckDB leaves that to the system, while the catalog that names the files is flushed.

    Args:
        data_path: The warehouse's folder; an address of S3 needs nothing.
        since: Seconds since the epoch, by this machine's clock.
    """
    if "://" in data_path or not Path(data_path).is_dir():
        return
    for folder in _changed_folders(Path(data_path), since):
        for entry in os.scandir(folder):
            # Another writer takes its files away again where it loses a conflict.
            with suppress(FileNotFoundError):
                if entry.is_file() and entry.stat().st_mtime >= since:
                    _fsync(entry.path)
        _fsync(folder)


def _changed_folders(root: Path, since: float) -> Iterator[Path]:
    """The folder and those below it in which files have come or gone since."""
    if root.stat().st_mtime >= since:
        yield root
    for entry in os.scandir(root):
        if entry.is_dir():
            yield from _changed_folders(Path(entry.path), since)


def _fsync(path: str | os.PathLike[str]) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _files(
    connection: duckdb.DuckDBPyConnection, lake: str, schema: str, table: str
) -> list[tuple[str, str | None]]:
    return connection.execute(
        "SELECT data_file, delete_file FROM ducklake_list_files(?, ?, schema => ?)",
        [lake, table, schema],
    ).fetchall()


def _recorded(
    connection: duckdb.DuckDBPyConnection, lake: str, schema: str, table: str, window: str
) -> dict[str, tuple[int, str | None, str | None]]:
    """Number of rows, and bounds of the window column, by file name as the catalog has them."""
    metadata = _METADATA.format(lake=lake)
    found = connection.execute(
        f"""
        SELECT parse_filename(f.path), f.record_count, s.min_value, s.max_value
        FROM {metadata}.ducklake_data_file f
        JOIN {metadata}.ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL
        JOIN {metadata}.ducklake_schema n ON n.schema_id = t.schema_id AND n.end_snapshot IS NULL
        LEFT JOIN {metadata}.ducklake_column c
            ON c.table_id = t.table_id AND c.column_name = ? AND c.end_snapshot IS NULL
        LEFT JOIN {metadata}.ducklake_file_column_stats s
            ON s.data_file_id = f.data_file_id AND s.column_id = c.column_id
        WHERE f.end_snapshot IS NULL AND n.schema_name = ? AND t.table_name = ?
        """,
        [window, schema, table],
    ).fetchall()
    return {name: (count, first, last) for name, count, first, last in found}


def _wrong(connection: duckdb.DuckDBPyConnection, uri: str, count: int | None) -> str | None:
    """What is wrong with a file; None where all of it can be read."""
    try:
        # The hash makes it read every column.
        row = connection.execute(
            "SELECT count(*), max(hash(one)) FROM read_parquet(?) one", [escape(uri)]
        ).fetchone()
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    if count is not None and row is not None and row[0] != count:
        return f"{row[0]} rows instead of {count}"
    return None
