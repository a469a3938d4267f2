"""Events stored in batches are the events that Dagster's own storage keeps, one by one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from aq_resources.dagster_storage.event_log import BatchingSqliteEventLogStorage

pytestmark = pytest.mark.server

DAYS = dg.DailyPartitionsDefinition("2024-03-01", "2024-03-08", timezone="UTC")
KEYS = DAYS.get_partition_keys()
READINGS = dg.AssetKey("readings")
BATCHED = """
event_log_storage:
  module: aq_resources.dagster_storage.event_log
  class: BatchingSqliteEventLogStorage
  config: {base_dir: {env: DAGSTER_HOME}}
"""


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def readings(context: dg.AssetExecutionContext) -> None:
    for number, key in enumerate(context.partition_keys):
        context.add_asset_metadata({"rows": number}, partition_key=key)


@dg.asset_check(asset=readings)
def there_are_some() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def recorded(home: Path, config: str, batch: int, patch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """An instance that has seen one ranged run."""
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + config)
    patch.setenv("DAGSTER_HOME", str(home))
    patch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(batch))
    instance = dg.DagsterInstance.get()
    job = dg.Definitions(
        assets=[readings], asset_checks=[there_are_some], jobs=[dg.define_asset_job("job")]
    ).resolve_job_def("job")
    tags = {
        "dagster/asset_partition_range_start": KEYS[0],
        "dagster/asset_partition_range_end": KEYS[-1],
    }
    assert job.execute_in_process(instance=instance, tags=tags).success
    return instance


@pytest.fixture
def pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[dg.DagsterInstance, dg.DagsterInstance]]:
    with ExitStack() as stack:
        stock = stack.enter_context(recorded(tmp_path / "stock", "", 0, monkeypatch))
        ours = stack.enter_context(recorded(tmp_path / "ours", BATCHED, 3, monkeypatch))
        assert isinstance(ours.event_log_storage, BatchingSqliteEventLogStorage)
        yield stock, ours


def metadata_of(record: dg.EventLogRecord) -> object:
    made = record.asset_materialization
    assert made is not None
    return made.metadata


def seen(instance: dg.DagsterInstance) -> dict[str, object]:
    """What the UI and the automation ask of an event log."""
    (run,) = instance.get_runs()
    events = [
        (event.event_type_value, event.partition)
        for entry in instance.all_logs(run.run_id)
        if (event := entry.dagster_event) is not None and event.asset_key is not None
    ]
    stored = instance.fetch_materializations(READINGS, limit=100).records
    latest = instance.get_latest_materialization_event(READINGS)
    return {
        "materialized": instance.get_materialized_partitions(READINGS),
        "by run": sorted(events, key=str),
        "by asset": [(record.partition_key, metadata_of(record)) for record in stored],
        "latest": latest and latest.get_dagster_event().partition,
        "checks": [
            record.status
            for record in instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(READINGS, "there_are_some"), limit=10
            )
        ],
        "counts": instance.event_log_storage.get_materialized_partitions(READINGS),
    }


def test_a_batch_leaves_what_single_events_leave(
    pair: tuple[dg.DagsterInstance, dg.DagsterInstance],
) -> None:
    stock, ours = (seen(instance) for instance in pair)
    assert ours == stock
    assert ours["materialized"] == set(KEYS)
    assert ours["latest"] == KEYS[-1]


def test_who_sees_that_a_run_failed_finds_it_failed(
    pair: tuple[dg.DagsterInstance, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's daemon looks once, and retries no run that is still said to work."""
    _, ours = pair
    seen = []
    store = SqliteEventLogStorage.store_event

    def stored(self: SqliteEventLogStorage, event: dg.EventLogEntry) -> None:
        store(self, event)
        if event.dagster_event_type == dg.DagsterEventType.RUN_FAILURE:
            run = ours.get_run_by_id(event.run_id)
            assert run is not None
            seen.append(run.status)

    monkeypatch.setattr(SqliteEventLogStorage, "store_event", stored)
    run = ours.create_run_for_job(dg.GraphDefinition(name="crashed").to_job())
    ours.report_run_failed(run)
    assert seen == [dg.DagsterRunStatus.FAILURE]
    (event,) = ours.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    (record,) = ours.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    assert record.end_time == pytest.approx(event.timestamp)
