"""Which forecasts new readings run for: every issue time once, the newest first."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.io_managers import HOUR_KEY
from aq_science.windows import HOUR
from aq_sensors.cursors import read_cursor, write_cursor
from aq_sensors.forecasts import LONGEST, Decision, ForecastsCursor, decide_forecasts
from aq_sensors.requests import Reconciled, RequestedRun, RunOutcome, reconcile
from tests.factories import utc

EIGHT = utc(2025, 6, 18, 8)
NOTHING = Reconciled()


def runs_of(decision: Decision) -> list[tuple[str, str, str]]:
    return [(run.job.removeprefix("airqino_"), run.first, run.last) for run in decision.runs]


def test_the_first_readings_ask_for_their_forecast_and_the_days_models() -> None:
    decision = decide_forecasts(ForecastsCursor(storage_id=7), "airqino", EIGHT, NOTHING)
    assert runs_of(decision) == [
        ("forecast", "2025-06-18-09:00", "2025-06-18-09:00"),
        ("models", "2025-06-18", "2025-06-18"),
    ]
    assert decision.cursor == ForecastsCursor(7, EIGHT + HOUR, EIGHT.date(), decision.runs)


def test_the_next_hour_asks_for_its_forecast_alone() -> None:
    cursor = ForecastsCursor(7, EIGHT, EIGHT.date())
    decision = decide_forecasts(cursor, "airqino", EIGHT, NOTHING)
    assert runs_of(decision) == [("forecast", "2025-06-18-09:00", "2025-06-18-09:00")]


def test_the_last_hour_of_a_day_belongs_to_the_next_days_models() -> None:
    last = utc(2025, 6, 18, 23)
    decision = decide_forecasts(ForecastsCursor(7, last, last.date()), "airqino", last, NOTHING)
    assert runs_of(decision) == [
        ("forecast", "2025-06-19-00:00", "2025-06-19-00:00"),
        ("models", "2025-06-19", "2025-06-19"),
    ]


def test_issue_times_that_passed_unseen_follow_in_one_run() -> None:
    decision = decide_forecasts(
        ForecastsCursor(7, EIGHT, EIGHT.date()), "airqino", EIGHT + 4 * HOUR, NOTHING
    )
    assert runs_of(decision) == [
        ("forecast", "2025-06-18-13:00", "2025-06-18-13:00"),
        ("forecast", "2025-06-18-09:00", "2025-06-18-12:00"),
    ]


def test_after_a_year_only_the_last_two_days_are_caught_up_with() -> None:
    cursor = ForecastsCursor(7, EIGHT - timedelta(days=365), EIGHT.date() - timedelta(days=365))
    decision = decide_forecasts(cursor, "airqino", EIGHT, NOTHING)
    assert runs_of(decision) == [
        ("forecast", "2025-06-18-09:00", "2025-06-18-09:00"),
        ("forecast", "2025-06-16-09:00", "2025-06-18-08:00"),
        ("models", "2025-06-18", "2025-06-18"),
    ]


@pytest.mark.parametrize("newest", [None, EIGHT - HOUR, EIGHT - 30 * HOUR])
def test_without_a_newer_hour_only_failures_are_asked_for_again(newest: datetime | None) -> None:
    retry = RequestedRun(
        "airqino_forecast", "2025-06-18-08:00", "2025-06-18-08:00", "new_readings", 2
    )
    cursor = ForecastsCursor(7, EIGHT, EIGHT.date())
    decision = decide_forecasts(cursor, "airqino", newest, Reconciled((retry,), (retry,)))
    assert decision.runs == (retry,)
    assert decision.cursor == ForecastsCursor(7, EIGHT, EIGHT.date(), (retry,))
    assert decision.reason


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-3, 60)), st.sampled_from(RunOutcome)),
        max_size=40,
    )
)
def test_every_issue_time_is_asked_for_once(steps: list[tuple[int | None, RunOutcome]]) -> None:
    cursor, newest, now = ForecastsCursor(), EIGHT, EIGHT + HOUR
    requested: Counter[datetime] = Counter()
    expected: list[datetime] = []
    model_days: list[str] = []
    keys: list[str] = []
    for jump, outcome in steps:
        now += timedelta(minutes=5)
        newest += (jump or 0) * HOUR
        cursor = read_cursor(write_cursor(cursor), ForecastsCursor)
        earlier = reconcile(cursor.pending, {run.run_key: outcome for run in cursor.pending}, now)
        before = cursor.issued_for
        decision = decide_forecasts(cursor, "airqino", None if jump is None else newest, earlier)
        cursor = decision.cursor
        keys += [run.run_key for run in decision.runs]
        if cursor.issued_for != before:
            assert cursor.issued_for == newest + HOUR
            fresh = [run for run in decision.runs if run not in earlier.due]
            assert fresh[0].first == fresh[0].last == (newest + HOUR).strftime(HOUR_KEY)
            first = newest + HOUR if before is None else before + HOUR
            hour = max(first, newest + HOUR - LONGEST)
            while hour <= newest + HOUR:
                expected.append(hour)
                hour += HOUR
        for run in decision.runs:
            if run.attempt > 1:
                continue
            if run.job == "airqino_models":
                model_days.append(run.first)
                continue
            hour, last = (
                datetime.strptime(key, HOUR_KEY).replace(tzinfo=EIGHT.tzinfo)
                for key in (run.first, run.last)
            )
            while hour <= last:
                requested[hour] += 1
                hour += HOUR
    assert requested == Counter(expected)
    assert set(requested.values()) <= {1}
    assert model_days == sorted(set(model_days))
    assert len(keys) == len(set(keys))


@given(st.text())
def test_a_garbled_cursor_is_a_new_beginning(text: str) -> None:
    assert isinstance(read_cursor(text, ForecastsCursor), ForecastsCursor)
