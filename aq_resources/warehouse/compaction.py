"""Upkeep of the warehouse's files: many small ones become few, and what is no longer needed goes.

Rows move by ordinary writes (insert the copy, delete the originals, in one transaction) and not by
`ducklake_merge_adjacent_files`: that removes from the catalog the files which open readers still
go by, and with a SQLite catalog such a reader then misses rows without an error. See
docs/decisions/0009-upkeep.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, TypeVar

import duckdb

from aq_resources.warehouse.ddl import lake_tables

# A file of this size is left as it is; smaller ones are worth merging.
LARGE_BYTES = 16 * 1024 * 1024
# How long a file stays at least after the last snapshot that needs it went: for a reader or backup.
GRACE = timedelta(days=2)
# A file that no catalog names may belong to a write in progress for so long.
ABANDONED = timedelta(days=1)

T = TypeVar("T")
Work = Callable[[duckdb.DuckDBPyConnection], None]
Transaction = Callable[[Work], None]


@dataclass(frozen=True)
class LakeSize:
    """What the catalog holds: files in use, those waiting to be deleted, and snapshots."""

    files: int = 0
    size_bytes: int = 0
    snapshots: int = 0
    waiting: int = 0


@dataclass
class Compaction:
    """What a compaction did."""

    before: LakeSize = field(default_factory=LakeSize)
    after: LakeSize = field(default_factory=LakeSize)
    tables_merged: int = 0
    snapshots_expired: int = 0
    files_deleted: int = 0
    orphans_deleted: int = 0
    # Files in the warehouse's folder that DuckLake did not write; nothing is deleted beside them.
    foreign: list[str] = field(default_factory=list)


def compact(
    transaction: Transaction, lake: str, now: datetime, keep: timedelta, grace: timedelta = GRACE
) -> Compaction:
    """Merge files and remove old snapshots. Killed at any point, run it again.

    Each step is a transaction of its own, and short: writers wait for one table at the most.

    Args:
        transaction: Runs what it is given in a transaction, and again after a conflict.
        lake: Name of the attached lake.
        now: By the clock of the machines that write, which stamp snapshots and files; UTC.
        keep: Snapshots older than this go.
        grace: Files that no snapshot needs are deleted after this, for the sake of open readers.

    Returns:
        What was done, with the sizes before and after.
    """
    done = Compaction()
    done.before = _result(transaction, lambda connection: _measure(connection, lake))
    for schema, table in _result(transaction, lambda connection: lake_tables(connection, lake)):
        done.tables_merged += _merge(transaction, lake, schema, table)
    done.snapshots_expired = _result(
        transaction, lambda connection: _expire(connection, lake, now - keep)
    )
    done.files_deleted = _result(
        transaction, lambda connection: _clean_up(connection, lake, now - grace)
    )
    transaction(lambda connection: _delete_orphans(connection, lake, now - ABANDONED, done))
    done.after = _result(transaction, lambda connection: _measure(connection, lake))
    return done


def _result(transaction: Transaction, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    """What `work` gave in the try that succeeded."""
    found: list[T] = []

    def run(connection: duckdb.DuckDBPyConnection) -> None:
        found[:] = [work(connection)]

    transaction(run)
    return found[0]


def _merge(transaction: Transaction, lake: str, schema: str, table: str) -> bool:
    """Write the rows of the table's small files into one; whether there was anything to do."""
    names = f"'{lake}', '{table}', schema => '{schema}'"

    # First: a file of which rows were deleted would stay behind, empty, after its rows have moved.
    rewritten = _result(
        transaction,
        lambda connection: _call(
            connection, f"ducklake_rewrite_data_files({names}, delete_threshold => 0.001)"
        ),
    )

    def move(connection: duckdb.DuckDBPyConnection) -> int:
        small = [
            name
            for name, size in connection.execute(
                f"SELECT data_file, data_file_size_bytes FROM ducklake_list_files({names})"
            ).fetchall()
            if size < LARGE_BYTES
        ]
        if len(small) < 2:
            return 0
        # Rows that an older version kept in the catalog itself have no file.
        inside = "(list_contains(?, filename) OR starts_with(filename, 'ducklake_inlined_'))"
        rows = f"{schema}.{table} WHERE {inside}"
        query = f"INSERT INTO {schema}.{table} BY NAME SELECT * FROM {rows}"
        copied = _scalar(connection, query, [small])
        deleted = _scalar(connection, f"DELETE FROM {rows}", [small])
        if copied != deleted:
            raise RuntimeError(
                f"{schema}.{table}: {copied} rows copied, {deleted} deleted; nothing was changed"
            )
        return 1

    return bool(_result(transaction, move) or rewritten)


def _expire(connection: duckdb.DuckDBPyConnection, lake: str, cut: datetime) -> int:
    """Forget the snapshots that were already replaced by `cut`.

    The newest one before it stays: it is what the tables were at that moment.
    """
    # By number: of a SQLite catalog, DuckLake compares times as text, and is wrong by up to a day.
    old = [
        str(version)
        for (version,) in connection.execute(
            f"SELECT snapshot_id FROM ducklake_snapshots('{lake}') "
            f"WHERE snapshot_time <= {_at(cut)} ORDER BY snapshot_id DESC OFFSET 1"
        ).fetchall()
    ]
    if not old:
        return 0
    return _call(connection, f"ducklake_expire_snapshots('{lake}', versions => [{', '.join(old)}])")


def _clean_up(connection: duckdb.DuckDBPyConnection, lake: str, cut: datetime) -> int:
    """Delete the files that nothing has needed since the day before `cut`."""
    # The end of a day is the one time that is compared rightly as text, too.
    day = cut.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(microseconds=1)
    return _call(connection, f"ducklake_cleanup_old_files('{lake}', older_than => {_at(day)})")


def _delete_orphans(
    connection: duckdb.DuckDBPyConnection, lake: str, cut: datetime, done: Compaction
) -> None:
    """Delete Parquet files that killed writers left, unless somebody else keeps files there."""
    call = f"ducklake_delete_orphaned_files('{lake}', older_than => {_at(cut)}"
    found = [path for (path,) in connection.execute(f"CALL {call}, dry_run => true)").fetchall()]
    done.foreign = [path for path in found if not _written_by_ducklake(path)]
    done.orphans_deleted = 0
    if found and not done.foreign:
        done.orphans_deleted = _call(connection, f"{call})")


def _written_by_ducklake(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.startswith("ducklake-") and name.endswith(".parquet")


def _measure(connection: duckdb.DuckDBPyConnection, lake: str) -> LakeSize:
    row = connection.execute(
        "SELECT coalesce(sum(file_count + delete_file_count), 0)::BIGINT, "
        "coalesce(sum(file_size_bytes + delete_file_size_bytes), 0)::BIGINT, "
        f"(SELECT count(*) FROM ducklake_snapshots('{lake}')), "
        f"(SELECT count(*) FROM __ducklake_metadata_{lake}.ducklake_files_scheduled_for_deletion) "
        f"FROM ducklake_table_info('{lake}')"
    ).fetchone()
    return LakeSize(*row) if row else LakeSize()


def _call(connection: duckdb.DuckDBPyConnection, call: str) -> int:
    """Rows that the call reports: one for each thing it did."""
    return len(connection.execute(f"CALL {call}").fetchall())


def _scalar(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None
) -> Any:
    row = connection.execute(query, parameters or []).fetchone()
    return row[0] if row else None


def _at(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.isoformat()}'"
