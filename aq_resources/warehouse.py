"""The warehouse: tables in DuckDB on DuckLake, safe for many processes at once.

The catalog is SQLite (embedded) or Postgres (production); the rows are Parquet files beside it or
on S3. Writers of a SQLite catalog take turns by a file lock; on Postgres a conflict is retried.
Readers never wait and never see half a write.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import tenacity
from filelock import FileLock, Timeout

from aq_resources.compaction import Compaction, compact
from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.tables import Table, sql_type

# Version of the tables' layout; a warehouse with a higher one was made by newer code.
LAYOUT_VERSION = 1
UNION_SCHEMA = "air_quality"
LOCK_SECONDS = 300.0
CONFLICT_ATTEMPTS = 12
_LAKE = "lake"
# What DuckDB says of an S3 that answers 429 or 5xx, or not at all.
_OVERLOADED = re.compile(r"returned HTTP (429|5\d\d)\b|error for HTTP (GET|HEAD|PUT|POST) to")
# libpq's names and those of DuckDB's Postgres secret.
_SECRET = {
    "host": "HOST",
    "port": "PORT",
    "user": "USER",
    "password": "PASSWORD",
    "dbname": "DATABASE",
}

Bound = date | datetime


@dataclass(frozen=True)
class WarehouseLocation:
    """``url``: ``ducklake:sqlite:<path>`` or ``ducklake:postgres:<libpq string>``.

    ``uses_s3``: whether the rows, or the hourly files that views read, are on S3.
    """

    url: str
    data_path: str
    uses_s3: bool = False
    s3_endpoint_url: str | None = None

    @property
    def sqlite_path(self) -> Path | None:
        kind, _, rest = self.url.removeprefix("ducklake:").partition(":")
        return Path(rest) if kind == "sqlite" else None

    @property
    def postgres_parts(self) -> dict[str, str]:
        """The libpq string or address, taken apart."""
        from psycopg2 import ProgrammingError
        from psycopg2.extensions import parse_dsn

        try:
            parts = parse_dsn(self.url.removeprefix("ducklake:postgres:"))
        except ProgrammingError:
            # Its text repeats parts of the string, which holds the password.
            raise PermanentFailure(
                "AQ_WAREHOUSE: what follows ducklake:postgres: is no libpq string. Write "
                "`host=… dbname=… user=… password=…` (quote a value with spaces: 'a b') or "
                "`postgresql://user:password@host/dbname`."
            ) from None
        return {key: str(value) for key, value in parts.items()}


def extension_path(name: str) -> Path:
    """The signed extension inside its wheel, so that nothing is downloaded."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        raise PermanentFailure(
            f"The package duckdb-extension-{name.replace('_', '-')} is not installed: "
            "install the project again from its lock file."
        )
    return next(Path(spec.origin).parent.rglob(f"{name}.duckdb_extension"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _Busy(TransientFailure):
    """The catalog could not take the work just now: worth another try within the same call."""


class _Conflict(_Busy):
    """Somebody else changed the table in the meantime: another try may be the faster one."""


class Warehouse:
    """One process's way to the tables; the connection opens at first use.

    A write that the catalog or S3 cannot take just now is tried again for ``patience`` seconds.
    """

    def __init__(self, location: WarehouseLocation, patience: float = 0.0) -> None:
        self.location = location
        self._patience = patience
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._thread_lock = threading.RLock()
        self._ready: set[tuple[str, str]] = set()
        path = location.sqlite_path
        self._process_lock = None if path is None else FileLock(f"{path}.lock")

    # Writing

    def replace(
        self,
        network: str,
        name: str,
        table: Table,
        frame: pl.DataFrame,
        window: tuple[Bound, Bound] | None = None,
    ) -> None:
        """Replace the rows of ``window`` (start included, end not) by ``frame``, in a transaction.

        Columns go by name; a frame that does not match the declared schema is refused.
        """
        if frame.schema.names() != table.schema.names():
            raise PermanentFailure(
                f"{network}.{name}: the frame's columns {frame.schema.names()} are not the "
                f"declared {table.schema.names()}"
            )
        if (table.window is None) != (window is None):
            raise ValueError(f"{name}: a window is {'not ' if window else ''}expected")

        def write(connection: duckdb.DuckDBPyConnection) -> None:
            self._ensure_table(connection, network, name, table)
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

    def publish_files(self, network: str, name: str, pattern: str, columns: list[str]) -> None:
        """Make ``<network>.<name>`` a view over the Parquet files that match ``pattern``.

        The pattern must match a file by now: DuckDB reads its columns when the view is made.
        """
        if (network, name) in self._ready:
            return

        def write(connection: duckdb.DuckDBPyConnection) -> None:
            listed = connection.execute(
                "SELECT sql FROM duckdb_views() WHERE database_name = ? AND schema_name = ? "
                "AND view_name = ?",
                [_LAKE, network, name],
            ).fetchone()
            if listed is not None and pattern in listed[0]:
                return
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {network}")
            connection.execute(
                f"CREATE OR REPLACE VIEW {network}.{name} AS SELECT {', '.join(columns)} "
                f"FROM read_parquet({_quoted(pattern)}, hive_partitioning = false)"
            )
            self._union(connection, name)

        self._transaction(write)
        self._ready.add((network, name))

    def compact(self, now: datetime, keep: timedelta) -> Compaction:
        """Merge small files, forget snapshots older than ``keep``, delete what nobody needs.

        The rows stay the same. ``now``: by the clock that stamps files, not a simulated one.
        """
        return compact(self._transaction, _LAKE, now, keep)

    # Reading

    def read(self, query: str, parameters: list[Any] | None = None) -> pl.DataFrame:
        """Rows of a query through the writer's own connection (sees its latest commit)."""
        with self._thread_lock:
            cursor = self._open().cursor()
            try:
                cursor.execute(f"USE {_LAKE}")
                return cursor.execute(query, parameters or []).pl()
            finally:
                cursor.close()

    def table(
        self,
        network: str,
        name: str,
        table: Table,
        window: tuple[Bound, Bound] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table with its declared types: those of ``window``, or all.

        Raises `PermanentFailure` where the table was never written.
        """
        if not self.has_table(network, name):
            raise PermanentFailure(
                f"The warehouse has no table {network}.{name} yet: materialize {network}/{name} "
                "first."
            )
        query = f"SELECT {', '.join(table.schema)} FROM {network}.{name}"
        if window is None:
            return self.read(query).cast(table.schema)
        query += f" WHERE {table.window} >= ? AND {table.window} < ?"
        return self.read(query, list(window)).cast(table.schema)

    def has_table(self, network: str, name: str) -> bool:
        """Whether the table or view exists."""
        found = self.read(
            "SELECT count(*) AS n FROM information_schema.tables "
            "WHERE table_catalog = ? AND table_schema = ? AND table_name = ?",
            [_LAKE, network, name],
        )
        return bool(found["n"][0])

    def connect_read_only(self) -> duckdb.DuckDBPyConnection:
        """A new connection for any reader: waits for nobody and can change nothing."""
        path = self.location.sqlite_path
        if path is not None and not path.exists():
            raise PermanentFailure(
                f"There is no warehouse at {path} yet. Run `aq demo` or `aq backfill` first, or "
                "correct AQ_HOME or AQ_WAREHOUSE."
            )
        return self._connect(read_only=True)

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
                with self._turn():
                    connection = self._connect(read_only=False)
                    try:
                        self._check_layout(connection)
                    except BaseException:
                        connection.close()
                        raise
                    self._connection = connection
            return self._connection

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        location = self.location
        connection = duckdb.connect(
            ":memory:",
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False},
        )
        try:
            needed = ["sqlite_scanner" if location.sqlite_path else "postgres_scanner", "ducklake"]
            if location.uses_s3:
                needed.append("httpfs")
            for name in needed:
                connection.execute(f"LOAD {_quoted(str(extension_path(name)))}")
            connection.execute("SET TimeZone = 'UTC'")
            if location.uses_s3:
                self._create_s3_secret(connection)
            # Few rows go to Parquet as well: moving them there later would take them from readers.
            options = (
                ["READ_ONLY"]
                if read_only
                else [f"DATA_PATH {_quoted(location.data_path)}", "DATA_INLINING_ROW_LIMIT 0"]
            )
            if location.sqlite_path:
                address = location.url
                options.append("META_BUSY_TIMEOUT 60000")
                if not read_only:
                    options.append("META_JOURNAL_MODE 'WAL'")
            else:
                # By a secret: DuckDB's errors repeat an address, password included.
                address = f"ducklake:postgres:{self._other_libpq_options()}"
                options.append("META_SECRET 'catalog'")
                # A thread that ends idle connections is for programs that live longer than ours.
                connection.execute("SET pg_pool_enable_reaper_thread = false")
                self._create_catalog_secret(connection)
            connection.execute(f"ATTACH {_quoted(address)} AS {_LAKE} ({', '.join(options)})")
            connection.execute(f"USE {_LAKE}")
        except duckdb.Error as error:
            connection.close()
            raise self._explained(error) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _other_libpq_options(self) -> str:
        """What DuckDB's secret has no place for: sslmode, connect_timeout and the like."""
        parts = self.location.postgres_parts
        return " ".join(f"{key}={value}" for key, value in parts.items() if key not in _SECRET)

    def _create_catalog_secret(self, connection: duckdb.DuckDBPyConnection) -> None:
        clauses = [
            f"{_SECRET[key]} {_quoted(value)}"
            for key, value in self.location.postgres_parts.items()
            if key in _SECRET
        ]
        connection.execute(
            f"CREATE OR REPLACE SECRET catalog (TYPE postgres, {', '.join(clauses)})"
        )

    def _create_s3_secret(self, connection: duckdb.DuckDBPyConnection) -> None:
        import boto3

        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            return
        frozen = credentials.get_frozen_credentials()
        parts = {
            "KEY_ID": frozen.access_key or "",
            "SECRET": frozen.secret_key or "",
            "REGION": session.region_name or "us-east-1",
        }
        if frozen.token:
            parts["SESSION_TOKEN"] = frozen.token
        clauses = [f"{name} {_quoted(value)}" for name, value in parts.items()]
        if endpoint := self.location.s3_endpoint_url:
            scheme, _, host = endpoint.partition("://")
            clauses += [
                f"ENDPOINT {_quoted(host.rstrip('/'))}",
                "URL_STYLE 'path'",
                f"USE_SSL {'true' if scheme == 'https' else 'false'}",
            ]
        connection.execute(f"CREATE OR REPLACE SECRET s3 (TYPE s3, {', '.join(clauses)})")

    def _check_layout(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {UNION_SCHEMA}")
            connection.execute("CREATE TABLE IF NOT EXISTS main.aq_layout (version INTEGER)")
            found = connection.execute("SELECT max(version) FROM main.aq_layout").fetchone()
            version = found[0] if found else None
            if version is None:
                connection.execute("INSERT INTO main.aq_layout VALUES (?)", [LAYOUT_VERSION])
        except duckdb.Error as error:
            raise self._explained(error) from error
        if version is not None and version > LAYOUT_VERSION:
            raise PermanentFailure(
                f"The warehouse has layout {version}, this aq knows up to {LAYOUT_VERSION}: it was "
                "made by a newer version. Upgrade aq on this machine; nothing was changed."
            )

    def _ensure_table(
        self, connection: duckdb.DuckDBPyConnection, network: str, name: str, table: Table
    ) -> None:
        if (network, name) in self._ready:
            return
        existing = dict(
            connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() "
                "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
                [_LAKE, network, name],
            ).fetchall()
        )
        declared = {column: sql_type(dtype) for column, dtype in table.schema.items()}
        if not existing:
            columns = ", ".join(f"{column} {kind}" for column, kind in declared.items())
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {network}")
            connection.execute(f"CREATE TABLE {network}.{name} ({columns})")
            self._union(connection, name)
            return
        if unknown := existing.keys() - declared.keys():
            raise PermanentFailure(
                f"{network}.{name} has columns this aq does not know ({', '.join(sorted(unknown))})"
                ": the warehouse was made by a newer version. Upgrade aq on this machine."
            )
        for column in declared.keys() - existing.keys():
            connection.execute(
                f"ALTER TABLE {network}.{name} ADD COLUMN {column} {declared[column]}"
            )

    def _union(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Make ``air_quality.<name>`` the union of the table over every network that has it."""
        schemas = connection.execute(
            "SELECT table_schema FROM information_schema.tables WHERE table_catalog = ? "
            "AND table_name = ? AND table_schema <> ? ORDER BY table_schema",
            [_LAKE, name, UNION_SCHEMA],
        ).fetchall()
        union = " UNION ALL BY NAME ".join(
            f"SELECT * FROM {schema}.{name}" for (schema,) in schemas
        )
        connection.execute(f"CREATE OR REPLACE VIEW {UNION_SCHEMA}.{name} AS {union}")

    def _transaction(self, write: Any) -> None:
        """Run ``write`` in a transaction of its own; conflicts and locks are tried again."""

        def once() -> None:
            with self._thread_lock, self._turn():
                connection = self._open()
                connection.execute("BEGIN")
                try:
                    write(connection)
                    connection.execute("COMMIT")
                except BaseException as error:
                    self._roll_back(connection)
                    if isinstance(error, duckdb.Error):
                        raise self._explained(error) from error
                    raise

        tenacity.Retrying(
            stop=self._hopeless,
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=5.0),
            retry=tenacity.retry_if_exception_type(_Busy),
            reraise=True,
        )(once)

    def _hopeless(self, state: tenacity.RetryCallState) -> bool:
        """Whether to give up: on a conflict as late as on a lock, else after patience and tries.

        DuckLake lets one of the writers that change a table at once commit; a crowd of them makes
        one lose many times in a row.
        """
        waited = state.seconds_since_start or 0.0
        if state.outcome is not None and isinstance(state.outcome.exception(), _Conflict):
            return waited > LOCK_SECONDS
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
    def _turn(self) -> Iterator[None]:
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

    def _explained(self, error: duckdb.Error) -> TransientFailure | PermanentFailure:
        """The platform's failure for an error of DuckDB, naming the mend."""
        text = str(error)
        lowered = text.lower()
        where = self.location.sqlite_path or "the Postgres catalog"

        def said(*words: str) -> bool:
            return any(word in lowered for word in words)

        if message := self._to_mend(text, said, where):
            return PermanentFailure(message)
        if said("no space left", "disk full", "database or disk is full"):
            return TransientFailure(
                f"The disk is full: the warehouse at {where} could not be written. Free space and "
                "run this again; nothing was half-written."
            )
        if _OVERLOADED.search(text) or said(
            "unable to connect to postgres", "connection to server"
        ):
            server = "S3" if _OVERLOADED.search(text) else "The Postgres of AQ_WAREHOUSE"
            return _Busy(f"{server} cannot be reached: {' '.join(text.split())}")
        if said("conflict"):
            return _Conflict(f"The warehouse at {where} could not be written: {text}")
        transient = ("locked", "busy", "connection", "timeout", "could not connect")
        if isinstance(error, duckdb.TransactionException | duckdb.ConnectionException) or said(
            *transient
        ):
            return _Busy(f"The warehouse at {where} could not be written: {text}")
        return PermanentFailure(f"The warehouse at {where} refused the work: {text}")

    def _to_mend(self, text: str, said: Callable[..., bool], where: Path | str) -> str | None:
        """What somebody has to mend before the work can succeed, where that is known."""
        refused = ("authentication failed", "does not exist", "no pg_hba")
        known = [
            (
                said("catalog version mismatch"),
                (
                    f"The warehouse at {where} was made by a newer version of DuckLake ({text}). "
                    "Upgrade aq on this machine; nothing was changed."
                ),
            ),
            (
                said("fatal:") and said(*refused),
                (
                    f"Postgres refuses the warehouse's catalog: {text}. Correct AQ_WAREHOUSE, or "
                    "create the role or database it names."
                ),
            ),
            (
                said("creating a new ducklake is explicitly disabled"),
                (
                    f"There is no warehouse in {where} yet. Run `aq demo` or `aq backfill` "
                    "first, or correct AQ_WAREHOUSE."
                ),
            ),
            (
                said("data path") and said("does not match"),
                f"AQ_WAREHOUSE_DATA does not name the folder this warehouse was made with. {text}",
            ),
            (
                said("nosuchbucket", "bucket does not exist"),
                (
                    f"The bucket of {self.location.data_path} does not exist. Create it, or "
                    "correct AQ_WAREHOUSE_DATA."
                ),
            ),
        ]
        return next((message for applies, message in known if applies), None)
