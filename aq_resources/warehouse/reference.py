"""Views whose rows are part of the program: `air_quality.<name>` over a literal.

A view needs no file beside the catalog, so that nothing of it can be lost or be of another version
than the catalog says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import duckdb
import polars as pl

from aq_resources.warehouse.ddl import sql_type
from aq_resources.warehouse.names import LAKE, UNION_SCHEMA, quoted
from aq_science.index_categories import index_categories
from aq_science.tables.core import Table
from aq_science.tables.index_categories import INDEX_CATEGORIES
from aq_science.tables.registry import REFERENCE_VIEWS

_ROWS: dict[str, Callable[[], pl.DataFrame]] = {INDEX_CATEGORIES.name: index_categories}


def create_reference_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views that are missing, and anew those of which a version had other rows.

    `connection` is in a transaction, with the writer's lock where the catalog is a file.
    """
    views = connection.execute(
        f"SELECT view_name, sql FROM duckdb_views() WHERE database_name = '{LAKE}' "
        f"AND schema_name = '{UNION_SCHEMA}'"
    ).fetchall()
    existing: dict[str, str] = dict(views)
    for name, table in REFERENCE_VIEWS.items():
        select, version = _select(table, _ROWS[name]())
        if version not in existing.get(name, ""):
            connection.execute(f"CREATE OR REPLACE VIEW {UNION_SCHEMA}.{name} AS {select}")


def _select(table: Table, rows: pl.DataFrame) -> tuple[str, str]:
    """The rows as a query, and a name in it that tells whether a stored view has the same ones."""
    # As one literal: with thousands of them, every opening of a warehouse took 15 ms longer instead
    # of 4 (274 rows, of 150 ms).
    text = json.dumps(rows.to_dict(as_series=False), default=str, ensure_ascii=False)
    types = json.dumps({name: f"{sql_type(kind)}[]" for name, kind in table.schema.items()})
    version = f"rows_{hashlib.sha256((types + text).encode()).hexdigest()[:16]}"
    columns = ", ".join(f"unnest({version}.{name}) AS {name}" for name in table.schema)
    made = f"SELECT from_json({quoted(text)}, {quoted(types)}) AS {version}"
    return f"SELECT {columns} FROM ({made})", version
