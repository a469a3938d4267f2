"""Pruning of Dagster's history: old runs and superseded events go, what is known of assets stays.

Dagster keeps every run and event. Here a finished run older than some days is deleted with
its events and logs, except what still says something of the present: the newest event of each type
of an asset partition, the newest evaluations of a check, and a run whose failure is the last word
on a partition.

Dagster deletes single runs only, with all their events; therefore the tables are addressed
themselves, those of its SQL storages: SQLite (an index, and a database a run) and Postgres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import BackfillTagsTable, BulkActionsTable

from aq_resources.dagster_storage.run_health import forget_counts
from aq_resources.failures import PermanentFailure

BATCH = 500

_EVENTS = SqlEventLogStorageTable.c
_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in FINISHED_STATUSES]
_EVALUATED = ("SUCCEEDED", "FAILED")
# Shards that belong to no run: the index, and what was reported without a run.
_NO_RUN = ("index", "")

Connect = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True)
class HistorySize:
    """What Dagster keeps: events as the UI finds them, runs, and bytes of the event log."""

    events: int = 0
    runs: int = 0
    size_bytes: int = 0


@dataclass
class Pruned:
    """What a call of `prune_history` did."""

    before: HistorySize
    after: HistorySize
    runs_deleted: int = 0
    # Old runs that are still the last word on a partition.
    runs_kept: int = 0
    backfills_deleted: int = 0
    runs_left: int = 0


def prune_history(
    instance: dg.DagsterInstance, before: datetime, *, limit: int = 20_000, batch: int = BATCH
) -> Pruned:
    """Delete what happened before that time and no longer matters.

    Works through a batch in a transaction, oldest first, each run's row last: so a kill leaves
    nothing that the next call would not find. Unfinished runs are not touched.

    Args:
        instance: Dagster's, with SQLite or Postgres storages.
        before: Runs that ended and events that happened before it are old. With a time zone.
        limit: The most runs of one call.
        batch: Runs or events of one transaction.

    Returns:
        What was done, and the size before and after.

    Raises:
        PermanentFailure: the storages are others.
    """
    events, runs = instance.event_log_storage, instance.run_storage
    if not isinstance(events, SqlEventLogStorage) or not isinstance(runs, SqlRunStorage):
        raise PermanentFailure(
            f"The history in {type(events).__name__} and {type(runs).__name__} cannot be pruned: "
            "only Dagster's SQLite and Postgres storages can."
        )
    size = _measure(instance, events)
    done = Pruned(size, size)
    before = before.astimezone(UTC)
    naive = before.replace(tzinfo=None)
    old = runs.get_run_ids(dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=before))
    done.runs_left = max(0, len(old) - limit)
    # Newest first as Dagster gives them.
    for ids in _batches(list(reversed(old))[:limit], batch):
        with events.index_connection() as connection:
            kept = _last_words(connection, ids)
        gone = [run_id for run_id in ids if run_id not in kept]
        for run_id in gone:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        with events.index_transaction() as connection:
            _delete_run_events(connection, gone)
        for run_id in gone:
            if isinstance(events, SqliteEventLogStorage):
                _delete_shard(events, run_id)
            runs.delete_run(run_id)
        done.runs_deleted += len(gone)
        done.runs_kept += len(kept)
    unfinished = runs.get_run_ids(dg.RunsFilter(statuses=_UNFINISHED))
    forget_counts(runs, unfinished)
    _delete_superseded(events.index_transaction, naive, unfinished, batch)
    if isinstance(events, SqliteEventLogStorage):
        _delete_stray_shards(instance, events, before)
    done.backfills_deleted = _delete_backfills(runs, before, batch)
    done.after = _measure(instance, events)
    return done


def _measure(instance: dg.DagsterInstance, events: SqlEventLogStorage) -> HistorySize:
    with events.index_connection() as connection:
        count = connection.execute(
            sa.select(sa.func.count()).select_from(SqlEventLogStorageTable)
        ).scalar_one()
        if isinstance(events, SqliteEventLogStorage):
            size = sum(path.stat().st_size for path in _folder(events).glob("*.db*"))
        else:
            table = sa.text("SELECT pg_total_relation_size('event_logs')")
            size = connection.execute(table).scalar_one()
    return HistorySize(count, instance.get_runs_count(), size)


def _later(event: sa.FromClause, types: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether an event of these types came later for the same asset partition.

    Two questions, since an index answers neither `OR` nor `IS NOT DISTINCT FROM`.
    """
    later = SqlEventLogStorageTable.alias("later")
    same = (
        later.c.asset_key == event.c.asset_key,
        later.c.dagster_event_type.in_(types),
        later.c.id > event.c.id,
    )
    return sa.or_(
        sa.and_(event.c.partition.is_(None), sa.exists().where(*same, later.c.partition.is_(None))),
        sa.and_(
            event.c.partition.is_not(None),
            sa.exists().where(*same, later.c.partition == event.c.partition),
        ),
    )


def _last_words(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Runs that meant to materialize a partition which no run has materialized or tried since.

    Without them a partition that failed would look as if it had never been tried.
    """
    planned = SqlEventLogStorageTable.alias("planned")
    query = sa.select(planned.c.run_id).where(
        planned.c.run_id.in_(run_ids),
        planned.c.dagster_event_type == _PLANNED,
        ~_later(planned, [_PLANNED, _MATERIALIZED]),
    )
    return set(connection.execute(query.distinct()).scalars())


def _delete_run_events(connection: sa.Connection, run_ids: Sequence[str]) -> None:
    """The runs' events that are of no asset; `_delete_superseded` sees to the others."""
    newest = sa.select(sa.func.max(_EVENTS.id)).scalar_subquery()
    connection.execute(
        SqlEventLogStorageTable.delete().where(
            _EVENTS.run_id.in_(run_ids),
            _EVENTS.asset_key.is_(None),
            # SQLite gives a free number again, and sensors remember how far they have read.
            _EVENTS.id < newest,
        )
    )


def _delete_superseded(
    connect: Connect, before: datetime, unfinished: Sequence[str], batch: int
) -> None:
    """Old events of assets, and evaluations, that have a newer one of their kind.

    Whether their run still exists does not matter: one that was pruned earlier may have left what
    was the newest event then.
    """
    event = SqlEventLogStorageTable.alias("event")
    with connect() as connection:
        newest = connection.execute(sa.select(sa.func.max(_EVENTS.id))).scalar() or 0
    worthless = sa.or_(
        sa.and_(event.c.asset_key.is_not(None), _later(event, [event.c.dagster_event_type])),
        # A plan that was carried out.
        sa.and_(event.c.dagster_event_type == _PLANNED, _later(event, [_MATERIALIZED])),
        # Of no asset and no run.
        sa.and_(event.c.asset_key.is_(None), event.c.run_id == ""),
    )
    for connection, ids in _found(
        connect,
        event,
        sa.and_(event.c.timestamp < before, event.c.run_id.not_in(unfinished)),
        sa.and_(worthless, event.c.id < newest),
        batch,
    ):
        tags = AssetEventTagsTable
        connection.execute(tags.delete().where(tags.c.event_id.in_(ids)))
        connection.execute(SqlEventLogStorageTable.delete().where(_EVENTS.id.in_(ids)))

    check = AssetCheckExecutionsTable.alias("check")
    later = AssetCheckExecutionsTable.alias("later")
    evaluated = sa.exists().where(
        later.c.asset_key == check.c.asset_key,
        later.c.check_name == check.c.check_name,
        later.c.id > check.c.id,
        later.c.execution_status.in_(_EVALUATED),
        sa.or_(
            later.c.partition.is_not_distinct_from(check.c.partition),
            # A range plans each of its partitions and evaluates all of them at once.
            check.c.execution_status == "PLANNED",
        ),
    )
    for connection, ids in _found(
        connect,
        check,
        sa.and_(check.c.evaluation_event_timestamp < before, check.c.run_id.not_in(unfinished)),
        evaluated,
        batch,
    ):
        checks = AssetCheckExecutionsTable
        connection.execute(checks.delete().where(checks.c.id.in_(ids)))


def _found(
    connect: Connect,
    rows: sa.FromClause,
    old: sa.ColumnElement[bool],
    worthless: sa.ColumnElement[bool],
    batch: int,
) -> Iterator[tuple[sa.Connection, Sequence[int]]]:
    """Numbers of the old rows that are worthless, each batch within a transaction of its own."""
    with connect() as connection:
        number = rows.c.id
        first, last = connection.execute(
            sa.select(sa.func.min(number), sa.func.max(number)).where(old)
        ).one()
    if last is None:
        return
    step = batch * 10
    for start in range(first, last + 1, step):
        query = sa.select(number).where(number.between(start, start + step - 1), old, worthless)
        with connect() as connection:
            ids = list(connection.execute(query).scalars())
            for part in _batches(ids, batch):
                yield connection, part


def _folder(events: SqliteEventLogStorage) -> Path:
    return Path(events.path_for_shard("index")).parent


def _delete_shard(events: SqliteEventLogStorage, run_id: str) -> None:
    """The database of one run. Dagster itself only empties it."""
    path = Path(events.path_for_shard(run_id))
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
    # Whoever looks for the run again has to find an empty database, not a file without tables.
    events._initialized_dbs.discard(run_id)  # noqa: SLF001


def _delete_stray_shards(
    instance: dg.DagsterInstance, events: SqliteEventLogStorage, before: datetime
) -> None:
    """Databases of runs that are gone: the UI makes one when it is asked for a pruned run."""
    for run_id in events.get_all_run_ids():
        with suppress(FileNotFoundError):
            changed = Path(events.path_for_shard(run_id)).stat().st_mtime
            if (
                run_id not in _NO_RUN
                and changed < before.timestamp()
                and not instance.run_storage.has_run(run_id)
            ):
                _delete_shard(events, run_id)


def _delete_backfills(runs: SqlRunStorage, before: datetime, batch: int) -> int:
    """Finished backfills that were begun before then."""
    old = runs.get_backfills(
        BulkActionsFilter(statuses=BULK_ACTION_TERMINAL_STATUSES, created_before=before)
    )
    for ids in _batches([backfill.backfill_id for backfill in old], batch):
        with runs.connect() as connection:
            connection.execute(
                BackfillTagsTable.delete().where(BackfillTagsTable.c.backfill_id.in_(ids))
            )
            connection.execute(BulkActionsTable.delete().where(BulkActionsTable.c.key.in_(ids)))
    return len(old)


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
