"""What Dagster's storage suite demands of an event log, of batches, on the stock log and on ours.

The suite (`TestEventLogStorage` in Dagster's repository) is not in its wheel. Here stands each
behaviour of it that storing a batch has a part in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import (
    AssetMaterializationPlannedData,
    AssetObservationData,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

from aq_resources.dagster_storage.event_log import BatchingSqliteEventLogStorage
from tests.patience import PATIENCE_S

# Nearly all that runs here is Dagster's; ours counts by `test_event_log`.
pytestmark = [pytest.mark.server, pytest.mark.no_cover]

A, B = dg.AssetKey(["network", "a"]), dg.AssetKey(["network", "b"])
RUN, OTHER = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION
OBSERVED = dg.DagsterEventType.ASSET_OBSERVATION

Storage = SqliteEventLogStorage
_seconds = count(1_700_000_000)


@pytest.fixture(params=[SqliteEventLogStorage, BatchingSqliteEventLogStorage])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    opened: Storage = request.param(base_dir=str(tmp_path / "runs"))
    yield opened
    opened.dispose()


def entry(
    kind: dg.DagsterEventType, data: Any = None, run: str = RUN, step: str | None = "step"
) -> dg.EventLogEntry:
    event = dg.DagsterEvent(kind.value, "job", event_specific_data=data, step_key=step)
    return dg.EventLogEntry(None, "debug", "", run, float(next(_seconds)), step, "job", event)  # type: ignore[no-untyped-call]


def planned(key: dg.AssetKey, partition: str | None, run: str = RUN) -> dg.EventLogEntry:
    return entry(PLANNED, AssetMaterializationPlannedData(key, partition), run)


def materialized(
    key: dg.AssetKey,
    partition: str | None,
    run: str = RUN,
    version: str | None = None,
    rows: int = 0,
) -> dg.EventLogEntry:
    tags = None if version is None else {DATA_VERSION_TAG: version, "not/indexed": "x"}
    made = dg.AssetMaterialization(key, partition=partition, tags=tags, metadata={"rows": rows})
    return entry(MATERIALIZED, StepMaterializationData(made), run)


def observed(
    key: dg.AssetKey, partition: str | None, run: str = RUN, version: str | None = None
) -> dg.EventLogEntry:
    tags = None if version is None else {DATA_VERSION_TAG: version}
    seen = dg.AssetObservation(key, partition=partition, tags=tags)
    return entry(OBSERVED, AssetObservationData(seen), run)


def check_planned(key: dg.AssetKey, run: str = RUN) -> dg.EventLogEntry:
    data = AssetCheckEvaluationPlanned(asset_key=key, check_name="rows")
    return entry(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, data, run)


def kinds(entries: Sequence[dg.EventLogEntry]) -> list[tuple[Any, str | None]]:
    return [(e.dagster_event_type, e.get_dagster_event().partition) for e in entries]


def newest_id(storage: Storage) -> int:
    with storage.index_connection() as connection:
        return int(
            connection.execute(sa.select(sa.func.max(SqlEventLogStorageTable.c.id))).scalar() or 0
        )


def in_index(storage: Storage) -> list[tuple[str, str | None]]:
    table = SqlEventLogStorageTable.c
    with storage.index_connection() as connection:
        rows = connection.execute(
            sa.select(table.dagster_event_type, table.partition).order_by(table.id)
        )
        return [tuple(row) for row in rows]


class TestTheLogOfARun:
    def test_events_stand_in_the_order_in_which_they_were_given(self, storage: Storage) -> None:
        start = entry(dg.DagsterEventType.STEP_START)
        skipped = entry(dg.DagsterEventType.STEP_SKIPPED)
        batch = [
            start,
            planned(A, "1"),
            check_planned(A),
            planned(A, "2"),
            materialized(A, "1"),
            observed(A, "2"),
            skipped,
            materialized(A, "2"),
        ]
        storage.store_event_batch(batch)
        assert storage.get_logs_for_run(RUN) == batch
        assert storage.get_logs_for_run(RUN, of_type={MATERIALIZED, OBSERVED}) == [
            batch[4],
            batch[5],
            batch[7],
        ]

    def test_cursors_and_limits_page_through_a_batch(self, storage: Storage) -> None:
        batch = [materialized(A, f"{number}") for number in range(7)]
        storage.store_event_batch(batch)
        pages, cursor = [], None
        while (page := storage.get_records_for_run(RUN, cursor, limit=3)).records:
            pages.append([record.event_log_entry for record in page.records])
            cursor = page.cursor
        assert pages == [batch[:3], batch[3:6], batch[6:]]
        assert storage.get_logs_for_run(RUN, limit=2, ascending=False) == [batch[6], batch[5]]

    def test_each_run_keeps_its_own_events(self, storage: Storage) -> None:
        first, second = materialized(A, "1"), materialized(A, "2", OTHER)
        third = materialized(A, "3")
        storage.store_event_batch([first, second, third])
        assert storage.get_logs_for_run(RUN) == [first, third]
        assert storage.get_logs_for_run(OTHER) == [second]
        assert storage.get_materialized_partitions(A) == {"1", "2", "3"}

    def test_deleting_a_run_leaves_the_others(self, storage: Storage) -> None:
        kept = materialized(A, "2", OTHER)
        storage.store_event_batch([planned(A, "1"), materialized(A, "1")])
        storage.store_event_batch([kept, materialized(B, "2", OTHER)])
        storage.delete_events(RUN)
        assert storage.get_logs_for_run(RUN) == []
        assert storage.get_logs_for_run(OTHER)[0] == kept

    def test_an_empty_batch_is_nothing(self, storage: Storage) -> None:
        storage.store_event_batch([])
        assert in_index(storage) == []

    def test_a_watcher_is_shown_every_event_of_a_batch(self, storage: Storage) -> None:
        seen: list[dg.EventLogEntry] = []
        complete = threading.Event()
        batch = [materialized(A, f"{number}") for number in range(5)]

        def watcher(event: dg.EventLogEntry, _cursor: str) -> None:
            seen.append(event)
            if len(seen) == len(batch):
                complete.set()

        storage.store_event(entry(dg.DagsterEventType.STEP_START))
        cursor = storage.get_records_for_run(RUN).cursor
        storage.watch(RUN, cursor, watcher)
        try:
            storage.store_event_batch(batch)
            assert complete.wait(PATIENCE_S)
        finally:
            storage.end_watch(RUN, watcher)
        assert seen == batch


class TestMaterializations:
    def test_newest_first_by_number_time_and_partition(self, storage: Storage) -> None:
        storage.store_event_batch([materialized(A, p, rows=n) for n, p in enumerate("abcde")])
        storage.store_event_batch([materialized(B, "z"), materialized(A, "a", rows=5)])

        def rows(limit: int = 100, *, ascending: bool = False, **given: Any) -> list[Any]:
            wanted = dg.AssetRecordsFilter(asset_key=A, **given)
            found = storage.fetch_materializations(wanted, limit, ascending=ascending).records
            return [r.asset_materialization.metadata["rows"].value for r in found]  # type: ignore[union-attr]

        oldest = storage.fetch_materializations(A, 3, ascending=True).records
        assert rows() == [5, 4, 3, 2, 1, 0]
        assert rows(2, ascending=True) == [0, 1]
        assert rows(after_storage_id=oldest[2].storage_id) == [5, 4, 3]
        assert rows(before_storage_id=oldest[2].storage_id) == [1, 0]
        assert rows(storage_ids=[oldest[0].storage_id, oldest[2].storage_id]) == [2, 0]
        assert rows(after_timestamp=oldest[0].timestamp, before_timestamp=oldest[2].timestamp) == [
            1
        ]
        assert rows(asset_partitions=["a", "c"]) == [5, 2, 0]
        assert rows(1, asset_partitions=["a"]) == [5]
        assert rows(asset_partitions=["none"]) == []

    def test_pages_of_the_fetch_meet(self, storage: Storage) -> None:
        storage.store_event_batch([materialized(A, f"{n}") for n in range(5)])
        found, cursor, more = [], None, True
        while more:
            page = storage.fetch_materializations(A, 2, cursor, ascending=True)
            found += [record.partition_key for record in page.records]
            cursor, more = page.cursor, page.has_more
        assert found == ["0", "1", "2", "3", "4"]

    def test_partitions_between_cursors_and_after_a_wipe(self, storage: Storage) -> None:
        storage.store_event_batch([materialized(A, "1"), materialized(A, "2"), observed(A, "9")])
        first = newest_id(storage)
        storage.store_event_batch(
            [materialized(A, "1"), materialized(A, "3"), materialized(B, "1")]
        )
        assert storage.get_materialized_partitions(A) == {"1", "2", "3"}
        assert storage.get_materialized_partitions(A, before_cursor=first) == {"1", "2"}
        assert storage.get_materialized_partitions(A, after_cursor=first) == {"1", "3"}
        storage.wipe_asset(A)
        assert storage.get_materialized_partitions(A) == set()
        assert storage.get_materialized_partitions(B) == {"1"}
        assert not storage.has_asset_key(A)
        # A wipe takes its time from the clock.
        new = [materialized(A, "4"), materialized(A, "5")]
        storage.store_event_batch([event._replace(timestamp=4e9) for event in new])
        assert storage.get_materialized_partitions(A) == {"4", "5"}
        assert storage.has_asset_key(A)

    def test_the_latest_number_of_each_partition(self, storage: Storage) -> None:
        storage.store_event_batch(
            [materialized(A, p) for p in ("1", "2", "1")] + [materialized(B, "1")]
        )
        last = newest_id(storage)
        latest = storage.get_latest_storage_id_by_partition(A, MATERIALIZED)
        assert latest == {"1": last - 1, "2": last - 2}
        only = storage.get_latest_storage_id_by_partition(A, MATERIALIZED, {"2"})
        assert only == {"2": last - 2}

    def test_without_a_partition(self, storage: Storage) -> None:
        storage.store_event_batch([materialized(A, None), materialized(B, None)])
        assert storage.get_materialized_partitions(A) == set()
        assert set(storage.get_latest_materialization_events([A, B])) == {A, B}

    def test_outside_any_run(self, storage: Storage) -> None:
        storage.store_event_batch([planned(A, "1"), planned(A, "2")])
        storage.store_event_batch([materialized(A, p, RUNLESS_RUN_ID) for p in ("1", "3")])
        assert storage.get_materialized_partitions(A) == {"1", "3"}
        assert set(attempts(storage)) == {"2"}


class TestVersions:
    @pytest.mark.parametrize("kind", [materialized, observed])
    def test_tags_of_the_latest_event_of_each_partition(
        self, storage: Storage, kind: Callable[..., dg.EventLogEntry]
    ) -> None:
        event_type = MATERIALIZED if kind is materialized else OBSERVED
        storage.store_event_batch([kind(A, "1", version="x"), kind(A, "2", version="x")])
        first = newest_id(storage)
        storage.store_event_batch(
            [kind(A, "1", version="y"), kind(B, "1", version="b"), kind(A, "1", version="z")]
        )

        def tags(**given: Any) -> dict[str, str]:
            found = storage.get_latest_tags_by_partition(A, event_type, [DATA_VERSION_TAG], **given)
            return {partition: tags[DATA_VERSION_TAG] for partition, tags in found.items()}

        assert tags() == {"1": "z", "2": "x"}
        assert tags(asset_partitions=["1", "9"]) == {"1": "z"}
        assert tags(before_cursor=first + 1) == {"1": "x", "2": "x"}
        assert tags(after_cursor=first) == {"1": "z"}
        assert storage.get_updated_data_version_partitions(A, ["1", "2"], first) == {"1"}
        assert storage.get_updated_data_version_partitions(A, ["1", "2"], first + 3) == set()

    def test_only_what_dagster_asks_for_is_indexed(self, storage: Storage) -> None:
        storage.store_event_batch(
            [
                materialized(A, "1", version="x"),
                materialized(A, "2"),
                materialized(A, "3", version="y"),
            ]
        )
        found = storage.get_event_tags_for_asset(A)
        assert sorted(tags[DATA_VERSION_TAG] for tags in found) == ["x", "y"]
        assert all(set(tags) == {DATA_VERSION_TAG} for tags in found)
        [one] = storage.get_event_tags_for_asset(A, filter_tags={DATA_VERSION_TAG: "y"})
        assert one == {DATA_VERSION_TAG: "y"}


def attempts(storage: Storage, key: dg.AssetKey = A, after: int | None = None) -> dict[str, Any]:
    found = storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        key, after
    )
    return dict(found)


class TestPlans:
    def test_what_was_planned_and_did_not_come(self, storage: Storage) -> None:
        storage.store_event_batch([planned(A, p) for p in ("1", "2", "3")] + [planned(B, "1")])
        first = newest_id(storage)
        storage.store_event_batch([materialized(A, "1"), materialized(A, "2")])
        assert attempts(storage) == {"3": (RUN, first - 1)}
        storage.store_event_batch([planned(A, "2", OTHER), planned(A, "3", OTHER)])
        last = newest_id(storage)
        assert attempts(storage) == {"2": (OTHER, last - 1), "3": (OTHER, last)}
        assert attempts(storage, after=last - 1) == {"3": (OTHER, last)}
        assert attempts(storage, B) == {"1": (RUN, first)}

    def test_a_plan_after_what_came_and_one_without_partition(self, storage: Storage) -> None:
        storage.store_event_batch([planned(A, "1"), materialized(A, "1"), planned(A, "1", OTHER)])
        last = newest_id(storage)
        storage.store_event_batch([planned(A, None), observed(A, "1")])
        assert attempts(storage) == {"1": (OTHER, last)}
        assert attempts(storage, after=last) == {}

    def test_what_was_planned_before_a_wipe_is_forgotten(self, storage: Storage) -> None:
        storage.store_event_batch([planned(A, "1"), planned(A, "2")])
        storage.wipe_asset(A)
        assert attempts(storage) == {}

    def test_the_latest_plan_of_all_and_of_a_partition(self, storage: Storage) -> None:
        storage.store_event_batch([planned(A, "1"), planned(A, "2")])
        storage.store_event_batch([planned(A, "1", OTHER), materialized(A, "1", OTHER)])

        def run_id(key: dg.AssetKey, partition: str | None = None) -> str | None:
            info = storage.get_latest_planned_materialization_info(key, partition)
            return None if info is None else info.run_id

        assert (run_id(A), run_id(A, "1"), run_id(A, "2")) == (OTHER, OTHER, RUN)
        assert (run_id(A, "3"), run_id(B)) == (None, None)

    def test_planned_checks_are_recorded_beside_planned_partitions(self, storage: Storage) -> None:
        storage.store_event_batch(
            [planned(A, "1"), check_planned(A), planned(A, "2"), check_planned(B)]
        )
        for key in (A, B):
            check = dg.AssetCheckKey(key, "rows")
            [record] = storage.get_asset_check_execution_history(check, limit=10)
            assert (record.run_id, record.status.value) == (RUN, "PLANNED")
        assert len(in_index(storage)) == 4


class TestTheAssetsRow:
    def test_it_remembers_the_last_event_of_each_type(self, storage: Storage) -> None:
        last = materialized(A, "2", rows=2)
        storage.store_event_batch([planned(A, "1"), planned(A, "2")])
        storage.store_event_batch([materialized(A, "1", rows=1), last, observed(A, "3")])
        [record] = storage.get_asset_records([A])
        assert record.asset_entry.last_materialization == last
        assert record.asset_entry.last_run_id == RUN
        stored = record.asset_entry.last_materialization_record
        assert stored is not None
        [fetched] = storage.fetch_materializations(A, 1).records
        assert stored.storage_id == fetched.storage_id
        assert storage.get_latest_materialization_events([A])[A] == last

    def test_a_plan_or_an_observation_makes_it(self, storage: Storage) -> None:
        storage.store_event_batch([planned(A, "1", OTHER), observed(B, "1"), observed(B, "2")])
        assert set(storage.get_asset_keys()) == {A, B}
        [record] = storage.get_asset_records([A])
        assert record.asset_entry.last_run_id == OTHER
        assert record.asset_entry.last_materialization is None

    def test_its_time_is_that_of_the_last_event_of_all(self, storage: Storage) -> None:
        """It decides whether an asset that was wiped exists again, and the order of the list."""
        storage.store_event_batch([materialized(A, "1"), planned(A, "2"), materialized(A, "3")])
        storage.store_event_batch([materialized(B, "1"), materialized(B, "2"), planned(B, "3")])
        table = sa.table(
            "asset_keys", sa.column("asset_key"), sa.column("last_materialization_timestamp")
        )
        with storage.index_connection() as connection:
            times = dict(map(tuple, connection.execute(sa.select(table))))
            events = connection.execute(
                sa.select(
                    SqlEventLogStorageTable.c.asset_key,
                    sa.func.max(SqlEventLogStorageTable.c.timestamp),
                ).group_by(SqlEventLogStorageTable.c.asset_key)
            )
            assert {key: str(time)[:19] for key, time in times.items()} == {
                key: str(time)[:19] for key, time in events
            }


class TestFailure:
    @pytest.mark.parametrize("database", ["run_connection", "index_transaction"])
    def test_events_of_a_batch_that_failed_are_in_the_index_once(
        self,
        database: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Dagster then stores them one by one."""
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "10")
        with our_instance(tmp_path, monkeypatch) as instance:
            log = instance.event_log_storage
            assert isinstance(log, BatchingSqliteEventLogStorage)
            working = getattr(log, database)
            failures = iter(
                [sa.exc.OperationalError("INSERT", {}, Exception("database is locked"))]
            )

            def sometimes(*given: Any) -> Any:
                if error := next(failures, None):
                    raise error
                return working(*given)

            monkeypatch.setattr(log, database, sometimes)
            report(instance, [materialized(A, f"{n}") for n in range(3)])
            assert "database is locked" in capsys.readouterr().err
            assert in_index(log) == [(MATERIALIZED.value, f"{n}") for n in range(3)]

    def test_nothing_of_a_batch_is_in_the_index_where_one_event_cannot_be_stored(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = BatchingSqliteEventLogStorage(base_dir=str(tmp_path))

        def refuse(*_: Any) -> None:
            raise sa.exc.OperationalError("INSERT", {}, Exception("disk full"))

        monkeypatch.setattr(log, "_store_asset_event_tags", refuse)
        with pytest.raises(sa.exc.OperationalError):
            log.store_event_batch([materialized(A, "1"), materialized(A, "2")])
        assert in_index(log) == []
        assert not log.has_asset_key(A)
        log.dispose()

    def test_writers_at_the_same_time_lose_nothing(self, storage: Storage, tmp_path: Path) -> None:
        runs = [letter * 8 + RUN[8:] for letter in "abc"]
        storage.store_event(entry(dg.DagsterEventType.STEP_START))

        def write(run: str) -> None:
            own = type(storage)(base_dir=str(tmp_path / "runs"))
            for part in range(2):
                own.store_event_batch(
                    [materialized(A, f"{run[0]}.{part}.{n}", run) for n in range(5)]
                )
            own.dispose()

        with ThreadPoolExecutor(len(runs)) as pool:
            list(pool.map(write, runs))
        assert len(storage.get_materialized_partitions(A)) == 3 * 2 * 5
        assert [len(storage.get_logs_for_run(run)) for run in runs] == [10] * 3


class TestThroughTheInstance:
    @pytest.mark.parametrize(("size", "events"), [(0, 5), (2, 5), (5, 5), (100, 5), (100, 1)])
    def test_every_size_of_batch_stores_the_same(
        self, size: int, events: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", f"{size}")
        with our_instance(tmp_path, monkeypatch) as instance:
            report(instance, [materialized(A, f"{n}", rows=n) for n in range(events)])
            log = instance.event_log_storage
            assert kinds(log.get_logs_for_run(RUN)) == [
                (MATERIALIZED, f"{n}") for n in range(events)
            ]
            assert log.get_materialized_partitions(A) == {f"{n}" for n in range(events)}


@contextmanager
def our_instance(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    from aq_platform.instance import EVENT_LOG

    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + EVENT_LOG)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance


def report(instance: dg.DagsterInstance, entries: Sequence[dg.EventLogEntry]) -> None:
    """As a step does: one batch, its last event marked."""
    for number, stored in enumerate(entries, start=1):
        instance.report_dagster_event(
            stored.get_dagster_event(),
            stored.run_id,
            batch_metadata=DagsterEventBatchMetadata("batch", number == len(entries)),
        )
