"""What is measured of a small real installation, against numbers worked out by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry

from aq_platform.metrics.exporter import platform_collector
from aq_resources.services import Services
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.forecasts import FORECASTS
from aq_sensors.alerts.state import AlertState, Incident
from aq_sensors.cursors import write_cursor
from aq_sensors.late_data import Attempt, BackfillState
from aq_serving.reader import Reader
from tests.factories import DAY, HOUR, forecast_frame, hourly, utc
from tests.unit.serving.conftest import rows_of, write_hours

NOW = utc(2024, 3, 10, 10, 20)
# One network with data, and one that has never had any.
NETWORKS = """
networks:
  airqino: {start_date: 2024-03-01, stations: ["s1"], silent_after_hours: 5}
  irceline: {start_date: 2024-03-01, stations: ["b1"]}
"""
YESTERDAY = NOW.date() - DAY
SERIES = {"network": "airqino", "station_id": "s1", "parameter": "pm25"}

pytestmark = pytest.mark.server


class Scrape:
    """One measurement of everything."""

    def __init__(self, services: Services, instance: dg.DagsterInstance) -> None:
        reader = Reader(services, 2, 60.0)
        collector = platform_collector(services, instance, reader, 60.0)
        collector.measure()
        reader.close()
        self.registry = CollectorRegistry()
        self.registry.register(collector)
        for part in ("runs", "records", "freshness", "forecasts", "warehouse", "disk"):
            assert self("aq_measuring_errors_total", part=part) == 0.0, part

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    (tmp_path / "networks.yaml").write_text(NETWORKS, "utf-8")
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AQ_NETWORKS", str(tmp_path / "networks.yaml"))
    found = Services.from_environment(now=lambda: NOW)
    found.warehouse.prepare()
    yield found
    found.close()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def test_the_data_is_measured_as_by_hand(services: Services, instance: dg.DagsterInstance) -> None:
    # The last value is of 08:00 to 09:00; the hour after it has none.
    hours = int((NOW.replace(hour=8, minute=0) - utc(2024, 3, 1)) / HOUR) + 1
    write_hours(services, "airqino", hourly([*[5.0] * hours, None], utc(2024, 3, 1)))
    warehouse = services.warehouse
    issued = NOW.replace(hour=9, minute=0)
    frame = forecast_frame(issued, 12.0, "live", stations=["s1"])
    warehouse.replace("airqino", FORECASTS, frame, (issued, issued + HOUR))
    score = {"horizon": 1, "mode": "live", "rmse": 9.0, "bias": 0.0, "coverage_95": 1.0}
    days = (
        # Errors of 1 against 2 over 10 hours, and of 6 against 4 over 30.
        {"n": 10, "mae": 1.0, "mae_persistence": 2.0, "skill": 0.5, "coverage_80": 0.5},
        {"n": 30, "mae": 6.0, "mae_persistence": 4.0, "skill": -0.5, "coverage_80": 0.9},
        # No hour has persistence: it counts for the coverage alone.
        {"n": 10, "mae": 1.0, "coverage_80": 1.0},
        # Longer ago than is looked at.
        {"n": 99, "mae": 9.0, "mae_persistence": 1.0, "skill": -8.0, "coverage_80": 0.0},
    )
    for number, values in zip((1, 2, 3, 9), days, strict=True):
        day = NOW.date() - number * DAY
        rows = rows_of(FORECAST_SCORES, SERIES | score | values | {"date": day})
        warehouse.replace("airqino", FORECAST_SCORES, rows, (day, day + DAY))
    judged = {"hours_expected": 24, "hours_present": 23, "hours_missing": 1, "hours_invalid": 0}
    for day, suspect in ((YESTERDAY, 3), (YESTERDAY - DAY, 20)):
        tests = [{"test": "spike", "hours": suspect}]
        row = {"date": day, "hours_suspect": suspect, "hours_valid": 23 - suspect, "tests": tests}
        rows = rows_of(DATA_QUALITY, SERIES | judged | row)
        warehouse.replace("airqino", DATA_QUALITY, rows, (day, day + DAY))

    scrape = Scrape(services, instance)
    assert scrape("aq_freshness_seconds", network="airqino") == 80 * 60
    assert scrape("aq_freshness_allowed_seconds", network="airqino") == 5 * 3600
    assert scrape("aq_forecast_age_seconds", network="airqino") == 80 * 60
    for name in ("aq_freshness_seconds", "aq_forecast_age_seconds"):
        assert scrape(name, network="irceline") == math.inf
    series = {"network": "airqino", "parameter": "pm25", "horizon": "1"}
    skill = scrape("aq_forecast_skill_ratio", **series)
    assert skill == pytest.approx(1 - (10 * 1 + 30 * 6) / (10 * 2 + 30 * 4))
    assert scrape("aq_forecast_scored", **series) == 50
    within = scrape("aq_forecast_coverage_ratio", **series, interval="80")
    assert within == pytest.approx((5 + 27 + 10) / 50)
    flags = {"valid": 20, "suspect": 3, "invalid": 0, "missing": 1}
    for flag, count in flags.items():
        assert scrape("aq_quality_hours", network="airqino", flag=flag) == count
    assert scrape("aq_quality_test_hours", network="airqino", test="spike") == 3


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the warehouse that `services` opens has its catalog."""
    if request.param == "postgres":
        database = request.getfixturevalue("postgres_database")
        monkeypatch.setenv("AQ_WAREHOUSE", f"ducklake:postgres:{database}")


def test_rows_are_those_that_a_query_counts(
    catalog: None, services: Services, instance: dg.DagsterInstance
) -> None:
    """Replaced rows are deletions to the catalog, and count no more."""
    issued = NOW.replace(hour=9, minute=0)
    for value in (12.0, 13.0):
        for hours in (0, 1, 2):
            at = issued - hours * HOUR
            frame = forecast_frame(at, value, "live", stations=["s1"])
            services.warehouse.replace("airqino", FORECASTS, frame, (at, at + HOUR))
    scrape = Scrape(services, instance)
    with services.warehouse.connect_read_only() as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM lake.airqino.forecasts").fetchall()
    table = {"network": "airqino", "table": "forecasts"}
    assert scrape("aq_table_rows", **table) == count > 0
    kept, used = scrape("aq_warehouse_bytes"), scrape("aq_table_bytes", **table)
    assert kept is not None
    assert used is not None
    assert kept > used > 0
    assert scrape("aq_disk_free_bytes", folder="home")


def test_dagsters_records_are_read(services: Services, instance: dg.DagsterInstance) -> None:
    metadata = {"unanswered": 2, "failed_subjects": 3}
    key = dg.AssetKey(["airqino", "raw_pulls"])
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))
    incident = Incident(title="x", since=NOW, notified_at=NOW, last=NOW)
    state = AlertState(incidents={"run airqino/raw_pulls": incident, "given up airqino": incident})
    attempt = Attempt("missing", 4, NOW)
    late = {"airqino": BackfillState({"2024-03-02": attempt, "2024-03-03": attempt})}
    switched_on(instance, "alerts", write_cursor(state))
    switched_on(instance, "late_data", write_cursor(late))

    scrape = Scrape(services, instance)
    assert scrape("aq_pull_unanswered", network="airqino") == 2
    assert scrape("aq_pull_failed", network="airqino") == 3
    assert scrape("aq_asset_materialized_timestamp_seconds", network="airqino", asset="raw_pulls")
    kinds = {"run": 1.0, "check": 0.0, "silent": 0.0, "given_up": 1.0}
    assert {kind: scrape("aq_incidents", kind=kind) for kind in kinds} == kinds
    assert scrape("aq_abandoned_days", network="airqino") == 2
    assert scrape("aq_abandoned_days", network="irceline") == 0
    assert scrape("aq_sensor_tick_timestamp_seconds", sensor="alerts")
    # No finished day from the start on was ever pulled.
    assert scrape("aq_late_days", network="airqino", reason="missing") == 9


def switched_on(instance: dg.DagsterInstance, sensor: str, cursor: str) -> None:
    """A sensor's state as the daemon keeps it."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import (
        RegisteredCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        SensorInstigatorData,
    )

    place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("air_quality"), "__repository__")
    data = SensorInstigatorData(last_tick_timestamp=time.time(), cursor=cursor)
    origin = RemoteInstigatorOrigin(place, sensor)
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    )
