"""Dagster's SQLite event log with batches stored as batches, and retries that are never lost.

Dagster hands over events in batches (`DAGSTER_EVENT_BATCH_SIZE`), but its SQLite storage opens two
databases and commits twice for each single event, which is most of the time of a range of years.
Here a batch takes two statements in all, and the index stays open between two events of a process.
The databases are the same; either class reads them.
Which plans were not carried out is asked in one question, where Dagster reads the newest events of
every partition to tell.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from inspect import getfile
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    SqlEventLogStorageMetadata,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sql import get_alembic_config
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, exists, select
from sqlalchemy.exc import DatabaseError

# Those whose storage is only rows: run and check events have more to do, one by one.
_BATCHED = frozenset(
    {
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        dg.DagsterEventType.ASSET_OBSERVATION,
    }
)


_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value

# A run has a database of its own, and a daemon sees many runs.
_ENGINES_KEPT = 16


@lru_cache(1)
def _migrations() -> ScriptDirectory:
    return ScriptDirectory.from_config(get_alembic_config(getfile(SqliteEventLogStorage)))


class BatchingSqliteEventLogStorage(SqliteEventLogStorage):
    """The stock storage, but for the two ways to store and one question. Databases are in
    `history/runs` below `base_dir`, where the stock default keeps them below DAGSTER_HOME.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    def dispose(self) -> None:
        """Dagster's hook: close what is open."""
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """Dagster's hook: as the stock storage, but for an engine that is kept.

        A new one for each event would compile every statement anew, which takes far longer than
        what the statement does.
        """
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine(self, shard: str) -> Engine:
        """The engine of a database; those that were not used for long are given up."""
        if shard not in self._engines:
            # The last connection that closes moves the journal into the database: a run's is
            # watched for that change, the index is spared it.
            kept = {"poolclass": QueuePool, "pool_size": 1} if shard == INDEX_SHARD_NAME else {}
            self._engines[shard] = create_engine(
                self.conn_string_for_shard(shard),
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
                **(kept or {"poolclass": NullPool}),
            )
        self._engines.move_to_end(shard)
        while len(self._engines) > _ENGINES_KEPT:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:  # noqa: FBT001, FBT002
        """Dagster's hook: make the tables of a database that is new.

        The stock storage reads its seventy migration scripts twice for each run's database, though
        it migrates none of them.
        """
        try:
            with engine.connect() as connection:
                if MigrationContext.configure(connection).get_current_revision() is not None:
                    return
            if not for_index_shard:
                self._make_tables(engine)
                return
        except DatabaseError:
            # Another process is on the same: the stock storage waits for it.
            pass
        super()._initdb(engine, for_index_shard)

    @staticmethod
    def _make_tables(engine: Engine) -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with engine.begin() as connection:
            # Python's module begins none for what makes tables: each would be synced to the disk.
            connection.exec_driver_sql("BEGIN")
            SqlEventLogStorageMetadata.create_all(connection)
            MigrationContext.configure(connection).stamp(_migrations(), "head")

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchingSqliteEventLogStorage:
        """Dagster's hook: the instance file's `config`."""
        folder = Path(config_value["base_dir"]) / "history" / "runs"
        return cls(base_dir=str(folder), inst_data=inst_data)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event; a run that failed is marked so before.

        The daemon retries a crashed run as soon as it sees this event, but only if the run has its
        status by then, and it looks once. Dagster itself writes the status a moment later.
        """
        if event.is_dagster_event and event.get_dagster_event().is_run_failure:
            self._instance.run_storage.handle_run_event(
                event.run_id,
                event.get_dagster_event(),
                datetime.fromtimestamp(event.timestamp, UTC),
            )
        super().store_event(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events in order, two transactions for each stretch of a run's asset events."""
        for (batched, run_id), stretch in groupby(events, lambda e: (_is_batched(e), e.run_id)):
            if batched:
                self._store_asset_events(run_id, list(stretch))
            else:
                for event in stretch:
                    self.store_event(event)

    def _store_asset_events(self, run_id: str, events: Sequence[dg.EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        insert, number = SqlEventLogStorageTable.insert(), SqlEventLogStorageTable.c.id
        # The run's database first, as the stock storage does: where a batch fails, Dagster stores
        # its events again one by one, and only the index must not have any of them twice.
        with self.run_connection(run_id) as connection:
            connection.execute(insert, rows)
        with self.index_transaction() as connection:
            numbered = insert.returning(number, sort_by_parameter_order=True)
            ids = list(connection.execute(numbered, rows).scalars())
            self._store_asset_event_tags(connection, events, ids)
            # The asset's row remembers its last event of each type: earlier ones need no visit.
            last: dict[Any, tuple[dg.EventLogEntry, int]] = {}
            for event, event_id in zip(events, ids, strict=True):
                key = event.dagster_event_type, event.get_dagster_event().asset_key
                last.pop(key, None)
                last[key] = event, event_id
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)

    def get_latest_asset_partition_materialization_attempts_without_materializations(
        self, asset_key: dg.AssetKey, after_storage_id: int | None = None
    ) -> Mapping[str, tuple[str, int]]:
        """Run and number of each partition's newest plan, where nothing came of it yet.

        The UI asks this for every page that shows the asset.
        """
        event, later = SqlEventLogStorageTable.c, SqlEventLogStorageTable.alias("later").c
        query = select(event.partition, event.run_id, event.id).where(
            event.asset_key == asset_key.to_string(),
            event.dagster_event_type == _PLANNED,
            event.partition.is_not(None),
            event.id > (after_storage_id or 0),
            ~exists().where(
                later.asset_key == event.asset_key,
                later.dagster_event_type.in_([_PLANNED, _MATERIALIZED]),
                later.partition == event.partition,
                later.id > event.id,
            ),
        )
        details = self._get_assets_details([asset_key])
        query = self._add_assets_wipe_filter_to_query(query, details, [asset_key])
        with self.index_connection() as connection:
            return {name: (run_id, number) for name, run_id, number in connection.execute(query)}


def _is_batched(event: dg.EventLogEntry) -> bool:
    return event.is_dagster_event and event.dagster_event_type in _BATCHED
