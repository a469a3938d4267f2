"""Sensors and schedules as the daemon evaluates them: real definitions, a sandbox, real runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData

from aq_assets.partitions import RANGE_END, RANGE_START
from aq_platform.definitions import build_defs
from aq_resources.failures import TransientFailure
from aq_resources.services import Services
from aq_sensors import new_readings
from aq_sensors.cursors import read_cursor, write_cursor
from aq_sensors.day_states import busy_days
from aq_sensors.instance_queries import RUN_KEY, WILL_RETRY
from aq_sensors.late_data import Attempt, BackfillState, Kind, reach
from aq_sensors.new_readings import NewReadingsCursor
from aq_sensors.time_limit import within
from tests.factories import utc
from tests.patience import PATIENCE_S
from tests.unit.sensors.conftest import NOW, Plant, Tick

SENSORS = ("airqino_new_readings", "airqino_forecasts", "late_data")
NEW_READINGS, FORECASTS, LATE_DATA = SENSORS
TICK_LIMIT_SECONDS = 20.0


def asked(tick: Tick) -> list[tuple[str | None, str, str]]:
    """Job, first and last partition of each request."""
    found = []
    for request in tick.requests:
        first = request.tags.get(RANGE_START) or request.partition_key or ""
        found.append((request.job_name, first, request.tags.get(RANGE_END) or first))
    return found


# ------------------------------------------------------------------------------ definitions


def test_sensors_start_as_the_setting_says(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def states(definitions: dg.Definitions) -> set[Any]:
        repository = definitions.get_repository_def()
        return {s.default_status.value for s in repository.sensor_defs} | {
            s.default_status.value for s in repository.schedule_defs
        }

    assert states(plant.definitions) == {"RUNNING"}
    monkeypatch.setenv("AQ_SENSORS", "false")
    with closing(Services.from_environment()) as services:
        assert states(build_defs(services)) == {"STOPPED"}


def test_without_any_network_everything_still_loads(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = tmp_path / "none.yaml"
    entry = {"start_date": "2025-06-10", "stations": ["1"], "enabled": False}
    networks.write_text(json.dumps({"networks": {"airqino": entry}}))
    monkeypatch.setenv("AQ_NETWORKS", str(networks))
    with closing(Services.from_environment()) as services:
        dg.Definitions.validate_loadable(build_defs(services))


# ---------------------------------------------------------------------------------- new readings


def test_a_new_hour_is_pulled_cleaned_and_then_left_alone(plant: Plant) -> None:
    tick = plant.tick(NEW_READINGS)
    # The first run describes the stations too.
    assert asked(tick) == [("airqino_pull", "2025-06-18", "2025-06-18")]
    assert tick.requests[0].tags["network"] == "airqino"
    assert len(plant.sandbox.requests()) <= 3

    plant.later(seconds=10)
    waiting = plant.tick(NEW_READINGS)
    assert waiting.requests == []
    assert waiting.reason is not None

    assert plant.run(tick.requests[0]).success
    assert plant.days("hourly_readings") == {"2025-06-18"}
    plant.later(seconds=10)
    done = plant.tick(NEW_READINGS)
    assert done.requests == []
    assert done.reason == "AirQino's hour 08:00Z is in; the next is over at 10:00Z."
    assert read_cursor(done.cursor, NewReadingsCursor).pending == ()

    plant.at(utc(2025, 6, 18, 10, 20))
    assert asked(plant.tick(NEW_READINGS)) == [("airqino_readings", "2025-06-18", "2025-06-18")]


def test_early_in_the_day_yesterday_is_pulled_with_it_in_one_run(plant: Plant) -> None:
    plant.at(utc(2025, 6, 18, 2, 20))
    tick = plant.tick(NEW_READINGS)
    assert asked(tick) == [("airqino_pull", "2025-06-17", "2025-06-18")]
    assert plant.run(tick.requests[0]).success
    assert plant.days("raw_pulls") == {"2025-06-17", "2025-06-18"}


def test_the_same_tick_delivered_twice_is_one_request(plant: Plant) -> None:
    first = plant.tick(NEW_READINGS, keep=False)
    second = plant.tick(NEW_READINGS, keep=False)
    # Dagster makes one run of a run key.
    assert [r.run_key for r in first.requests] == [r.run_key for r in second.requests]
    assert first.cursor == second.cursor


def test_a_run_that_fails_is_requested_again_and_then_given_up(plant: Plant) -> None:
    (request,) = plant.tick(NEW_READINGS).requests
    keys = [request.run_key]
    plant.sandbox.inject("status", status=500)
    assert not plant.run(request).success
    for _ in range(12):
        plant.later(minutes=1)
        for again in plant.tick(NEW_READINGS).requests:
            keys.append(again.run_key)
            assert not plant.run(again).success
    assert len(keys) == len(set(keys)) == 3
    assert read_cursor(plant.cursors[NEW_READINGS], NewReadingsCursor).pending == ()
    assert plant.days("raw_pulls") == set()

    # The next hour brings it all.
    plant.sandbox.clear()
    plant.at(utc(2025, 6, 18, 10, 20))
    (request,) = plant.tick(NEW_READINGS).requests
    assert plant.run(request).success
    assert plant.days("hourly_readings") == {"2025-06-18"}


def test_a_cancelled_run_is_not_requested_again(plant: Plant) -> None:
    (request,) = plant.tick(NEW_READINGS).requests
    run = plant.instance.create_run_for_job(
        plant.definitions.resolve_job_def("airqino_pull"),
        tags={**request.tags, RUN_KEY: str(request.run_key)},
    )
    plant.instance.report_run_canceled(run)
    for _ in range(5):
        plant.later(minutes=1)
        assert plant.tick(NEW_READINGS).requests == []


def test_a_run_that_dagster_retries_is_waited_for(plant: Plant) -> None:
    (request,) = plant.tick(NEW_READINGS).requests
    run = plant.instance.create_run_for_job(
        plant.definitions.resolve_job_def("airqino_pull"),
        tags={
            **request.tags,
            RUN_KEY: str(request.run_key),
            WILL_RETRY: "true",
        },
    )
    plant.instance.report_run_failed(run)
    for _ in range(5):
        plant.later(minutes=1)
        assert plant.tick(NEW_READINGS).requests == []
    assert len(read_cursor(plant.cursors[NEW_READINGS], NewReadingsCursor).pending) == 1


def test_a_deleted_run_is_requested_again(plant: Plant) -> None:
    (request,) = plant.tick(NEW_READINGS).requests
    result = plant.run(request)
    plant.instance.delete_run(result.run_id)
    again = []
    for _ in range(6):
        plant.later(minutes=1)
        again += plant.tick(NEW_READINGS).requests
    assert len(again) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "status", "status": 500}, "answered 500"),
        ({"kind": "status", "status": 429, "retry_after": 120.0}, "answered 429"),
        ({"kind": "status", "status": 401}, "AirQino wants a login"),
        ({"kind": "html"}, "HTML instead of JSON"),
        ({"kind": "disconnect"}, "cannot be reached"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_failing_network_is_skipped_with_the_reason(
    plant: Plant, fault: dict[str, Any], said: str
) -> None:
    waits: list[float] = []
    client = plant.services.client("airqino")
    client._http._retrying.sleep = waits.append  # type: ignore[attr-defined]
    plant.sandbox.inject(**fault)
    tick = plant.tick(NEW_READINGS)
    assert waits == []
    assert tick.requests == []
    assert tick.reason is not None
    assert said in tick.reason
    assert "could not be asked, 1 times in a row" in tick.reason
    # It is left alone for a while, then asked again.
    count = len(plant.sandbox.requests())
    plant.later(seconds=20)
    assert "asked again at" in str(plant.tick(NEW_READINGS).reason)
    assert len(plant.sandbox.requests()) == count
    plant.sandbox.clear()
    plant.later(minutes=3)
    assert len(plant.tick(NEW_READINGS).requests) == 1


def test_a_slow_network_is_not_waited_for(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_readings, "ANSWER_SECONDS", 0.5)
    plant.sandbox.inject("timeout", delay=2 * PATIENCE_S)
    tick = plant.tick(NEW_READINGS)
    assert "no answer within 0.5 s" in str(tick.reason)


def test_a_tick_stays_below_its_limit_by_default() -> None:
    assert new_readings.ANSWER_SECONDS < TICK_LIMIT_SECONDS
    release = threading.Event()
    with pytest.raises(TransientFailure, match=r"no answer within 0\.2 s"):
        within(0.2, release.wait)
    release.set()


def test_what_is_asked_in_time_is_answered_and_errors_pass_through() -> None:
    assert within(5.0, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0)


@pytest.mark.parametrize("cursor", ["", "nonsense", '{"hour": 3}', "[[]]", '{"airqino": 1}'])
def test_any_cursor_can_be_started_from(plant: Plant, cursor: str) -> None:
    for sensor in SENSORS:
        plant.cursors[sensor] = cursor
        tick = plant.tick(sensor)
        assert tick.requests or tick.reason, sensor


# ------------------------------------------------------------------------------------- forecasts


def test_new_readings_are_followed_by_their_forecast_and_models(plant: Plant) -> None:
    assert plant.tick(FORECASTS).reason == "No new hourly readings."
    plant.run(plant.tick(NEW_READINGS).requests[0])
    tick = plant.tick(FORECASTS)
    assert asked(tick) == [
        ("airqino_forecast", "2025-06-18-09:00", "2025-06-18-09:00"),
        ("airqino_models", "2025-06-18", "2025-06-18"),
    ]
    assert plant.tick(FORECASTS).requests == []
    for request in tick.requests:
        assert plant.run(request).success
    assert plant.days("forecasts") == {"2025-06-18-09:00"}
    rows = plant.services.warehouse.read(
        "SELECT DISTINCT mode, issued_for FROM airqino.forecasts"
    ).rows()
    assert rows == [("live", utc(2025, 6, 18, 9))]
    plant.later(seconds=10)
    assert plant.tick(FORECASTS).reason == "No new hourly readings."
    assert json.loads(plant.cursors[FORECASTS] or "")["asks"] == []


def test_hours_that_came_together_are_all_forecast(plant: Plant) -> None:
    plant.run(plant.tick(NEW_READINGS).requests[0])
    plant.tick(FORECASTS)
    plant.at(utc(2025, 6, 18, 13, 20))
    plant.run(plant.tick(NEW_READINGS).requests[0])
    tick = plant.tick(FORECASTS)
    assert asked(tick) == [
        ("airqino_forecast", "2025-06-18-13:00", "2025-06-18-13:00"),
        ("airqino_forecast", "2025-06-18-10:00", "2025-06-18-12:00"),
    ]
    for request in tick.requests:
        assert plant.run(request).success
    assert plant.days("forecasts") == {f"2025-06-18-{hour}:00" for hour in range(10, 14)}


def test_readings_pulled_again_without_a_new_hour_ask_for_nothing(plant: Plant) -> None:
    (request,) = plant.tick(NEW_READINGS).requests
    plant.run(request)
    plant.tick(FORECASTS)
    plant.run(request)
    assert (
        plant.tick(FORECASTS).reason == "The readings reach 08:00Z, and its forecast was requested."
    )


def test_readings_of_a_run_that_failed_or_is_not_over_are_not_forecast_from(plant: Plant) -> None:
    run = plant.instance.create_run_for_job(
        plant.definitions.resolve_job_def("airqino_readings"), status=dg.DagsterRunStatus.STARTED
    )
    materialization = dg.AssetMaterialization(
        dg.AssetKey(["airqino", "hourly_readings"]), partition="2025-06-18"
    )
    plant.instance.report_dagster_event(
        dg.DagsterEvent(
            event_type_value="ASSET_MATERIALIZATION",
            job_name=run.job_name,
            event_specific_data=StepMaterializationData(materialization),
        ),
        run.run_id,
    )
    assert "started" in str(plant.tick(FORECASTS).reason)
    plant.instance.report_run_failed(run)
    assert "failure" in str(plant.tick(FORECASTS).reason)
    # Nothing is forgotten: once the run counts, the readings do.
    plant.instance.delete_run(run.run_id)
    assert plant.tick(FORECASTS).reason in (
        "No new hourly readings.",
        "There are no readings yet.",
    )


# ------------------------------------------------------------------------------------- late data


def test_missing_days_are_pulled_and_then_nothing_is_late(plant: Plant) -> None:
    tick = plant.tick(LATE_DATA)
    assert asked(tick) == [("airqino_readings", "2025-06-15", "2025-06-17")]
    assert plant.run(tick.requests[0]).success
    assert plant.days("hourly_readings") == {"2025-06-15", "2025-06-16", "2025-06-17"}
    plant.later(minutes=1)
    assert plant.tick(LATE_DATA).reason == "Nothing is late."
    assert plant.cursors[LATE_DATA] == '{"airqino":{"tried":{}}}'


def test_the_limit_bounds_the_days_of_a_tick(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_LATE_DAYS_PER_TICK", "2")
    with closing(Services.from_environment(now=lambda: plant.now)) as services:
        plant.load(services)
        assert asked(plant.tick(LATE_DATA)) == [("airqino_readings", "2025-06-15", "2025-06-16")]
        assert asked(plant.tick(LATE_DATA)) == [("airqino_readings", "2025-06-17", "2025-06-17")]


def test_days_are_visited_again_when_due(plant: Plant) -> None:
    plant.run(plant.tick(LATE_DATA).requests[0])
    plant.average()
    plant.at(utc(2025, 6, 18, 23, 59))
    assert plant.tick(LATE_DATA).requests == []
    plant.at(utc(2025, 6, 19))
    requests = plant.tick(LATE_DATA).requests
    why = {request.partition_key: str(request.run_key).split("-")[-3] for request in requests}
    # The 16th was pulled after its first visit fell due, two days before its next.
    assert why == {"2025-06-15": "revisit_3", "2025-06-17": "revisit_1", "2025-06-18": "missing"}
    for request in requests:
        assert plant.run(request).success
    plant.later(minutes=1)
    assert plant.tick(LATE_DATA).reason == "Nothing is late."


def test_days_whose_averages_failed_are_averaged_again(plant: Plant) -> None:
    plant.run(plant.tick(LATE_DATA).requests[0])
    plant.later(minutes=50)
    assert plant.tick(LATE_DATA).requests == []
    plant.later(minutes=10)
    (request,) = plant.tick(LATE_DATA).requests
    assert request.job_name == "airqino_daily"
    assert "not_averaged" in str(request.run_key)
    plant.average()
    plant.later(minutes=15)
    assert plant.tick(LATE_DATA).reason == "Nothing is late."


def test_a_station_that_did_not_answer_is_asked_again_with_its_day(plant: Plant) -> None:
    plant.at(utc(2025, 6, 16, 9, 20))
    plant.sandbox.inject("status", status=500, path_contains="283181971")
    keys = []
    # At once, then after ten minutes and after six hours.
    for wait in (0, 1, 15, 300, 90):
        plant.later(minutes=wait)
        for request in plant.tick(LATE_DATA).requests:
            keys.append(str(request.run_key).rsplit(":", 2)[1])
            assert plant.run(request).success
    assert [key.split("-")[1] for key in keys] == ["missing", *["unanswered"] * 3]
    assert len(set(keys)) == 4
    plant.later(minutes=20)
    assert "Given up: airqino 2025-06-15" in str(plant.tick(LATE_DATA).reason)
    # Another visit is due, and brings it.
    plant.sandbox.clear()
    plant.at(utc(2025, 6, 17, 0, 5))
    for request, why in zip(
        plant.tick(LATE_DATA).requests, ("revisit_1", Kind.MISSING), strict=True
    ):
        assert why in str(request.run_key)
        assert plant.run(request).success
    assert plant.tick(LATE_DATA).reason == "Nothing is late."


def test_a_permanent_failure_of_a_station_waits_for_a_person(plant: Plant) -> None:
    plant.sandbox.inject("status", status=404, path_contains="283181971")
    plant.run(plant.tick(LATE_DATA).requests[0])
    plant.later(minutes=20)
    assert plant.tick(LATE_DATA).reason == "Nothing is late."


def test_a_network_that_is_down_is_tried_three_times_and_reported(plant: Plant) -> None:
    # The runs as such are of no interest here: nothing is ever brought.
    keys: list[str | None] = []
    for _ in range(27):
        keys += [request.run_key for request in plant.tick(LATE_DATA).requests]
        plant.later(minutes=20)
    assert len(keys) == len(set(keys)) == 1 + 3 + 3
    reason = str(plant.tick(LATE_DATA).reason)
    assert reason.endswith("Given up: airqino 2025-06-15, airqino 2025-06-16, airqino 2025-06-17.")


def test_days_under_way_are_not_asked_for_again(plant: Plant) -> None:
    job = plant.definitions.resolve_job_def("airqino_readings")
    tags = {RANGE_START: "2025-06-15", RANGE_END: "2025-06-16"}
    run = plant.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    assert asked(plant.tick(LATE_DATA)) == [("airqino_readings", "2025-06-17", "2025-06-17")]
    assert busy_days([run], "airqino") == {date(2025, 6, 15), date(2025, 6, 16)}
    assert busy_days([run], "openaq") == frozenset()


def test_a_cursor_that_gave_up_days_long_past_is_cleaned(plant: Plant) -> None:
    old = {"airqino": BackfillState({"2024-01-01": Attempt(Kind.MISSING, 4, NOW)})}
    plant.cursors[LATE_DATA] = write_cursor(old)
    plant.tick(LATE_DATA)
    states = read_cursor(plant.cursors[LATE_DATA], dict[str, BackfillState])
    assert "2024-01-01" not in states["airqino"].attempts
    assert len(states["airqino"].attempts) <= reach(plant.services.settings.revisit_days)


def test_a_day_is_as_new_as_the_question_not_the_answer(plant: Plant) -> None:
    """A pull that takes long must not count for what was due meanwhile."""
    began = plant.now
    client = plant.services.client("airqino")
    pull = client.pull

    def slowly(window: Any) -> Iterator[Any]:
        plant.now += timedelta(hours=2)
        yield from pull(window)

    client.pull = slowly  # type: ignore[method-assign]
    plant.run(plant.tick(LATE_DATA).requests[0])
    records = plant.instance.fetch_materializations(
        dg.AssetKey(["airqino", "raw_pulls"]), limit=20
    ).records
    days = [record.asset_materialization for record in records]
    assert len(days) == 3
    for day in days:
        assert day is not None
        assert day.metadata["pulled_at"].value == began.timestamp()
        assert day.metadata["unanswered"].value == 0
