"""Daily averages follow changed readings, over days of simulated time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from aq_platform.definitions import build_defs
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_science.windows import DAY
from aq_sensors.automation import look_back

pytestmark = pytest.mark.server

TODAY = date(2025, 6, 18)
START = date(2025, 3, 1)
MORNING = datetime(2025, 6, 18, 9, 2, tzinfo=UTC)
STATIONS, READINGS, AVERAGES, RAW = (
    dg.AssetKey(["airqino", name])
    for name in ("stations", "hourly_readings", "daily_averages", "raw_pulls")
)


def key(age: int) -> str:
    return (TODAY - age * DAY).isoformat()


@dataclass
class Daemon:
    """Evaluates the conditions now and then, at its own time."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    now: datetime = MORNING
    cursor: Any = None

    def tick(self, after: timedelta = timedelta(seconds=30)) -> list[str]:
        """Days of averages requested, in order."""
        self.now += after
        with freeze_time(self.now):
            result = dg.evaluate_automation_conditions(
                self.definitions, self.instance, evaluation_time=self.now, cursor=self.cursor
            )
        self.cursor = result.cursor
        assert result.total_requested == result.get_num_requested(AVERAGES)
        return sorted(str(day) for day in result.get_requested_partitions(AVERAGES))

    def wrote(self, asset: dg.AssetKey, *ages: int | None) -> None:
        """Days of an asset were materialized a moment ago."""
        self.now += timedelta(seconds=5)
        with freeze_time(self.now):
            for age in ages:
                self.instance.report_runless_asset_event(
                    dg.AssetMaterialization(asset, partition=None if age is None else key(age))
                )

    @contextmanager
    def running(self, job: str, age: int) -> Iterator[None]:
        """A run of one day is under way within the block."""
        self.now += timedelta(seconds=1)
        with freeze_time(self.now):
            run = self.instance.create_run_for_job(
                self.definitions.resolve_job_def(job),
                tags={"dagster/partition": key(age)},
                status=dg.DagsterRunStatus.STARTED,
                asset_selection=None,
            )
        yield
        self.now += timedelta(seconds=1)
        with freeze_time(self.now):
            self.instance.report_run_canceled(run)


@pytest.fixture
def daemon(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Daemon]:
    """After its first tick, with stations described."""
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    config = NetworkConfig(name="airqino", start_date=START, stations=("283164601",))
    definitions = build_defs(Services(Settings(), {"airqino": config}))
    with dg.DagsterInstance.ephemeral() as instance:
        made = Daemon(definitions, instance)
        made.wrote(STATIONS, None)
        assert made.tick() == []
        yield made


def test_a_new_hour_is_averaged_with_the_days_beside_it(daemon: Daemon) -> None:
    daemon.wrote(READINGS, 0)
    # Tomorrow has no partition yet.
    assert daemon.tick() == [key(1), key(0)]
    assert daemon.tick() == []
    daemon.wrote(AVERAGES, 1, 0)
    assert daemon.tick() == []


def test_every_hour_is_averaged_once_and_yesterday_with_it(daemon: Daemon) -> None:
    requested = []
    for hour in range(26):
        # Yesterday's readings come in with today's for the first hours.
        today = (TODAY - daemon.now.date()).days
        daemon.wrote(READINGS, *([today + 1, today] if daemon.now.hour < 6 else [today]))
        requested.append(daemon.tick())
        assert daemon.tick() == []
        daemon.wrote(AVERAGES, *((TODAY - date.fromisoformat(day)).days for day in requested[-1]))
        assert daemon.tick() == []
        daemon.now = MORNING + (hour + 1) * timedelta(hours=1)
    assert requested[0] == [key(1), key(0)]
    # At two minutes past midnight of the next day.
    assert requested[15] == [key(1), key(0), key(-1)]
    assert all(len(days) in (2, 3) for days in requested)


@pytest.mark.parametrize("age", [3, 7, 30, 37])
def test_a_correction_weeks_old_reaches_its_averages(daemon: Daemon, age: int) -> None:
    daemon.wrote(READINGS, age)
    assert daemon.tick() == [key(age + 1), key(age), key(age - 1)]


def test_days_beyond_the_look_back_are_left_alone(daemon: Daemon) -> None:
    reach = look_back((1, 3, 7, 30)).days
    daemon.wrote(READINGS, *range(reach - 1, 80))
    # The last day within reach, and its neighbour that reads it.
    assert daemon.tick() == [key(reach - 1), key(reach - 2)]


def test_no_day_before_the_start_is_requested(daemon: Daemon) -> None:
    daemon.now = datetime(2025, 3, 2, 9, tzinfo=UTC)
    daemon.wrote(READINGS, (TODAY - START).days)
    assert daemon.tick() == ["2025-03-01", "2025-03-02"]


@pytest.mark.parametrize("asset", [STATIONS, RAW])
def test_what_is_no_reading_requests_nothing(daemon: Daemon, asset: dg.AssetKey) -> None:
    daemon.wrote(READINGS, 0)
    daemon.tick()
    daemon.wrote(asset, None if asset == STATIONS else 0)
    assert daemon.tick() == []


def test_a_day_whose_readings_are_being_written_waits(daemon: Daemon) -> None:
    daemon.wrote(READINGS, 0, 5)
    with daemon.running("airqino_readings", 0):
        assert daemon.tick() == [key(6), key(5), key(4)]
        assert daemon.tick() == []
    assert daemon.tick() == [key(1), key(0)]


def test_readings_that_change_while_their_averages_are_made_are_averaged_again(
    daemon: Daemon,
) -> None:
    daemon.wrote(READINGS, 3)
    assert daemon.tick() == [key(4), key(3), key(2)]
    with daemon.running("airqino_daily", 3):
        assert daemon.tick() == []
        # The run has read what was there before.
        daemon.wrote(READINGS, 3)
        assert daemon.tick() == [key(4), key(2)]
        daemon.wrote(AVERAGES, 3)
    assert daemon.tick() == [key(3)]
    daemon.wrote(AVERAGES, 4, 3, 2)
    assert daemon.tick() == []


def test_readings_that_change_right_after_the_request_are_averaged_again(daemon: Daemon) -> None:
    daemon.wrote(READINGS, 3)
    assert daemon.tick() == [key(4), key(3), key(2)]
    daemon.wrote(READINGS, 3)
    assert daemon.tick() == [key(4), key(3), key(2)]


def test_the_first_days_wait_until_stations_are_described(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    config = NetworkConfig(name="airqino", start_date=START, stations=("283164601",))
    definitions = build_defs(Services(Settings(), {"airqino": config}))
    with dg.DagsterInstance.ephemeral() as instance:
        daemon = Daemon(definitions, instance)
        daemon.tick()
        daemon.wrote(READINGS, 5)
        assert daemon.tick() == []
        daemon.wrote(STATIONS, None)
        assert daemon.tick() == [key(6), key(5), key(4)]


def test_a_pause_of_the_daemon_loses_nothing(daemon: Daemon) -> None:
    daemon.wrote(READINGS, 1)
    daemon.now += 3 * DAY
    daemon.wrote(READINGS, -3)
    assert daemon.tick() == [key(2), key(1), key(0), key(-2), key(-3)]
