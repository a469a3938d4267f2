"""What is scored every night, and the schedule that asks for it."""

from __future__ import annotations

from datetime import date, datetime

import dagster as dg
import pytest

from aq_assets.partitions import RANGE_END, RANGE_START
from aq_sensors.nightly import SCORED_DAYS, decide_last_days
from tests.factories import utc
from tests.unit.sensors.conftest import Plant

NIGHT = utc(2025, 6, 18, 2, 10)


@pytest.mark.parametrize(
    ("start", "days"),
    [
        (date(2023, 1, 1), (date(2025, 6, 15), date(2025, 6, 17))),
        (date(2025, 6, 16), (date(2025, 6, 16), date(2025, 6, 17))),
        (date(2025, 6, 17), (date(2025, 6, 17), date(2025, 6, 17))),
        (date(2025, 6, 18), None),
        (date(2026, 1, 1), None),
    ],
)
def test_the_last_finished_days_are_scored(start: date, days: tuple[date, date] | None) -> None:
    assert decide_last_days(NIGHT, start) == days


@pytest.mark.parametrize("now", [utc(2025, 6, 18), utc(2025, 6, 18, 23, 59, 59)])
def test_the_day_in_progress_is_never_scored(now: datetime) -> None:
    days = decide_last_days(now, date(2023, 1, 1))
    assert days is not None
    assert (days[1] - days[0]).days == SCORED_DAYS - 1
    assert days[1] == date(2025, 6, 17)


def request_of(
    plant: Plant, scheduled: datetime, name: str = "airqino_nightly"
) -> list[dg.RunRequest]:
    context = dg.build_schedule_context(
        plant.instance, scheduled_execution_time=scheduled, repository_def=plant.repository
    )
    schedule = plant.repository.get_schedule_def(name)
    return list(schedule.evaluate_tick(context).run_requests or ())


def test_the_night_describes_the_stations_and_scores_three_days(plant: Plant) -> None:
    (request,) = request_of(plant, NIGHT)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("2025-06-15", "2025-06-17")
    (other,) = request_of(plant, utc(2025, 6, 19, 2, 10))
    assert request.run_key != other.run_key
    for late in plant.tick("late_data").requests:
        assert plant.run(late).success
    job = plant.definitions.resolve_job_def("airqino_nightly")
    result = job.execute_in_process(instance=plant.instance, tags=dict(request.tags))
    assert result.success
    for asset in ("forecast_scores", "forecast_scores_by_model"):
        assert plant.days(asset) == {f"2025-06-{day}" for day in (15, 16, 17)}
    report = dg.AssetKey(["airqino", "forecast_report"])
    assert plant.instance.get_latest_materialization_event(report) is not None
    stations = plant.services.warehouse.read("SELECT station_id FROM airqino.stations")
    assert len(stations) == 4


def test_changes_are_looked_for_as_far_back_as_days_are_pulled_again(plant: Plant) -> None:
    assert decide_last_days(NIGHT, date(2023, 1, 1), 38) == (date(2025, 5, 11), date(2025, 6, 17))
    (request,) = request_of(plant, NIGHT, "airqino_revisions")
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("2025-06-15", "2025-06-17")
    (request,) = request_of(plant, utc(2025, 8, 18, 2, 25), "airqino_revisions")
    first, last = (date.fromisoformat(request.tags[tag]) for tag in (RANGE_START, RANGE_END))
    assert last == date(2025, 8, 17)
    assert (last - first).days >= max(plant.services.settings.revisit_days)


def test_the_first_night_has_one_day_and_the_night_before_none(plant: Plant) -> None:
    (request,) = request_of(plant, utc(2025, 6, 16, 2, 10))
    assert request.partition_key == "2025-06-15"
    assert request_of(plant, utc(2025, 6, 15, 2, 10)) == []
