"""Tables, views and their SQL types, made from the declared tables.

Values stand in the SQL itself: for the first parameter of a process DuckDB imports pandas, which
takes longer than all of this.

DuckLake can spoil a file catalog in which two processes create tables at once (ducklake#1404), so
that everything is created in one step, by a writer that holds the lock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import duckdb
import polars as pl
from polars._typing import PolarsDataType

from aq_resources.failures import PermanentFailure
from aq_resources.warehouse.names import LAKE, UNION_SCHEMA, quoted
from aq_resources.warehouse.raw_pull_view import raw_pull_rows
from aq_science.tables.core import Table
from aq_science.tables.raw_pulls import RAW_PULLS
from aq_science.tables.registry import WAREHOUSE_TABLES, WAREHOUSE_VIEWS

# Version of the tables' layout; a warehouse with a higher one was made by newer code.
LAYOUT_VERSION = 1

# Types of the columns, by schema and name of a table or view.
Existing = Mapping[tuple[str, str], Mapping[str, str]]

_SQL_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "VARCHAR",
    pl.Categorical: "VARCHAR",
    pl.Enum: "VARCHAR",
    pl.Float64: "DOUBLE",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
}


def sql_type(dtype: pl.DataType) -> str:
    """DuckDB's type for a declared column; text whatever its encoding in memory."""
    if isinstance(dtype, pl.List):
        return f"{sql_type(_instance(dtype.inner))}[]"
    if isinstance(dtype, pl.Struct):
        fields = ", ".join(f"{f.name} {sql_type(_instance(f.dtype))}" for f in dtype.fields)
        return f"STRUCT({fields})"
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMPTZ"
    return _SQL_TYPES[type(dtype)]


def _instance(dtype: PolarsDataType) -> pl.DataType:
    return dtype() if isinstance(dtype, type) else dtype


def note_layout(connection: duckdb.DuckDBPyConnection) -> bool:
    """Note the layout in a new warehouse; whether it is one.

    Raises:
        PermanentFailure: It was made by a newer version.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS main.aq_layout (version INTEGER)")
    found = connection.execute("SELECT max(version) FROM main.aq_layout").fetchone()
    version = found[0] if found else None
    if version is None:
        connection.execute(f"INSERT INTO main.aq_layout VALUES ({LAYOUT_VERSION})")
    elif version > LAYOUT_VERSION:
        raise PermanentFailure(
            f"The warehouse has layout {version}, this aq knows up to {LAYOUT_VERSION}: it was "
            "made by a newer version. Upgrade aq on this machine; nothing was changed."
        )
    return version is None


def rows_beside(connection: duckdb.DuckDBPyConnection, data_path: str) -> bool:
    """Whether files of rows lie where a warehouse keeps them; the layout's own count for none."""
    folder = data_path.rstrip("/")
    found = connection.execute(
        f"SELECT 1 FROM glob({quoted(f'{folder}/*/*/**/*.parquet')}) "
        f"WHERE NOT starts_with(file, {quoted(f'{folder}/main/')}) LIMIT 1"
    ).fetchone()
    return found is not None


def lake_tables(connection: duckdb.DuckDBPyConnection, lake: str) -> list[tuple[str, str]]:
    """Schema and name of every table of the lake attached under that name."""
    return connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL",
        [lake],
    ).fetchall()


def existing_columns(connection: duckdb.DuckDBPyConnection) -> Existing:
    """Every table and view of the warehouse."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in connection.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
        f"WHERE database_name = '{LAKE}'"
    ).fetchall():
        found.setdefault((schema, table), {})[column] = kind
    return found


def _existing_views(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    """Every view, also one whose files are lost: such a one has no columns."""
    found = connection.execute(
        f"SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = '{LAKE}'"
    ).fetchall()
    return {(schema, view) for schema, view in found}


def create_all(
    connection: duckdb.DuckDBPyConnection, networks: Mapping[str, Sequence[Table]]
) -> None:
    """Create what is missing of the networks' tables, their views, and the views over all networks.

    Args:
        connection: In a transaction, with the writer's lock where the catalog is a file.
        networks: The tables that each network has beside the views over its files.

    Raises:
        PermanentFailure: A table has columns that are not declared.
    """
    existing, views = existing_columns(connection), _existing_views(connection)
    incomplete = {name for name in _DECLARED if (UNION_SCHEMA, name) not in views}
    for network, tables in networks.items():
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {network}")
        for table in tables:
            if ensure_table(connection, network, table, existing):
                incomplete.add(table.name)
        for view in WAREHOUSE_VIEWS.values():
            if (network, view.name) not in views:
                # A view over a pattern that matches no file cannot be made.
                connection.execute(f"CREATE VIEW {network}.{view.name} AS {no_rows(view)}")
                incomplete.add(view.name)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {UNION_SCHEMA}")
    for name in sorted(incomplete):
        create_union(connection, name)


def ensure_table(
    connection: duckdb.DuckDBPyConnection, network: str, table: Table, existing: Existing
) -> bool:
    """Create the table, or add the columns that came with a newer version.

    Args:
        connection: As for `create_all`.
        network: The schema.
        table: The declared table.
        existing: What there is.

    Returns:
        Whether the table is new.

    Raises:
        PermanentFailure: The table has columns that are not declared.
    """
    declared = {column: sql_type(dtype) for column, dtype in table.schema.items()}
    there = existing.get((network, table.name))
    if there is None:
        columns = ", ".join(f"{column} {kind}" for column, kind in declared.items())
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {network}")
        connection.execute(f"CREATE TABLE {network}.{table.name} ({columns})")
        return True
    if unknown := there.keys() - declared.keys():
        raise PermanentFailure(
            f"{network}.{table.name} has columns this aq does not know "
            f"({', '.join(sorted(unknown))}): the warehouse was made by a newer version. Upgrade "
            "aq on this machine."
        )
    for column in declared.keys() - there.keys():
        connection.execute(
            f"ALTER TABLE {network}.{table.name} ADD COLUMN {column} {declared[column]}"
        )
    return False


def create_union(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make `air_quality.<name>` the union of the table over every network that has it."""
    schemas = connection.execute(
        f"SELECT table_schema FROM information_schema.tables WHERE table_catalog = '{LAKE}' "
        f"AND table_name = '{name}' AND table_schema <> '{UNION_SCHEMA}' ORDER BY table_schema"
    ).fetchall()
    selects = [f"SELECT * FROM {schema}.{name}" for (schema,) in schemas]
    union = " UNION ALL BY NAME ".join(selects) or no_rows(_DECLARED[name])
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {UNION_SCHEMA}")
    connection.execute(f"CREATE OR REPLACE VIEW {UNION_SCHEMA}.{name} AS {union}")


def publish_files(
    connection: duckdb.DuckDBPyConnection, network: str, view: Table, pattern: str
) -> None:
    """Make `<network>.<view>` show the files that match a pattern.

    Args:
        connection: As for `create_all`.
        network: The schema.
        view: The declared columns; the files are Parquet, but those of raw pulls.
        pattern: Matches a file by now: DuckDB reads its columns when the view is made.
    """
    listed = connection.execute(
        "SELECT sql FROM duckdb_views() WHERE database_name = ? AND schema_name = ? "
        "AND view_name = ?",
        [LAKE, network, view.name],
    ).fetchone()
    by_name = ""
    if listed is not None and pattern in listed[0]:
        # By its text: to describe it would open a file, which may be damaged.
        shown = set(re.findall(r"\w+", listed[0].partition(" FROM ")[0]))
        if shown >= set(view.schema.names()):
            return
        # Made by an earlier version, as files are that may lack a column. To look into every file
        # takes longer, so only then.
        by_name = ", union_by_name = true"
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {network}")
    if view is RAW_PULLS:
        rows = f"({raw_pull_rows(network, quoted(pattern))})"
    else:
        rows = f"read_parquet({quoted(pattern)}, hive_partitioning = false{by_name})"
    connection.execute(
        f"CREATE OR REPLACE VIEW {network}.{view.name} AS "
        f"SELECT {', '.join(view.schema)} FROM {rows}"
    )
    create_union(connection, view.name)


def no_rows(table: Table) -> str:
    """A query with the declared columns and no row."""
    columns = ", ".join(f"NULL::{sql_type(kind)} AS {name}" for name, kind in table.schema.items())
    return f"SELECT {columns} WHERE false"


_DECLARED = WAREHOUSE_TABLES | WAREHOUSE_VIEWS
