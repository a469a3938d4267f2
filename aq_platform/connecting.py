"""What another program needs to open the warehouse, as SQL for DuckDB."""

from __future__ import annotations

from collections.abc import Iterator

from aq_resources.warehouse.connection import endpoint_clauses
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.names import LAKE, quoted


def connection_sql(location: WarehouseLocation) -> Iterator[str]:
    """Statements that open the warehouse, read-only, in any DuckDB with its extensions.

    Secrets are left out: in their place stands where they come from.

    Args:
        location: Of the warehouse.

    Yields:
        Lines of SQL and comments.
    """
    yield "INSTALL ducklake; LOAD ducklake;"
    if location.sqlite_path is not None:
        yield "INSTALL sqlite; LOAD sqlite;"
    else:
        yield "INSTALL postgres; LOAD postgres;"
    yield "SET TimeZone = 'UTC';"
    if location.uses_s3:
        yield "INSTALL httpfs; LOAD httpfs;"
        yield from _s3_secret(location.s3_endpoint_url)
    if location.sqlite_path is not None:
        address, options = location.url, "READ_ONLY"
    else:
        parts = location.postgres_parts
        plain = " ".join(f"{k}={v}" for k, v in parts.items() if "password" not in k)
        yield "-- The password: in PGPASSWORD, or in ~/.pgpass."
        address, options = f"ducklake:postgres:{plain}", "READ_ONLY"
    yield f"ATTACH {quoted(address)} AS {LAKE} ({options});"
    yield f"USE {LAKE};"
    yield "SELECT * FROM air_quality.daily_averages LIMIT 5;"


def _s3_secret(endpoint_url: str | None) -> Iterator[str]:
    yield "-- Keys from the environment, a profile or the machine's role."
    clauses = ["TYPE s3", "PROVIDER credential_chain", *endpoint_clauses(endpoint_url)]
    yield "INSTALL aws; LOAD aws;"
    yield f"CREATE SECRET s3 ({', '.join(clauses)});"
