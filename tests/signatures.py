"""DuckDB's extensions without a look at their signatures, which takes a quarter of a second each.

Every connection of a process hashes their hundred megabytes anew, and the tests open thousands.
Commands from a fresh interpreter look at them, and so does `test_extension_signatures`.
"""

from __future__ import annotations

from typing import Any

import duckdb

checked_connect = duckdb.connect


def _connect(
    database: str = ":memory:", *, read_only: bool = False, config: dict[str, Any] | None = None
) -> duckdb.DuckDBPyConnection:
    trusting = {**(config or {}), "allow_unsigned_extensions": True}
    return checked_connect(database, read_only=read_only, config=trusting)


def take_for_granted() -> None:
    """In this process, from here on."""
    duckdb.connect = _connect  # type: ignore[assignment]
