"""Dagster's SQLite event log with batches stored as batches.

Dagster hands over events in batches (`DAGSTER_EVENT_BATCH_SIZE`), but its SQLite storage opens two
databases and commits twice for each single event, which is most of the time of a range of years.
Here a batch takes two transactions in all. The databases are the same; either class reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData

# Those whose storage is only rows: run and check events have more to do, one by one.
_BATCHED = frozenset(
    {
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        dg.DagsterEventType.ASSET_OBSERVATION,
    }
)


class BatchingSqliteEventLogStorage(SqliteEventLogStorage):
    """The stock storage, but for `store_event_batch`. Databases are in ``history/runs`` below
    ``base_dir``, where the stock default keeps them below DAGSTER_HOME.
    """

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchingSqliteEventLogStorage:
        """Dagster's hook: the instance file's ``config``."""
        folder = Path(config_value["base_dir"]) / "history" / "runs"
        return cls(base_dir=str(folder), inst_data=inst_data)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events of one run in order: one transaction a database for those of assets."""
        batch = []
        for event in events:
            if event.is_dagster_event and event.dagster_event_type in _BATCHED:
                batch.append(event)
            else:
                self.store_event(event)
        if not batch:
            return
        statements = [self.prepare_insert_event(event) for event in batch]
        with self.index_transaction() as connection:
            ids = []
            for statement in statements:
                inserted = connection.execute(statement).inserted_primary_key
                if inserted is None:
                    raise RuntimeError("SQLite gave a stored event no id")
                ids.append(inserted[0])
            self._store_asset_event_tags(connection, batch, ids)
            # The asset's row remembers its last event of each type: earlier ones need no visit.
            last = {
                (e.dagster_event_type, _asset(e)): (e, i) for e, i in zip(batch, ids, strict=True)
            }
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)
        with self.run_connection(batch[0].run_id) as connection:
            for statement in statements:
                connection.execute(statement)


def _asset(event: dg.EventLogEntry) -> str:
    key = event.get_dagster_event().asset_key
    return key.to_string() if key is not None else ""
