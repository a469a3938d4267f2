"""Connections to the lake: extensions out of their wheels, secrets kept out of addresses."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import duckdb

from aq_resources.failures import PermanentFailure
from aq_resources.warehouse.errors import damage, translate_errors
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.names import LAKE, quoted

# How long SQLite waits for another program that holds the catalog. Attaching for a writer meets it
# more than once: measured, it fails after 2.4 times as long.
BUSY_SECONDS = 30.0

# libpq's names and those of DuckDB's Postgres secret.
_SECRET = {
    "host": "HOST",
    "port": "PORT",
    "user": "USER",
    "password": "PASSWORD",
    "dbname": "DATABASE",
}


def extension_path(name: str) -> Path:
    """The signed extension inside its wheel, so that nothing is downloaded."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        raise PermanentFailure(
            f"The package duckdb-extension-{name.replace('_', '-')} is not installed: "
            "install the project again from its lock file."
        )
    return next(Path(spec.origin).parent.rglob(f"{name}.duckdb_extension"))


def connect_to_nothing(extensions: Iterable[str] = ()) -> duckdb.DuckDBPyConnection:
    """A connection to an empty database in memory, with times in UTC.

    Args:
        extensions: Of those in the wheels, which to load. Their signatures are not looked at: that
            is a quarter of a second of CPU for each connection, and the lock file's hashes have
            said what was installed (`refuse_unsigned`).

    Returns:
        The connection, which loads nothing more that is unsigned.
    """
    own = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    connection = duckdb.connect(":memory:", config={**own, "allow_unsigned_extensions": True})
    try:
        for name in extensions:
            connection.execute(f"LOAD {quoted(str(extension_path(name)))}")
        connection.execute("SET allow_unsigned_extensions = false")
    except BaseException:
        connection.close()
        raise
    connection.execute("SET TimeZone = 'UTC'")
    # It would be drawn on standard output, amid the rows of `aq query`.
    connection.execute("SET enable_progress_bar = false")
    return connection


def needed_extensions(location: WarehouseLocation) -> list[str]:
    """What it takes to open a lake."""
    needed = ["sqlite_scanner" if location.sqlite_path else "postgres_scanner", "ducklake"]
    return [*needed, "httpfs"] if location.uses_s3 else needed


def refuse_unsigned(names: Iterable[str]) -> None:
    """Have DuckDB check the signatures of extensions.

    Args:
        names: Of those in the wheels.

    Raises:
        PermanentFailure: One is not what DuckDB's makers signed.
    """
    with closing(duckdb.connect(":memory:")) as connection:
        for name in names:
            try:
                connection.execute(f"LOAD {quoted(str(extension_path(name)))}")
            except duckdb.Error as error:
                raise PermanentFailure(
                    f"DuckDB's extension {name} is damaged, or was replaced: install the project "
                    f"again from its lock file. {error}"
                ) from error


def connect(location: WarehouseLocation, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A connection to the lake, with `LAKE` in use and times in UTC.

    Raises:
        TransientFailure: The catalog cannot be reached now.
        PermanentFailure: Something has to be fixed first; the message says what.
    """
    _refuse_emptied(location)
    connection = connect_to_nothing(needed_extensions(location))
    try:
        if location.uses_s3:
            _create_s3_secret(connection, location.s3_endpoint_url)
        # Few rows go to Parquet as well: moving them there later would take them from readers.
        options = (
            ["READ_ONLY"]
            if read_only
            else [f"DATA_PATH {quoted(location.data_path)}", "DATA_INLINING_ROW_LIMIT 0"]
        )
        if location.sqlite_path:
            address = location.url
            options.append(f"META_BUSY_TIMEOUT {BUSY_SECONDS * 1000:.0f}")
            if not read_only:
                options.append("META_JOURNAL_MODE 'WAL'")
        else:
            # By a secret: DuckDB's errors repeat an address, password included.
            address = f"ducklake:postgres:{_other_libpq_options(location)}"
            options.append("META_SECRET 'catalog'")
            # A thread that ends idle connections is for programs that live longer than ours.
            connection.execute("SET pg_pool_enable_reaper_thread = false")
            _create_catalog_secret(connection, location)
        connection.execute(f"ATTACH {quoted(address)} AS {LAKE} ({', '.join(options)})")
        connection.execute(f"USE {LAKE}")
    except duckdb.Error as error:
        connection.close()
        raise translate_errors(error, location) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(location: WarehouseLocation) -> duckdb.DuckDBPyConnection:
    """A connection for any reader: it waits for no writer and can change nothing.

    Raises as `connect`; `PermanentFailure` also where there is no warehouse yet.
    """
    path = location.sqlite_path
    if path is not None and not path.exists():
        raise PermanentFailure(
            f"There is no warehouse at {path} yet. Run `aq demo` or `aq backfill` first, or "
            "correct AQ_HOME or AQ_WAREHOUSE."
        )
    return connect(location, read_only=True)


def _refuse_emptied(location: WarehouseLocation) -> None:
    """Begin no new catalog in a file that lost what it said of the rows beside it."""
    path = location.sqlite_path
    if path is None or not path.is_file() or path.stat().st_size:
        return
    if any(Path(location.data_path).rglob("*.parquet")):
        raise PermanentFailure(damage(location, "the file is empty"))


def _other_libpq_options(location: WarehouseLocation) -> str:
    """What DuckDB's secret has no place for: sslmode, connect_timeout and the like."""
    parts = location.postgres_parts
    return " ".join(f"{key}={value}" for key, value in parts.items() if key not in _SECRET)


def _create_catalog_secret(
    connection: duckdb.DuckDBPyConnection, location: WarehouseLocation
) -> None:
    clauses = [
        f"{_SECRET[key]} {quoted(value)}"
        for key, value in location.postgres_parts.items()
        if key in _SECRET
    ]
    connection.execute(f"CREATE OR REPLACE SECRET catalog (TYPE postgres, {', '.join(clauses)})")


def _create_s3_secret(connection: duckdb.DuckDBPyConnection, endpoint_url: str | None) -> None:
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
    clauses = [f"{name} {quoted(value)}" for name, value in parts.items()]
    clauses += endpoint_clauses(endpoint_url)
    connection.execute(f"CREATE OR REPLACE SECRET s3 (TYPE s3, {', '.join(clauses)})")


def endpoint_clauses(endpoint_url: str | None) -> list[str]:
    """What DuckDB's secret for S3 says of a server other than Amazon's."""
    if not endpoint_url:
        return []
    scheme, _, host = endpoint_url.partition("://")
    return [
        f"ENDPOINT {quoted(host.rstrip('/'))}",
        "URL_STYLE 'path'",
        f"USE_SSL {'true' if scheme == 'https' else 'false'}",
    ]
