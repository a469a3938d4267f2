"""Which forecasts new readings ask for: every issue time once, the newest first."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.io_managers import HOUR_KEY
from aq_science.windows import HOUR
from aq_sensors.asks import Ask, FollowUp, Outcome, follow_up
from aq_sensors.forecasts import LONGEST, Decision, Place, decide_forecasts
from aq_sensors.shell import read_cursor, write_cursor
from tests.factories import utc

EIGHT = utc(2025, 6, 18, 8)
NOTHING = FollowUp()


def wanted(decision: Decision) -> list[tuple[str, str, str]]:
    return [(ask.job.removeprefix("airqino_"), ask.first, ask.last) for ask in decision.asks]


def test_the_first_readings_ask_for_their_forecast_and_the_days_models() -> None:
    decision = decide_forecasts(Place(storage_id=7), "airqino", EIGHT, NOTHING)
    assert wanted(decision) == [
        ("forecast", "2025-06-18-09:00", "2025-06-18-09:00"),
        ("models", "2025-06-18", "2025-06-18"),
    ]
    assert decision.place == Place(7, EIGHT + HOUR, EIGHT.date(), decision.asks)


def test_the_next_hour_asks_for_its_forecast_alone() -> None:
    place = Place(7, EIGHT, EIGHT.date())
    decision = decide_forecasts(place, "airqino", EIGHT, NOTHING)
    assert wanted(decision) == [("forecast", "2025-06-18-09:00", "2025-06-18-09:00")]


def test_the_last_hour_of_a_day_belongs_to_the_next_days_models() -> None:
    last = utc(2025, 6, 18, 23)
    decision = decide_forecasts(Place(7, last, last.date()), "airqino", last, NOTHING)
    assert wanted(decision) == [
        ("forecast", "2025-06-19-00:00", "2025-06-19-00:00"),
        ("models", "2025-06-19", "2025-06-19"),
    ]


def test_issue_times_that_passed_unseen_follow_in_one_run() -> None:
    decision = decide_forecasts(Place(7, EIGHT, EIGHT.date()), "airqino", EIGHT + 4 * HOUR, NOTHING)
    assert wanted(decision) == [
        ("forecast", "2025-06-18-13:00", "2025-06-18-13:00"),
        ("forecast", "2025-06-18-09:00", "2025-06-18-12:00"),
    ]


def test_after_a_year_only_the_last_two_days_are_caught_up_with() -> None:
    place = Place(7, EIGHT - timedelta(days=365), EIGHT.date() - timedelta(days=365))
    decision = decide_forecasts(place, "airqino", EIGHT, NOTHING)
    assert wanted(decision) == [
        ("forecast", "2025-06-18-09:00", "2025-06-18-09:00"),
        ("forecast", "2025-06-16-09:00", "2025-06-18-08:00"),
        ("models", "2025-06-18", "2025-06-18"),
    ]


@pytest.mark.parametrize("newest", [None, EIGHT - HOUR, EIGHT - 30 * HOUR])
def test_without_a_newer_hour_only_failures_are_asked_for_again(newest: datetime | None) -> None:
    retry = Ask("airqino_forecast", "2025-06-18-08:00", "2025-06-18-08:00", "new_readings", 2)
    place = Place(7, EIGHT, EIGHT.date())
    decision = decide_forecasts(place, "airqino", newest, FollowUp((retry,), (retry,)))
    assert decision.asks == (retry,)
    assert decision.place == Place(7, EIGHT, EIGHT.date(), (retry,))
    assert decision.reason


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-3, 60)), st.sampled_from(Outcome)), max_size=40
    )
)
def test_every_issue_time_is_asked_for_once(steps: list[tuple[int | None, Outcome]]) -> None:
    place, newest, now = Place(), EIGHT, EIGHT + HOUR
    requested: Counter[datetime] = Counter()
    expected: list[datetime] = []
    model_days: list[str] = []
    keys: list[str] = []
    for jump, outcome in steps:
        now += timedelta(minutes=5)
        newest += (jump or 0) * HOUR
        place = read_cursor(write_cursor(place), Place)
        earlier = follow_up(place.asks, {ask.run_key: outcome for ask in place.asks}, now)
        before = place.issued_for
        decision = decide_forecasts(place, "airqino", None if jump is None else newest, earlier)
        place = decision.place
        keys += [ask.run_key for ask in decision.asks]
        if place.issued_for != before:
            assert place.issued_for == newest + HOUR
            fresh = [ask for ask in decision.asks if ask not in earlier.again]
            assert fresh[0].first == fresh[0].last == (newest + HOUR).strftime(HOUR_KEY)
            first = newest + HOUR if before is None else before + HOUR
            hour = max(first, newest + HOUR - LONGEST)
            while hour <= newest + HOUR:
                expected.append(hour)
                hour += HOUR
        for ask in decision.asks:
            if ask.attempt > 1:
                continue
            if ask.job == "airqino_models":
                model_days.append(ask.first)
                continue
            hour, last = (
                datetime.strptime(key, HOUR_KEY).replace(tzinfo=EIGHT.tzinfo)
                for key in (ask.first, ask.last)
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
    assert isinstance(read_cursor(text, Place), Place)
