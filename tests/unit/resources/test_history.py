"""Pruning on SQLite and Postgres: runs, events and logs go, what is known of assets stays."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count as numbers
from pathlib import Path
from time import sleep
from typing import IO, Any, cast

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)

from aq_resources.dagster_storage.event_log import BatchingSqliteEventLogStorage
from aq_resources.dagster_storage.history import Pruned, prune_history
from aq_resources.failures import PermanentFailure
from tests.servers.postgres import PostgresServer

DAYS = dg.DailyPartitionsDefinition("2024-03-01", "2024-03-07", timezone="UTC")
KEYS = DAYS.get_partition_keys()
READINGS, STATIONS = dg.AssetKey("readings"), dg.AssetKey("stations")
CHECK = dg.AssetCheckKey(READINGS, "there_are_some")
SQLITE = """
event_log_storage:
  module: aq_resources.dagster_storage.event_log
  class: BatchingSqliteEventLogStorage
  config: {base_dir: {env: DAGSTER_HOME}}
"""

_numbers = numbers(1)


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def readings(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("fails"):
        raise RuntimeError("the network is gone")
    for key in context.partition_keys:
        context.add_asset_metadata({"run": context.run.run_id}, partition_key=key)


@dg.asset
def stations() -> None:
    pass


@dg.asset_check(asset=readings)
def there_are_some(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"run": context.run.run_id})


DEFINITIONS = dg.Definitions(
    assets=[readings, stations],
    asset_checks=[there_are_some],
    jobs=[
        dg.define_asset_job("readings_job", dg.AssetSelection.assets(readings)),
        dg.define_asset_job("stations_job", dg.AssetSelection.assets(stations)),
    ],
)


@dataclass(frozen=True)
class Home:
    """A Dagster home at rest: its folder, and the name of its database where that is Postgres."""

    folder: Path
    database: str | None

    @contextmanager
    def opened(self, postgres: PostgresServer | None) -> Iterator[dg.DagsterInstance]:
        config = SQLITE
        if postgres is not None and self.database is not None:
            url = postgres.uri(self.database).replace("postgresql://", "postgresql+psycopg2://")
            config = f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n"
        (self.folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + config)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(self.folder))
            patch.setenv("DAGSTER_EVENT_BATCH_SIZE", "100")
            with dg.DagsterInstance.get() as instance:
                yield instance

    def copy(self, folder: Path, postgres: PostgresServer | None) -> "Home":
        shutil.copytree(self.folder, folder)
        if postgres is None or self.database is None:
            return Home(folder, None)
        name = f"history_{next(_numbers)}"
        postgres.create_database(name, self.database)
        return Home(folder, name)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """Where Dagster's storage is Postgres: its server."""
    return request.getfixturevalue("postgres") if request.param == "postgres" else None


# What is no matter of the database. Whichever it is, it costs a second for each run.
on_sqlite = pytest.mark.parametrize("server", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def new_home(server: PostgresServer | None, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One with all tables, in which nothing has happened."""
    name = None
    if server is not None:
        name = f"history_{next(_numbers)}"
        server.create_database(name)
    home = Home(tmp_path_factory.mktemp("new"), name)
    with home.opened(server):
        return home


@pytest.fixture(scope="module")
def home_with_past(
    new_home: Home, server: PostgresServer | None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Home, dict[str, str]]:
    """One with runs by name. Three of them are of no use any more."""
    home = new_home.copy(tmp_path_factory.mktemp("past") / "home", server)
    with home.opened(server) as instance:
        runs = {"all": run(instance, *KEYS)}
        for n in range(3):
            runs[f"again {n}"] = run(instance, KEYS[0])
        runs["stations"] = run(instance)
        runs["stations again"] = run(instance)
        runs["failed, then mended"] = run(instance, KEYS[2], fails=True)
        runs["mended"] = run(instance, KEYS[2])
        runs["failed last"] = run(instance, KEYS[1], fails=True)
    return home, runs


@pytest.fixture
def past(home_with_past: tuple[Home, dict[str, str]]) -> dict[str, str]:
    """The runs by name of an instance that has some."""
    return home_with_past[1]


@pytest.fixture
def instance(
    request: pytest.FixtureRequest, server: PostgresServer | None, tmp_path: Path
) -> Iterator[dg.DagsterInstance]:
    """Of the test alone; with the past for a test that asks for it, else new."""
    home: Home = (
        request.getfixturevalue("home_with_past")[0]
        if "past" in request.fixturenames
        else request.getfixturevalue("new_home")
    )
    with home.copy(tmp_path / "home", server).opened(server) as opened:
        yield opened


def run(instance: dg.DagsterInstance, *keys: str, fails: bool = False) -> str:
    """A run over these days, a range; without any, one of the stations. With a line of its log."""
    tags = {"fails": "yes"} if fails else {}
    if keys:
        tags |= {
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        }
    job = DEFINITIONS.resolve_job_def("readings_job" if keys else "stations_job")
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert result.success is not fails
    logs = instance.compute_log_manager
    with logs.open_log_stream([result.run_id, "compute_logs", "s"], ComputeIOType.STDOUT) as file:
        assert file is not None
        cast("IO[str]", file).write("hello")  # Dagster declares bytes and opens text
    return result.run_id


def known(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the UI, the sensors and automation ask of the assets."""
    log = instance.event_log_storage
    latest = log.get_latest_storage_id_by_partition(
        READINGS, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(READINGS, storage_ids=list(latest.values())), limit=100
    ).records
    newest = {key: instance.get_latest_materialization_event(key) for key in (READINGS, STATIONS)}
    checks = log.get_latest_asset_check_execution_by_key([CHECK])
    summary = log.get_asset_check_summary_records([CHECK])[CHECK]
    completed = summary.last_completed_check_execution_record
    return {
        "materialized": instance.get_materialized_partitions(READINGS),
        "status": instance.get_status_by_partition(READINGS, KEYS, DAYS),
        "latest": latest,
        "metadata": {r.partition_key: r.asset_materialization for r in records},
        "newest": newest,
        "check": (checks[CHECK].run_id, checks[CHECK].status, checks[CHECK].event),
        "completed": completed and (completed.id, completed.status),
        "keys": set(instance.all_asset_keys()),
    }


def count(instance: dg.DagsterInstance, table: sa.Table) -> int:
    log = instance.event_log_storage
    assert isinstance(log, SqlEventLogStorage)
    with log.index_connection() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def indexed(instance: dg.DagsterInstance, run_id: str) -> int:
    """Events of a run that show across runs."""
    log = instance.event_log_storage
    assert isinstance(log, SqlEventLogStorage)
    events = SqlEventLogStorageTable
    with log.index_connection() as connection:
        query = sa.select(sa.func.count()).select_from(events).where(events.c.run_id == run_id)
        return connection.execute(query).scalar_one()


def has_log(instance: dg.DagsterInstance, run_id: str) -> bool:
    data = instance.compute_log_manager.get_log_data([run_id, "compute_logs", "s"])
    return data.stdout == b"hello"


def shards(instance: dg.DagsterInstance) -> set[str]:
    """Runs that have a database of their own."""
    log = instance.event_log_storage
    return set(log.get_all_run_ids()) if isinstance(log, BatchingSqliteEventLogStorage) else set()


def moment() -> datetime:
    """A time apart from what happens before and after it: SQLite keeps a run's to the second."""
    sleep(1.1)
    now = datetime.now(UTC)
    sleep(1.1)
    return now


def test_what_is_known_of_assets_stays_and_the_rest_goes(
    instance: dg.DagsterInstance, past: dict[str, str]
) -> None:
    before = known(instance)
    assert before["materialized"] == set(KEYS)
    assert before["status"][KEYS[1]].value == "FAILED"
    events, tags = count(instance, SqlEventLogStorageTable), count(instance, AssetEventTagsTable)
    done = prune_history(instance, moment())

    assert known(instance) == before
    kept = past["failed last"]
    assert [found.run_id for found in instance.get_runs()] == [kept]
    assert (done.runs_deleted, done.runs_kept, done.runs_left) == (len(past) - 1, 1, 0)
    assert (done.before.runs, done.after.runs) == (len(past), 1)
    assert (done.before.events, done.after.events) == (
        events,
        count(instance, SqlEventLogStorageTable),
    )
    assert done.after.events < events / 2
    assert tags == 0 or count(instance, AssetEventTagsTable) < tags
    # The last one, and what the failed run had planned.
    assert count(instance, AssetCheckExecutionsTable) == 2
    assert {name for name in past if has_log(instance, past[name])} == {"failed last"}
    assert shards(instance) - {""} <= {kept}
    assert instance.all_logs(kept)
    assert instance.all_logs(past["all"]) == [] or not shards(instance)

    # A table of the run's events that somebody asked for above goes, too, once it is old.
    again = prune_history(instance, datetime.now(UTC) + timedelta(days=1))
    assert (again.runs_deleted, again.after.events) == (0, done.after.events)
    assert shards(instance) - {""} <= {kept}
    assert known(instance) == before


def test_what_is_younger_stays(instance: dg.DagsterInstance) -> None:
    old, since = run(instance, *KEYS), moment()
    young = run(instance, *KEYS)
    logs = instance.all_logs(young)
    done = prune_history(instance, since)
    assert (done.runs_deleted, done.runs_left) == (1, 0)
    assert [found.run_id for found in instance.get_runs()] == [young]
    assert instance.all_logs(young) == logs
    assert (has_log(instance, old), has_log(instance, young)) == (False, True)
    remaining = instance.fetch_materializations(READINGS, limit=100).records
    assert {record.run_id for record in remaining} == {young}


@on_sqlite
def test_an_event_that_was_kept_goes_when_it_has_a_successor(instance: dg.DagsterInstance) -> None:
    """Although its run went long before."""
    sizes = set()
    for _ in range(2):
        run(instance, *KEYS)
        since = moment()
        run(instance)
        prune_history(instance, since)
        assert len(instance.fetch_materializations(READINGS, limit=100).records) == len(KEYS)
        assert count(instance, AssetCheckExecutionsTable) == 1
        sizes.add(count(instance, SqlEventLogStorageTable))
    assert len(sizes) == 1


def test_runs_in_progress_are_not_touched(instance: dg.DagsterInstance) -> None:
    job = DEFINITIONS.resolve_job_def("readings_job")
    for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING):
        begun = instance.create_run_for_job(job, status=status, tags={"dagster/partition": KEYS[0]})
        run(instance, KEYS[0])
        before = instance.all_logs(begun.run_id), indexed(instance, begun.run_id)
        assert before[1] > 0
        prune_history(instance, moment())
        assert instance.get_run_by_id(begun.run_id) is not None
        assert (instance.all_logs(begun.run_id), indexed(instance, begun.run_id)) == before


@on_sqlite
def test_a_night_s_work_is_bounded_and_begins_with_the_oldest(
    instance: dg.DagsterInstance,
) -> None:
    runs = [run(instance) for _ in range(4)]
    done = prune_history(instance, moment(), limit=3, batch=2)
    assert (done.runs_deleted, done.runs_left) == (3, 1)
    assert {found.run_id for found in instance.get_runs()} == set(runs[3:])
    assert instance.get_latest_materialization_event(STATIONS) is not None


def test_killed_at_any_point_it_is_finished_by_the_next(
    instance: dg.DagsterInstance, past: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, since = known(instance), moment()
    log: Any = instance.event_log_storage
    index, delete = log.index_connection, instance.run_storage.delete_run
    left = 0

    def dying(step: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return step(*arguments)

        return take

    for steps in range(1, 100, 3):
        left = steps
        with monkeypatch.context() as patched:
            patched.setattr(log, "index_connection", dying(index))
            patched.setattr(instance.run_storage, "delete_run", dying(delete))
            try:
                prune_history(instance, since, batch=2)
                break
            except KeyboardInterrupt:
                pass
        assert known(instance) == before
    assert steps > 10
    assert known(instance) == before
    assert [found.run_id for found in instance.get_runs()] == [past["failed last"]]
    assert {name for name in past if has_log(instance, past[name])} == {"failed last"}
    assert shards(instance) - {""} <= {past["failed last"]}


def test_the_next_event_gets_a_number_of_its_own(instance: dg.DagsterInstance) -> None:
    """A sensor that has read so far would never see an event of a number used before."""
    run(instance)
    newest = instance.event_log_storage.get_maximum_record_id()
    assert newest is not None
    prune_history(instance, moment())
    run(instance)
    record = instance.fetch_materializations(STATIONS, limit=1).records[0]
    assert record.storage_id > newest


def test_old_events_without_a_run_go_but_for_the_newest(instance: dg.DagsterInstance) -> None:
    for n in range(4):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(READINGS, partition=KEYS[n % 2], metadata={"n": n})
        )
    prune_history(instance, moment())
    left = instance.fetch_materializations(READINGS, limit=10).records
    found = [(r.partition_key, r.asset_materialization.metadata["n"].value) for r in left]  # type: ignore[union-attr]
    assert sorted(found) == [(KEYS[0], 2), (KEYS[1], 3)]


def test_finished_backfills_go(instance: dg.DagsterInstance) -> None:
    def backfill(name: str, status: BulkActionStatus, age: float) -> None:
        instance.add_backfill(
            PartitionBackfill(
                backfill_id=name,
                status=status,
                from_failure=False,
                tags={"by": "us"},
                backfill_timestamp=datetime.now(UTC).timestamp() - age,
            )
        )

    backfill("done", BulkActionStatus.COMPLETED_SUCCESS, 100)
    backfill("failed", BulkActionStatus.COMPLETED_FAILED, 100)
    backfill("under way", BulkActionStatus.REQUESTED, 100)
    backfill("young", BulkActionStatus.COMPLETED_SUCCESS, 0)
    done = prune_history(instance, datetime.now(UTC) - timedelta(seconds=50))
    assert done.backfills_deleted == 2
    assert {b.backfill_id for b in instance.get_backfills()} == {"under way", "young"}


def test_other_storages_are_refused() -> None:
    class Elsewhere:
        event_log_storage = run_storage = object()

    with pytest.raises(PermanentFailure, match="cannot be pruned"):
        prune_history(Elsewhere(), datetime.now(UTC))  # type: ignore[arg-type]


def test_the_answer_says_what_was_there(instance: dg.DagsterInstance) -> None:
    done = prune_history(instance, datetime.now(UTC))
    assert isinstance(done, Pruned)
    assert done.before.events == done.after.events == done.after.runs == 0
    assert done.after.size_bytes > 0
