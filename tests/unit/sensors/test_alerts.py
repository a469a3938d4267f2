"""The alerts sensor on both storages: what happened is reported once, and delivered at last."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aq_assets.declare import asset, asset_check
from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.day_files import parquet_bytes
from aq_resources.stores.object_store import LocalObjectStore
from aq_sensors.alerts import events, newest_hours
from aq_sensors.alerts.evidence import AbandonedDay
from aq_sensors.alerts.sensor import build_alerts
from tests.factories import DAY, HOUR, hourly, utc
from tests.patience import PATIENCE_S
from tests.servers.sinks import WebhookSink, mail_sink, webhook_sink

NOW = utc(2024, 3, 10, 12, 30)
TODAY, LONG_AGO = "2024-03-10", "2024-03-01"
CONFIG = NetworkConfig(name="airqino", start_date=utc(2024, 3, 1).date(), stations=("s1",))
DAYS = dg.DailyPartitionsDefinition("2024-03-01", timezone="UTC")
SQLITE = """
event_log_storage:
  module: aq_resources.dagster_storage.event_log
  class: BatchingSqliteEventLogStorage
  config: {base_dir: {env: DAGSTER_HOME}}
"""
COMMON = """
telemetry: {enabled: false}
run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}
"""


class Upstream:
    """What the assets and checks of the test are to do."""

    failure: Exception | None = None
    bad_rows = 0
    old_rows = 0


def definitions(upstream: Upstream) -> dg.Definitions:
    @asset(key_prefix="airqino", partitions_def=DAYS)
    def raw_pulls() -> None:
        if upstream.failure is not None:
            raise upstream.failure

    @asset(key_prefix="airqino", partitions_def=DAYS, deps=[raw_pulls])
    def hourly_readings() -> None:
        pass

    @asset(key_prefix="airqino", partitions_def=DAYS, deps=[hourly_readings])
    def daily_averages() -> None:
        pass

    @asset_check(asset=hourly_readings, blocking=True)
    def unique_hours() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=upstream.bad_rows == 0, metadata={"bad_rows": upstream.bad_rows}
        )

    @asset_check(asset=hourly_readings)
    def newest_hour_is_recent() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=upstream.old_rows == 0, severity=dg.AssetCheckSeverity.WARN
        )

    assets = [raw_pulls, hourly_readings, daily_averages]
    return dg.Definitions(
        assets=assets,
        asset_checks=[unique_hours, newest_hour_is_recent],
        jobs=[
            dg.define_asset_job("airqino_readings", assets),
            dg.define_asset_job("airqino_pull", [raw_pulls]),
        ],
        executor=dg.in_process_executor,
    )


class Bench:
    """An instance, a platform and the sensor, ticked by hand with its own cursor."""

    def __init__(self, instance: dg.DagsterInstance, services: Services) -> None:
        self.instance = instance
        self.services = services
        self.upstream = Upstream()
        self.definitions = definitions(self.upstream)
        self.repository = self.definitions.get_repository_def()
        self.abandoned: list[AbandonedDay] | None = None
        self.sensor = build_alerts(services, lambda context: self.abandoned)
        self.cursor: str | None = None
        self.summary = ""
        self.now = NOW

    def run(self, job: str = "airqino_pull", day: str = TODAY) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=day, raise_on_error=False
        )

    def tick(self) -> None:
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.repository
        ) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        assert result.skip_reason is not None
        self.cursor, self.summary = result.cursor, result.skip_reason.skip_message or ""

    def readings_until(self, newest: datetime) -> None:
        files = self.services.files.day_files("airqino", "hourly_readings")
        frame = hourly([1.0], newest)
        self.services.object_store.put(files.key(newest.date()), parquet_bytes(frame))

    @property
    def state(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.cursor or "{}")
        return loaded


@pytest.fixture
def storage() -> str:
    return "sqlite"


on_both_storages = pytest.mark.parametrize("storage", ["sqlite", "postgres"])


@pytest.fixture
def instance(
    storage: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    config = SQLITE
    if storage == "postgres":
        address = request.getfixturevalue("postgres_database")
        url = address.replace("postgresql://", "postgresql+psycopg2://")
        config = f"storage: {{postgres: {{postgres_url: '{url}'}}}}"
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(COMMON + config)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.fixture
def hook(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookSink]:
    with webhook_sink() as sink:
        monkeypatch.setenv("AQ_ALERT_WEBHOOK", sink.url())
        yield sink


@pytest.fixture
def bench(
    instance: dg.DagsterInstance,
    hook: WebhookSink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AQ_UI_URL", "http://ui.example")
    monkeypatch.setattr(events, "SETTLE_SECONDS", 0.0)
    services = Services(Settings(), {"airqino": CONFIG})
    made = Bench(instance, services)
    services.now = lambda: made.now
    made.readings_until(NOW.replace(minute=0) - 2 * HOUR)
    return made


@pytest.fixture
def watching(bench: Bench) -> Bench:
    """After its first tick."""
    bench.tick()
    return bench


@on_both_storages
def test_a_failed_run_and_its_recovery(watching: Bench, hook: WebhookSink) -> None:
    watching.upstream.failure = PermanentFailure("AirQino refuses the login: check the password")
    run = watching.run("airqino_readings")
    watching.tick()
    (text,) = hook.texts
    assert text.splitlines() == [
        "[aq] FAILED: airqino/raw_pulls",
        "For: 2024-03-10",
        "Job: airqino_readings",
        "Cause: AirQino refuses the login: check the password",
        "Do: fix what the cause names, then run it again: in the UI, or by `aq backfill`.",
        f"Run: http://ui.example/runs/{run.run_id}",
    ]
    assert watching.summary == "Open: airqino/raw_pulls."
    watching.run()
    watching.tick()
    watching.upstream.failure = None
    # Other assets of the job work again; it is raw_pulls that has to.
    good = watching.run()
    watching.tick()
    watching.tick()
    assert len(hook.texts) == 2
    assert hook.texts[1].startswith("[aq] RECOVERED: airqino/raw_pulls\nFor: 2024-03-10\n")
    assert good.run_id in hook.texts[1]
    assert watching.summary == "Nothing is wrong."


def test_an_unforeseen_error_and_a_passing_one(watching: Bench, hook: WebhookSink) -> None:
    watching.upstream.failure = ZeroDivisionError("division of the test")
    watching.run()
    watching.upstream.failure = TransientFailure("AirQino answered 503")
    watching.run(day=LONG_AGO)
    watching.tick()
    (text,) = hook.texts
    present, past = text.split("\n\n")
    assert "(and 1 more)" in present
    assert "division of the test" in present
    assert past.startswith("[aq] FAILED: airqino/raw_pulls (past days)\nFor: 2024-03-01\n")
    assert "Do: nothing yet" in past


@on_both_storages
def test_a_failed_blocking_check_is_one_incident_not_two(
    watching: Bench, hook: WebhookSink
) -> None:
    watching.upstream.bad_rows = 3
    assert not watching.run("airqino_readings").success
    watching.tick()
    (text,) = hook.texts
    assert text.startswith("[aq] FAILED: airqino/hourly_readings: check unique_hours\n")
    assert "Cause: bad_rows 3" in text
    assert "For: 2024-03-10" in text
    watching.upstream.bad_rows = 0
    assert watching.run("airqino_readings").success
    watching.tick()
    assert hook.texts[1].startswith("[aq] RECOVERED: airqino/hourly_readings: check unique_hours")


def test_a_warning_is_logged_and_not_sent(
    watching: Bench, hook: WebhookSink, caplog: pytest.LogCaptureFixture
) -> None:
    watching.upstream.old_rows = 1
    assert watching.run("airqino_readings").success
    watching.tick()
    assert hook.texts == []
    (record,) = [r for r in caplog.records if r.name == "aq.alerts"]
    assert record.levelno == logging.WARNING
    assert "newest_hour_is_recent" in record.getMessage()


@on_both_storages
class TestCrashedRuns:
    def crash(self, bench: Bench) -> str:
        job = bench.definitions.resolve_job_def("airqino_readings")
        run = bench.instance.create_run_for_job(
            job, tags={"dagster/partition": TODAY}, status=dg.DagsterRunStatus.STARTED
        )
        bench.instance.report_run_failed(run, "Run worker process 1234 died.")
        return run.run_id

    def retry(self, bench: Bench, crashed: str) -> None:
        """As the daemon does, with a retry that crashes too."""
        parent = bench.instance.get_run_by_id(crashed)
        assert parent is not None
        job = bench.definitions.resolve_job_def("airqino_readings")
        child = bench.instance.create_run_for_job(
            job,
            tags={
                "dagster/partition": TODAY,
                "dagster/retry_number": "1",
                "dagster/parent_run_id": crashed,
                "dagster/root_run_id": crashed,
            },
            status=dg.DagsterRunStatus.STARTED,
            parent_run_id=crashed,
            root_run_id=crashed,
        )
        bench.instance.add_run_tags(crashed, {"dagster/auto_retry_run_id": child.run_id})
        bench.instance.report_run_failed(child, "Run worker process 1235 died.")

    def test_it_waits_for_the_retry_and_reports_the_last(
        self, watching: Bench, hook: WebhookSink
    ) -> None:
        crashed = self.crash(watching)
        watching.tick()
        watching.tick()
        assert hook.texts == []
        assert list(watching.state["awaited"]) == [crashed]
        self.retry(watching, crashed)
        watching.tick()
        (text,) = hook.texts
        assert text.startswith(
            "[aq] FAILED: airqino/daily_averages, airqino/hourly_readings, airqino/raw_pulls\n"
        )
        assert "Cause: Run worker process 1235 died." in text
        assert watching.state["awaited"] == {}

    @pytest.mark.parametrize("daemon", ["refuses", "is dead"])
    def test_a_retry_that_does_not_come_is_reported(
        self, watching: Bench, hook: WebhookSink, daemon: str
    ) -> None:
        crashed = self.crash(watching)
        watching.tick()
        if daemon == "refuses":
            watching.instance.add_run_tags(crashed, {"dagster/will_retry": "false"})
        else:
            watching.now += 2 * HOUR
        watching.tick()
        (text,) = hook.texts
        assert "Dagster did not retry it" in text
        assert crashed in text
        watching.tick()
        assert len(hook.texts) == 1


@on_both_storages
def test_what_was_before_the_first_tick_is_history(bench: Bench, hook: WebhookSink) -> None:
    bench.upstream.failure = PermanentFailure("long ago")
    bench.run()
    bench.tick()
    bench.tick()
    assert hook.texts == []
    bench.run()
    bench.tick()
    assert len(hook.texts) == 1


@on_both_storages
def test_pages_follow_one_another_and_nothing_is_skipped(
    watching: Bench, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAGE", 2)
    for n in range(3):
        watching.upstream.failure = PermanentFailure(f"failure {n}")
        watching.run()
        watching.upstream.failure = None
        watching.run()
    for _ in range(7):
        watching.tick()
    sent = "\n".join(hook.texts)
    assert [f"failure {n}" in sent for n in range(3)] == [True] * 3
    assert sent.count("RECOVERED") == sent.count("FAILED") == 3


def test_an_event_may_come_into_sight_late(
    watching: Bench, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are given before transactions end: young events wait for those that may precede."""
    monkeypatch.setattr(events, "SETTLE_SECONDS", 10.0)
    watching.upstream.failure = PermanentFailure("just now")
    watching.run()
    watching.tick()
    assert hook.texts == []
    later = time.time() + 11
    monkeypatch.setattr(time, "time", lambda: later)
    watching.tick()
    assert len(hook.texts) == 1


@on_both_storages
def test_a_log_that_was_replaced_is_followed(watching: Bench, hook: WebhookSink) -> None:
    """Restored from a backup, its ids begin below the remembered one."""
    watching.cursor = json.dumps({**watching.state, "after": 10**9})
    watching.tick()
    watching.upstream.failure = PermanentFailure("after the restore")
    watching.run()
    watching.tick()
    assert len(hook.texts) == 1


class TestSilence:
    def test_a_network_without_runs_is_silent_too(self, watching: Bench, hook: WebhookSink) -> None:
        for hours in (4, 6, 6.5):
            watching.now = NOW + hours * HOUR
            watching.tick()
        (text,) = hook.texts
        assert text.startswith("[aq] FAILED: airqino: no new readings\n")
        assert "2024-03-10 10:00Z, 8 h old" in text
        watching.readings_until(NOW.replace(minute=0) + 6 * HOUR)
        watching.tick()
        assert hook.texts[1].startswith("[aq] RECOVERED: airqino: no new readings\n")
        assert "Newest hour: 2024-03-10 18:00Z" in hook.texts[1]

    def test_hours_without_a_value_do_not_count(self, watching: Bench, hook: WebhookSink) -> None:
        files = watching.services.files.day_files("airqino", "hourly_readings")
        day = (NOW + DAY).date()
        watching.services.object_store.put(files.key(day), parquet_bytes(files.schema.to_frame()))
        watching.now = NOW + DAY
        watching.tick()
        watching.now += HOUR
        watching.tick()
        assert "2024-03-10 10:00Z, 26 h old" in hook.texts[0]

    def test_the_store_is_asked_only_where_it_matters(
        self, watching: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []
        listed = LocalObjectStore.folders

        def counted(store: LocalObjectStore, *arguments: str) -> list[str]:
            asked.append(arguments)
            return listed(store, *arguments)

        monkeypatch.setattr(LocalObjectStore, "folders", counted)
        for _ in range(3):
            watching.tick()
        assert asked == []
        watching.now = NOW + 5 * HOUR
        watching.tick()
        # And then only for days from the newest known one on.
        assert asked == [("airqino/hourly_readings", "date=2024-03-09")]

    def test_a_store_that_fails_or_hangs_stops_nothing_else(
        self, watching: Bench, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watching.now = NOW + 5 * HOUR
        watching.upstream.failure = PermanentFailure("the disk is full")
        monkeypatch.setattr(newest_hours, "STORE_SECONDS", 0.2)

        def fail(store: LocalObjectStore, *arguments: str) -> list[str]:
            raise TransientFailure("S3 is away")

        over = threading.Event()

        def hang(store: LocalObjectStore, *arguments: str) -> list[str]:
            over.wait(PATIENCE_S)
            return []

        for number, folders in enumerate((fail, hang), 1):
            monkeypatch.setattr(LocalObjectStore, "folders", folders)
            watching.run()
            watching.tick()
            assert "The newest hours cannot be read" in watching.summary
            assert len(hook.texts) == 2 * number - 1
            watching.upstream.failure = None
            watching.run()
            watching.tick()
            watching.upstream.failure = PermanentFailure("again")
        over.set()
        for thread in threading.enumerate():
            if thread.name == "within":
                thread.join()


def test_days_abandoned(watching: Bench, hook: WebhookSink) -> None:
    watching.abandoned = [AbandonedDay("airqino", (NOW - 3 * DAY).date(), "missing")]
    watching.tick()
    assert "airqino: days given up" in hook.texts[0]
    watching.abandoned = None
    watching.tick()
    watching.abandoned = []
    watching.tick()
    assert len(hook.texts) == 2


class TestDelivery:
    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The waits between tries, by hand."""
        shown = [time.time()]
        monkeypatch.setattr(time, "time", lambda: shown[0])
        return shown

    def test_a_webhook_that_is_down_gets_everything_later(
        self,
        watching: Bench,
        hook: WebhookSink,
        clock: list[float],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        hook.status = 503
        watching.upstream.failure = PermanentFailure("first")
        watching.run()
        watching.tick()
        assert "webhook answered 503." in watching.summary
        assert "1 messages wait for webhook." in watching.summary
        watching.upstream.failure = None
        watching.run()
        watching.tick()
        # The log does not wait.
        logged = [r.getMessage() for r in caplog.records if r.name == "aq.alerts"]
        assert any("FAILED: airqino/raw_pulls" in line for line in logged)
        assert any("RECOVERED: airqino/raw_pulls" in line for line in logged)
        hook.status = 200
        watching.tick()
        assert hook.texts == []
        clock[0] += 31
        watching.tick()
        (text,) = hook.texts
        assert text.index("FAILED") < text.index("RECOVERED")
        clock[0] += 100_000
        watching.tick()
        assert len(hook.texts) == 1

    def test_a_tick_that_was_lost_is_repeated(self, watching: Bench, hook: WebhookSink) -> None:
        """The cursor is kept after the tick: a daemon that dies in between sends again."""
        watching.upstream.failure = PermanentFailure("first")
        watching.run()
        cursor = watching.cursor
        watching.tick()
        watching.cursor = cursor
        watching.tick()
        assert len(hook.texts) == 2

    def test_each_channel_has_its_own_queue(
        self, watching: Bench, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with mail_sink() as mail:
            for name, value in {
                "EMAIL_TO": "ana@example.org",
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(mail.port),
                "SMTP_SECURITY": "none",
            }.items():
                monkeypatch.setenv(f"AQ_ALERT_{name}", value)
            hook.status = 500
            watching.abandoned = [AbandonedDay("airqino", NOW.date(), "missing")]
            watching.tick()
        assert len(mail.mails) == 1
        assert "1 messages wait for webhook." in watching.summary
        assert "e-mail" not in watching.summary

    def test_wrong_settings_are_reported_and_lose_nothing(
        self, watching: Bench, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("AQ_ALERT_SMTP_PORT", "many")
            watching.abandoned = [AbandonedDay("airqino", NOW.date(), "missing")]
            watching.tick()
            assert "AQ_ALERT_SMTP_PORT" in watching.summary
            assert hook.texts == []
        watching.tick()
        assert len(hook.texts) == 1

    def test_without_any_channel_the_log_has_it(
        self, watching: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.delenv("AQ_ALERT_WEBHOOK")
        watching.abandoned = [AbandonedDay("airqino", NOW.date(), "missing")]
        watching.tick()
        (record,) = [r for r in caplog.records if r.name == "aq.alerts"]
        assert record.levelno == logging.ERROR
        assert "days given up" in record.getMessage()
        assert watching.state.get("outboxes", {}) == {}


@pytest.mark.parametrize(("switched_on", "status"), [("true", "RUNNING"), ("false", "STOPPED")])
def test_it_starts_as_the_setting_says(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch, switched_on: str, status: str
) -> None:
    monkeypatch.setenv("AQ_SENSORS", switched_on)
    sensor = build_alerts(Services(Settings(), {"airqino": CONFIG}))
    assert (sensor.name, sensor.minimum_interval_seconds) == ("alerts", 30)
    assert sensor.default_status.value == status
