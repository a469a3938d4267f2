"""What another program needs to open the warehouse read-only, in its own language.

Each form is the same statements of DuckDB, made from the settings. No form holds a secret: where
the settings have one, a remark says which variable of the other program's environment takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import duckdb

from aq_resources.warehouse.connection import (
    BUSY_SECONDS,
    endpoint_clauses,
    extension_path,
    needed_extensions,
)
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.names import LAKE, UNION_SCHEMA, quoted

_EXAMPLE = f"SELECT * FROM {UNION_SCHEMA}.daily_averages LIMIT 5"
# The file that the JDBC address names, where people keep the SQL.
_INIT_FILE = "warehouse.sql"


@dataclass(frozen=True)
class Opening:
    """How to open a warehouse.

    Attributes:
        remarks: What the other program needs beside the statements.
        statements: SQL for DuckDB, in order, without semicolons.
    """

    remarks: list[str]
    statements: list[str]


def connection_lines(location: WarehouseLocation, language: str, *, offline: bool) -> Iterator[str]:
    """What opens the warehouse and shows five rows.

    Args:
        location: Of the warehouse.
        language: Of the program that is to open it; one of `WRITERS`.
        offline: Whether its DuckDB loads the extensions of this installation, for which it has to
            be of the same version; else it gets its own from DuckDB's server.

    Returns:
        Lines of SQL, of a program, or for people.
    """
    return WRITERS[language](location, _opening(location, offline=offline))


def _opening(location: WarehouseLocation, *, offline: bool) -> Opening:
    remarks = [f"DuckDB {duckdb.__version__}, read-only"]
    statements = []
    for name in needed_extensions(location):
        if offline:
            statements.append(f"LOAD {quoted(str(extension_path(name).absolute()))}")
        else:
            statements += [f"INSTALL {name}", f"LOAD {name}"]
    statements.append("SET TimeZone = 'UTC'")
    if location.uses_s3:
        remarks.append(
            "S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION (with a session, "
            "AWS_SESSION_TOKEN) in the environment"
        )
        chain = _credential_chain(location.s3_endpoint_url)
        remarks.append(f"S3 by a profile or a role in their place: INSTALL aws; LOAD aws; {chain}")
        statements += _endpoint_settings(location.s3_endpoint_url)
    options = ["READ_ONLY"]
    if location.sqlite_path is not None:
        address = f"ducklake:sqlite:{location.sqlite_path.absolute()}"
        # A writer holds the catalog for the moment of its commit.
        options.append(f"META_BUSY_TIMEOUT {BUSY_SECONDS * 1000:.0f}")
    else:
        remarks.append("Postgres: the password in PGPASSWORD or ~/.pgpass")
        address = f"ducklake:postgres:{_without_password(location)}"
    statements += [f"ATTACH {quoted(address)} AS {LAKE} ({', '.join(options)})", f"USE {LAKE}"]
    return Opening(remarks, statements)


def _without_password(location: WarehouseLocation) -> str:
    from psycopg2.extensions import make_dsn

    parts = location.postgres_parts
    return str(make_dsn(**{key: value for key, value in parts.items() if "password" not in key}))


def _credential_chain(endpoint_url: str | None) -> str:
    clauses = ["TYPE s3", "PROVIDER credential_chain", *endpoint_clauses(endpoint_url)]
    return f"CREATE SECRET ({', '.join(clauses)})"


def _endpoint_settings(endpoint_url: str | None) -> Iterator[str]:
    """The endpoint as settings: the keys, which httpfs takes from the environment, are too."""
    for clause in endpoint_clauses(endpoint_url):
        name, _, value = clause.partition(" ")
        yield f"SET s3_{name.casefold()} = {value}"


def _sql(_: WarehouseLocation, opening: Opening) -> Iterator[str]:
    yield from (f"-- {remark}" for remark in opening.remarks)
    yield from (f"{statement};" for statement in opening.statements)
    yield f"{_EXAMPLE};"


def _python(_: WarehouseLocation, opening: Opening) -> Iterator[str]:
    yield from (f"# {remark}" for remark in opening.remarks)
    yield f"# pip install duckdb=={duckdb.__version__}"
    yield "import duckdb"
    yield ""
    yield "warehouse = duckdb.connect()"
    yield from (f"warehouse.execute({statement!r})" for statement in opening.statements)
    yield f'rows = warehouse.sql("{_EXAMPLE}")'
    yield "# rows.pl() is a polars frame, rows.df() a pandas one, rows.arrow() Arrow"
    yield "print(rows)"


def _r(_: WarehouseLocation, opening: Opening) -> Iterator[str]:
    yield from (f"# {remark}" for remark in opening.remarks)
    yield '# install.packages("duckdb")'
    yield "warehouse <- DBI::dbConnect(duckdb::duckdb())"
    for statement in opening.statements:
        yield f'invisible(DBI::dbExecute(warehouse, r"---({statement})---"))'
    yield f'DBI::dbGetQuery(warehouse, "{_EXAMPLE}")'


def _jdbc(_: WarehouseLocation, opening: Opening) -> Iterator[str]:
    yield from (f"// {remark}" for remark in opening.remarks)
    yield f"// org.duckdb:duckdb_jdbc:{duckdb.__version__}.0 of Maven Central on the class path:"
    yield "// java -cp duckdb_jdbc.jar Warehouse.java"
    yield "import java.sql.DriverManager;"
    yield ""
    yield "public class Warehouse {"
    yield "    public static void main(String[] arguments) throws Exception {"
    yield '        try (var warehouse = DriverManager.getConnection("jdbc:duckdb:");'
    yield "                var statement = warehouse.createStatement()) {"
    for sql in opening.statements:
        yield f"            statement.execute({_java_string(sql)});"
    yield f"            var rows = statement.executeQuery({_java_string(_EXAMPLE)});"
    yield "            while (rows.next()) {"
    yield '                System.out.println(rows.getString("station_id"));'
    yield "            }"
    yield "        }"
    yield "    }"
    yield "}"


def _java_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(location: WarehouseLocation, opening: Opening) -> Iterator[str]:
    jar = f"org.duckdb:duckdb_jdbc:{duckdb.__version__}.0"
    yield from (f"{remark}." for remark in opening.remarks)
    yield f"The rows are at {location.data_path}. Reading disturbs no writer."
    yield ""
    yield f"SQL      aq connect > {_INIT_FILE}, then: duckdb -init {_INIT_FILE}"
    yield "Python   aq connect --format python > warehouse.py (duckdb, polars, pandas)"
    yield "R        aq connect --format r > warehouse.R (package duckdb)"
    yield f"Java     aq connect --format jdbc > Warehouse.java ({jar})"
    yield f"DBeaver  a connection of kind DuckDB, its driver {jar}, by the address"
    yield f"         jdbc:duckdb:;session_init_sql_file=/path/to/{_INIT_FILE}"
    yield "         (any other tool with JDBC alike)"
    yield ""
    yield "--offline: without a download, for a DuckDB of this version on this machine."


WRITERS: dict[str, Callable[[WarehouseLocation, Opening], Iterator[str]]] = {
    "sql": _sql,
    "python": _python,
    "r": _r,
    "jdbc": _jdbc,
    "text": _text,
}
