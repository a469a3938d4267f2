"""The warehouse: tables in DuckDB on DuckLake, safe for many processes at once.

The catalog is SQLite (embedded) or Postgres (production); the rows are Parquet files beside it or
on S3. Writers of a SQLite catalog take turns by a file lock; on Postgres a conflict is retried.
Readers never wait and never see half a write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import tenacity
from filelock import FileLock, Timeout

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.warehouse.compaction import Compaction, compact
from aq_resources.warehouse.connection import BUSY_SECONDS, connect, connect_read_only
from aq_resources.warehouse.ddl import (
    create_all,
    create_union,
    ensure_table,
    existing_columns,
    note_layout,
    publish_files,
    rows_beside,
    sql_type,
)
from aq_resources.warehouse.errors import (
    Busy,
    Conflict,
    Locked,
    damaged_catalog,
    lost_catalog,
    translate_errors,
)
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.names import LAKE
from aq_resources.warehouse.reading import whole_read
from aq_resources.warehouse.reference import create_reference_views
from aq_resources.warehouse.verification import (
    DamagedFile,
    flush_new_files,
    forget_files,
    verify_files,
)
from aq_science.tables.core import Table

LOCK_SECONDS = 300.0
CONFLICT_ATTEMPTS = 12
Bound = date | datetime


class Warehouse:
    """One process's way to the tables; the connection opens at first use.

    A write that the catalog or S3 cannot take just now is tried again for `patience` seconds.
    """

    def __init__(
        self,
        location: WarehouseLocation,
        patience: float = 0.0,
        networks: Mapping[str, Sequence[Table]] | None = None,
    ) -> None:
        """Opens nothing.

        Args:
            location: The catalog, and where the rows are.
            patience: Seconds.
            networks: The tables of each network, which exist, empty, from the first use on.
        """
        self.location = location
        self._patience = patience
        self._networks = networks or {}
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._thread_lock = threading.RLock()
        self._ready: set[tuple[str, str]] = set()
        path = location.sqlite_path
        self._process_lock = None if path is None else FileLock(f"{path}.lock")

    # Writing

    def replace(
        self,
        network: str,
        table: Table,
        frame: pl.DataFrame,
        window: tuple[Bound, Bound] | None = None,
    ) -> None:
        """Replace rows in one transaction; columns go by name.

        Args:
            network: The schema.
            table: The declared table.
            frame: The rows that are to stand there.
            window: Start (included) and end (excluded) of what is replaced, in the table's window
                column; None for a table that is replaced whole.

        Raises:
            ValueError: A window is given for a table that is replaced whole, or lacks.
            PermanentFailure: The frame does not have the declared columns.
            TransientFailure: The catalog or S3 could not take it in time; nothing was changed.
        """
        name = table.name
        if frame.schema.names() != table.schema.names():
            raise PermanentFailure(
                f"{network}.{name}: the frame's columns {frame.schema.names()} are not the "
                f"declared {table.schema.names()}"
            )
        if (table.window is None) != (window is None):
            raise ValueError(f"{name}: a window is {'not ' if window else ''}expected")

        def write(connection: duckdb.DuckDBPyConnection) -> None:
            self._ensure(connection, network, table)
            qualified = f"{network}.{name}"
            if window is None:
                where, bounds = "true", []
            else:
                kind = sql_type(table.schema[table.window or ""])
                where = f"{table.window} >= ?::{kind} AND {table.window} < ?::{kind}"
                bounds = list(window)
            connection.register("incoming", frame)
            try:
                source = "SELECT * FROM incoming"
                if table.protected is not None:
                    key = ", ".join(table.key)
                    # Protected rows give way only to incoming rows that are protected themselves.
                    where += (
                        f" AND (NOT ({table.protected}) OR ({key}) IN "
                        f"(SELECT ({key}) FROM incoming WHERE {table.protected}))"
                    )
                    source += (
                        f" WHERE ({table.protected}) OR ({key}) NOT IN "
                        f"(SELECT ({key}) FROM {qualified} WHERE {table.protected})"
                    )
                connection.execute(f"DELETE FROM {qualified} WHERE {where}", bounds)
                connection.execute(f"INSERT INTO {qualified} BY NAME {source}")
            finally:
                connection.unregister("incoming")

        self._transaction(write)

    def publish_files(self, network: str, view: Table, pattern: str) -> None:
        """Make `<network>.<view>` show the files that match a pattern.

        Args:
            network: The schema.
            view: The declared columns of the files.
            pattern: Matches a file by now.
        """
        if (network, view.name) in self._ready:
            return
        self._transaction(lambda connection: publish_files(connection, network, view, pattern))
        self._ready.add((network, view.name))

    def compact(self, now: datetime, keep: timedelta) -> Compaction:
        """Merge small files, forget snapshots older than `keep`, delete what is no longer needed.

        The rows stay the same. `now`: by the clock that stamps files, not a simulated one.
        """
        return compact(self._transaction, LAKE, now, keep)

    def verify(self) -> tuple[int, list[DamagedFile]]:
        """The number of files that the catalog names, and those that cannot be read whole."""
        windows = {
            table.name: table.window or "" for tables in self._networks.values() for table in tables
        }
        with self._thread_lock:
            cursor = self._open().cursor()
            try:
                return verify_files(cursor, LAKE, windows)
            finally:
                cursor.close()

    def forget(self, damaged: list[DamagedFile]) -> None:
        """Do without damaged files: their rows are gone until their partitions are made again."""
        self._transaction(lambda connection: forget_files(connection, LAKE, damaged))

    # Reading

    def read(self, query: str, parameters: list[Any] | None = None) -> pl.DataFrame:
        """Rows of a query through the writer's own connection (sees its latest commit)."""

        def once() -> pl.DataFrame:
            cursor = self._open().cursor()
            try:
                # In one transaction, for which DuckLake reads its catalog once.
                cursor.execute("BEGIN")
                cursor.execute(f"USE {LAKE}")
                return cursor.execute(query, parameters or []).pl()
            finally:
                cursor.close()

        with self._thread_lock:
            try:
                return whole_read(self.location, once)
            except duckdb.Error as error:
                if damage := damaged_catalog(self.location, str(error)):
                    raise damage from error
                raise

    def rows(
        self,
        network: str,
        table: Table,
        window: tuple[Bound, Bound] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table with their declared types.

        Args:
            network: The schema.
            table: The declared table.
            window: Start (included) and end (excluded) in the table's window column; all without.
            columns: Some of the columns; all without.

        Returns:
            The rows, in no particular order.
        """
        schema = pl.Schema({name: table.schema[name] for name in columns or table.schema})
        query = f"SELECT {', '.join(schema)} FROM {network}.{table.name}"
        if window is None:
            return self.read(query).cast(schema)
        query += f" WHERE {table.window} >= ? AND {table.window} < ?"
        return self.read(query, list(window)).cast(schema)

    def connect_read_only(self) -> duckdb.DuckDBPyConnection:
        """A new connection for any reader: it waits for no writer and can change nothing."""
        return connect_read_only(self.location)

    def prepare(self) -> None:
        """Create what is missing of the networks' tables and views; any first use does so too."""
        self._open()

    def close(self) -> None:
        """Give the connection back."""
        with self._thread_lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # Machinery

    def _open(self) -> duckdb.DuckDBPyConnection:
        with self._thread_lock:
            if self._connection is None:
                path = self.location.sqlite_path
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                with self._writer_lock():
                    self._connection = self._retrying()(self._set_up)
            return self._connection

    def _set_up(self) -> duckdb.DuckDBPyConnection:
        """A connection to a warehouse in which all declared tables exist."""
        connection = connect(self.location, read_only=False)
        try:
            connection.execute("BEGIN")
            if note_layout(connection) and rows_beside(connection, self.location.data_path):
                raise PermanentFailure(lost_catalog(self.location))
            create_all(connection, self._networks)
            create_reference_views(connection)
            connection.execute("COMMIT")
        except duckdb.Error as error:
            connection.close()
            raise translate_errors(error, self.location) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _ensure(self, connection: duckdb.DuckDBPyConnection, network: str, table: Table) -> None:
        """Create a table that was not declared when this was opened; those declared exist."""
        if table in self._networks.get(network, ()):
            return
        if ensure_table(connection, network, table, existing_columns(connection)):
            create_union(connection, table.name)

    def _transaction(self, write: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """Run `write` in a transaction of its own; conflicts and locks are tried again."""

        def once() -> None:
            with self._thread_lock, self._writer_lock():
                connection = self._open()
                # File systems keep times in steps.
                begun = time.time() - 1
                connection.execute("BEGIN")
                try:
                    write(connection)
                    flush_new_files(self.location.data_path, begun)
                    connection.execute("COMMIT")
                except BaseException as error:
                    self._roll_back(connection)
                    if isinstance(error, duckdb.Error):
                        raise translate_errors(error, self.location) from error
                    raise

        self._retrying()(once)

    def _retrying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            stop=self._should_stop,
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=5.0),
            retry=tenacity.retry_if_exception_type(Busy),
            reraise=True,
        )

    def _should_stop(self, state: tenacity.RetryCallState) -> bool:
        """Whether to give up: on a conflict as late as on a lock, else after patience and tries.

        DuckLake lets one of the writers that change a table at once commit; a crowd of them makes
        one lose many times in a row.
        """
        waited = state.seconds_since_start or 0.0
        failure = state.outcome.exception() if state.outcome is not None else None
        if isinstance(failure, Conflict):
            return waited > LOCK_SECONDS
        if isinstance(failure, Locked):
            return waited > (LOCK_SECONDS if self._patience else BUSY_SECONDS)
        return state.attempt_number >= CONFLICT_ATTEMPTS and waited >= self._patience

    def _roll_back(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.execute("ROLLBACK")
        except duckdb.TransactionException:
            # A failed COMMIT has ended the transaction by itself.
            return
        except duckdb.Error:
            connection.close()
            self._connection = None

    @contextmanager
    def _writer_lock(self) -> Iterator[None]:
        """Writers of a SQLite catalog go one after another, across processes."""
        if self._process_lock is None:
            yield
            return
        try:
            with self._process_lock.acquire(timeout=LOCK_SECONDS):
                yield
        except Timeout:
            raise TransientFailure(
                f"The warehouse {self.location.sqlite_path} was busy for {LOCK_SECONDS:.0f} s: "
                "another process holds its lock. Try again, or see which one with `fuser`."
            ) from None
