"""What a reader's own SQL may do: one SELECT over the lake, and nothing beside it.

DuckDB's settings bound its file system. The extensions for SQLite and Postgres reach files and
servers by ways of their own, and some of DuckDB's own table functions write files or take text as
SQL: so the statement is looked at as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import duckdb

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.names import LAKE, quoted

Result = TypeVar("Result")

# Table functions that read what the settings let them, or make rows of nothing. Known ones alone:
# a new version of DuckDB or of an extension may bring another that writes.
_NAMES = """
    generate_series json_each json_tree pg_timezone_names range repeat unnest
    duckdb_columns duckdb_databases duckdb_functions duckdb_schemas duckdb_settings duckdb_tables
    duckdb_types duckdb_views pragma_table_info
    glob parquet_file_metadata parquet_kv_metadata parquet_metadata parquet_scan parquet_schema
    read_blob read_csv read_csv_auto read_json read_json_auto read_json_objects read_ndjson
    read_ndjson_auto read_ndjson_objects read_parquet read_text
    ducklake_current_snapshot ducklake_snapshots ducklake_table_changes ducklake_table_deletions
    ducklake_table_info ducklake_table_insertions
    current_snapshot snapshots table_changes table_deletions table_info table_insertions
"""
_ALLOWED = frozenset(_NAMES.split())

# What DuckDB raises where a file on S3 is replaced while it is read part by part: the parts do not
# go together. Its message then quotes bytes of the file, which are no text.
_TORN = (
    UnicodeDecodeError,
    duckdb.IOException,
    duckdb.InvalidInputException,
    duckdb.SerializationException,
)
_TRIES = 6


def whole_read(location: WarehouseLocation, read: Callable[[], Result]) -> Result:
    """Read again where a file on S3 was replaced meanwhile.

    Args:
        location: Of the warehouse: files on a disk are opened whole, and read once.
        read: Reads; is called anew for each try.

    Returns:
        What it returns.

    Raises:
        duckdb.Error: It fails every time.
        TransientFailure: It fails every time, and its message is none.
    """
    if not location.uses_s3:
        return read()
    import tenacity

    tries = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
        retry=tenacity.retry_if_exception_type(_TORN),
        reraise=True,
    )
    try:
        return tries(read)
    except UnicodeDecodeError as error:
        raise TransientFailure(
            "Files on S3 were replaced while they were read, several times in a row. Try again."
        ) from error


def confine(connection: duckdb.DuckDBPyConnection, folders: Sequence[str]) -> list[str]:
    """Bound a read-only connection to the lake's files, for good.

    Args:
        connection: Of `Warehouse.connect_read_only`.
        folders: Where the files are that views read: folders or `s3://…`. The rows' own place is
            in the catalog, and added.

    Returns:
        All folders that can be read.

    Raises:
        duckdb.Error: The catalog cannot be read.
    """
    rows = connection.execute(f"SELECT data_path FROM ducklake_settings('{LAKE}')").fetchall()
    allowed = [*(path for (path,) in rows), *folders]
    confine_to(connection, allowed)
    return allowed


def confine_to(connection: duckdb.DuckDBPyConnection, folders: Sequence[str]) -> None:
    """Bound a connection to the files of some folders, for good."""
    listed = ", ".join(map(quoted, folders))
    connection.execute(f"SET allowed_directories = [{listed}]")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    # Last: from here on no setting can be changed, this one included.
    connection.execute("SET lock_configuration = true")


def check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse what is not one SELECT, or calls a table function that may reach beyond the lake.

    Args:
        connection: Parses; nothing is run.
        sql: What a person wrote.

    Raises:
        PermanentFailure: With what to write instead.
        duckdb.Error: It cannot be parsed.
    """
    statements = connection.extract_statements(sql)
    if not statements:
        raise PermanentFailure(
            "The query is empty. Write one, such as: SELECT * FROM air_quality.stations"
        )
    tree = _parsed(connection, sql)
    if tree is None or len(statements) > 1:
        kinds = ", ".join(statement.type.name for statement in statements)
        raise PermanentFailure(
            f"aq query is read-only: it answers one SELECT (also FROM, WITH, VALUES, SHOW, "
            f"DESCRIBE, SUMMARIZE), and this is {kinds}. Results go to a file by "
            "`--format csv > file`; PIVOT needs its values: `ON parameter IN ('pm25', 'co')`."
        )
    refused = sorted({name for name in _table_functions(tree) if name not in _ALLOWED})
    if refused:
        raise PermanentFailure(
            f"aq query is read-only and reads the lake alone: it calls no table function "
            f"{', '.join(refused)}."
        )


def tables_read(connection: duckdb.DuckDBPyConnection, sql: str) -> set[tuple[str, str]]:
    """Schema and name, in small letters, of every table that a SELECT names with its schema."""
    return {
        (str(node["schema_name"]).casefold(), str(node["table_name"]).casefold())
        for node in _nodes(_parsed(connection, sql), "BASE_TABLE")
        if node["schema_name"]
    }


def _parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """DuckDB's own tree of a SELECT; None for any other statement."""
    # Not as a parameter: for the first one DuckDB imports pandas, which takes longer than a query.
    found = connection.execute(f"SELECT json_serialize_sql({quoted(sql)}::VARCHAR)").fetchone()
    tree = json.loads(found[0]) if found else {"error": True}
    return None if tree["error"] else tree["statements"]


def _table_functions(tree: Any) -> Iterator[str]:
    for node in _nodes(tree, "TABLE_FUNCTION"):
        yield str(node["function"]["function_name"]).casefold()


def _nodes(tree: Any, kind: str) -> Iterator[dict[str, Any]]:
    """Every node of a kind, wherever it is."""
    if isinstance(tree, dict):
        if tree.get("type") == kind:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for part in tree:
            yield from _nodes(part, kind)
