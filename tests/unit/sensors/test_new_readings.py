"""When a network is asked for its newest hour, and which days are pulled on a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_science.windows import DAY, HOUR
from aq_sensors.cursors import read_cursor, write_cursor
from aq_sensors.new_readings import (
    LONGEST,
    Decision,
    NetworkPolicy,
    NewReadingsCursor,
    decide_new_readings,
)
from aq_sensors.requests import Reconciled, RequestedRun, RunOutcome, reconcile
from tests.factories import utc

NOW = utc(2025, 6, 18, 9, 2)
EIGHT = utc(2025, 6, 18, 8)
POLICY = NetworkPolicy("AirQino", "airqino_readings", date(2025, 1, 1), 6 * HOUR)
LONGEST_PAUSE = timedelta(minutes=15)
NOTHING = Reconciled()


def decide(
    cursor: NewReadingsCursor,
    newest: datetime | Exception | None = None,
    now: datetime = NOW,
    on: NetworkPolicy = POLICY,
    earlier: Reconciled = NOTHING,
) -> tuple[Decision, int]:
    """The decision, and how often the network was asked."""
    asked: list[datetime] = []

    def question() -> datetime | None:
        asked.append(now)
        if isinstance(newest, Exception):
            raise newest
        return newest

    decision = decide_new_readings(cursor, on, earlier, question, now)
    return decision, len(asked)


def policy(**changed: Any) -> NetworkPolicy:
    return replace(POLICY, **changed)


def days(decision: Decision) -> list[tuple[str, str]]:
    return [(run.first, run.last) for run in decision.runs]


# -------------------------------------------------------------------------- what is requested


@pytest.mark.parametrize(
    ("known", "newest", "expected"),
    [
        pytest.param(None, EIGHT, ("2025-06-18", "2025-06-18"), id="the first time"),
        pytest.param(utc(2025, 6, 18, 7), EIGHT, ("2025-06-18", "2025-06-18"), id="an hour later"),
        pytest.param(
            utc(2025, 6, 18, 4), utc(2025, 6, 18, 5), ("2025-06-17", "2025-06-18"), id="look-back"
        ),
        pytest.param(
            utc(2025, 6, 17, 22), utc(2025, 6, 17, 23), ("2025-06-17", "2025-06-17"), id="last hour"
        ),
        pytest.param(
            utc(2025, 6, 17, 23), utc(2025, 6, 18), ("2025-06-17", "2025-06-18"), id="first hour"
        ),
        pytest.param(
            utc(2025, 6, 16, 20), EIGHT, ("2025-06-16", "2025-06-18"), id="after an outage"
        ),
        pytest.param(utc(2024, 6, 16, 20), EIGHT, ("2025-06-15", "2025-06-18"), id="after a year"),
        pytest.param(
            utc(2024, 12, 31), utc(2025, 1, 1, 1), ("2025-01-01", "2025-01-01"), id="start"
        ),
    ],
)
def test_a_new_hour_requests_the_days_it_touches(
    known: datetime | None, newest: datetime, expected: tuple[str, str]
) -> None:
    decision, asked = decide(NewReadingsCursor(hour=known), newest, newest + HOUR)
    assert asked == 1
    assert days(decision) == [expected]
    assert decision.runs[0].job == POLICY.job
    assert decision.cursor == NewReadingsCursor(hour=newest, pending=decision.runs)


def test_a_long_look_back_is_kept_although_an_outage_is_cut() -> None:
    decision, _ = decide(
        NewReadingsCursor(hour=EIGHT - HOUR), EIGHT, on=policy(look_back=100 * HOUR)
    )
    assert days(decision) == [("2025-06-14", "2025-06-18")]


@pytest.mark.parametrize("start", [date(2025, 6, 19), date(2026, 1, 1)])
def test_nothing_is_requested_before_the_start_date(start: date) -> None:
    decision, asked = decide(NewReadingsCursor(), EIGHT, on=policy(start_date=start))
    assert asked == 1
    assert not decision.runs
    assert decision.cursor.hour is None
    assert decision.cursor.retry_at is not None


def test_the_first_day_is_requested_on_its_first_hour() -> None:
    today = policy(start_date=date(2025, 6, 18))
    decision, _ = decide(NewReadingsCursor(), utc(2025, 6, 17, 23), utc(2025, 6, 18, 0, 2), today)
    assert not decision.runs
    decision, _ = decide(decision.cursor, utc(2025, 6, 18), utc(2025, 6, 18, 1, 2), today)
    assert days(decision) == [("2025-06-18", "2025-06-18")]


def test_the_new_run_replaces_the_retry_of_the_same_days_and_no_other() -> None:
    older = RequestedRun(POLICY.job, "2025-06-16", "2025-06-17", "a", 2)
    same = RequestedRun(POLICY.job, "2025-06-18", "2025-06-18", "b", 2)
    earlier = Reconciled((older, same), (older, same))
    decision, _ = decide(NewReadingsCursor(hour=EIGHT - HOUR), EIGHT, earlier=earlier)
    assert [run.version for run in decision.runs] == ["a", EIGHT.isoformat()]
    assert decision.cursor.pending == decision.runs


# ------------------------------------------------------------------------- when it is asked


def test_the_network_is_not_asked_while_the_last_complete_hour_is_in() -> None:
    decision, asked = decide(NewReadingsCursor(hour=EIGHT), EIGHT, utc(2025, 6, 18, 9, 59, 59))
    assert asked == 0
    assert "08:00Z is in" in decision.reason
    assert "10:00Z" in decision.reason
    _, asked = decide(NewReadingsCursor(hour=EIGHT), EIGHT, utc(2025, 6, 18, 10))
    assert asked == 1


def test_failed_runs_are_asked_again_whether_or_not_the_network_is() -> None:
    retry = RequestedRun(POLICY.job, "2025-06-18", "2025-06-18", "a", 2)
    cases: list[tuple[NewReadingsCursor, datetime | Exception | None]] = [
        (NewReadingsCursor(hour=EIGHT), EIGHT),
        (NewReadingsCursor(hour=EIGHT, retry_at=NOW + HOUR / 12, failures=2), EIGHT),
        (NewReadingsCursor(hour=EIGHT - HOUR), TransientFailure("down")),
        (NewReadingsCursor(hour=EIGHT - HOUR), None),
    ]
    for cursor, newest in cases:
        decision, _ = decide(cursor, newest, earlier=Reconciled((retry,), (retry,)))
        assert decision.runs == (retry,)
        assert decision.cursor.pending == (retry,)


@pytest.mark.parametrize("known", [None, EIGHT - HOUR, EIGHT - 60 * DAY])
@pytest.mark.parametrize("newest", [None, utc(2024, 6, 1)])
def test_a_network_without_news_is_asked_less_and_less(
    known: datetime | None, newest: datetime | None
) -> None:
    if known is None:
        newest = None
    cursor, now, pauses = NewReadingsCursor(hour=known), NOW, []
    for _ in range(120):
        decision, asked = decide(cursor, newest, now)
        assert asked == 1
        assert not decision.runs
        assert decision.reason.startswith("AirQino shows no ")
        cursor = decision.cursor
        assert cursor.retry_at is not None
        _, asked = decide(cursor, newest, cursor.retry_at - timedelta(seconds=1))
        assert asked == 0
        pauses.append(cursor.retry_at - now)
        now = cursor.retry_at
    assert pauses == sorted(pauses)
    assert pauses[0] >= timedelta(seconds=10)
    assert pauses[-1] == timedelta(minutes=5)


def test_a_failing_network_is_left_alone_longer_and_longer_and_it_is_said_why() -> None:
    cursor, now, pauses = NewReadingsCursor(hour=EIGHT - HOUR), NOW, []
    for n in range(1, 12):
        decision, _ = decide(cursor, TransientFailure("AirQino answered 500"), now)
        assert f"AirQino could not be asked, {n} times in a row" in decision.reason
        assert "AirQino answered 500" in decision.reason
        cursor = decision.cursor
        assert cursor.retry_at is not None
        assert f"{cursor.retry_at:%H:%M:%S}Z" in decision.reason
        waiting, asked = decide(cursor, EIGHT, cursor.retry_at - timedelta(seconds=1))
        assert asked == 0
        assert f"failed {n} times" in waiting.reason
        pauses.append(cursor.retry_at - now)
        now = cursor.retry_at
    assert pauses[:3] == [timedelta(seconds=s) for s in (30, 60, 120)]
    assert pauses[-1] == LONGEST_PAUSE
    decision, _ = decide(cursor, EIGHT, now)
    assert decision.runs
    assert decision.cursor.failures == 0


@pytest.mark.parametrize(
    ("failure", "pause"),
    [
        (TransientFailure("slow down", retry_after=200.0), timedelta(seconds=200)),
        (TransientFailure("slow down", retry_after=1.0), timedelta(seconds=30)),
        (TransientFailure("slow down", retry_after=86_400.0), LONGEST_PAUSE),
        (PermanentFailure("no such station"), timedelta(seconds=30)),
    ],
)
def test_the_networks_own_wait_counts_within_bounds(failure: Exception, pause: timedelta) -> None:
    decision, _ = decide(NewReadingsCursor(), failure)
    assert decision.cursor.retry_at == NOW + pause


def test_an_error_of_ours_is_not_taken_for_the_networks() -> None:
    with pytest.raises(ZeroDivisionError):
        decide(NewReadingsCursor(), ZeroDivisionError())


# ------------------------------------------------------------------------------------- laws


@dataclass
class World:
    """A network that publishes, a clock that goes on, and runs that end one way or another."""

    now: datetime = NOW
    cursor: NewReadingsCursor = field(default_factory=NewReadingsCursor)
    newest: datetime = EIGHT - HOUR
    asked_at: list[datetime] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    covered: set[date] = field(default_factory=set)

    def tick(
        self,
        seconds: int,
        lag: int = 0,
        outcome: RunOutcome = RunOutcome.DONE,
        question: Callable[[datetime], datetime | None] = lambda newest: newest,
    ) -> None:
        self.now += timedelta(seconds=seconds)
        whole = self.now.replace(minute=0, second=0, microsecond=0)
        self.newest = max(self.newest, whole - (1 + lag) * HOUR)
        known = self.cursor.hour
        # Through the text that Dagster keeps, as between two real ticks.
        self.cursor = read_cursor(write_cursor(self.cursor), NewReadingsCursor)

        def fetch() -> datetime | None:
            self.asked_at.append(self.now)
            return question(self.newest)

        outcomes = {run.run_key: outcome for run in self.cursor.pending}
        earlier = reconcile(self.cursor.pending, outcomes, self.now)
        decision = decide_new_readings(self.cursor, POLICY, earlier, fetch, self.now)
        assert decision.runs or decision.reason
        assert set(decision.runs) <= set(decision.cursor.pending)
        self.cursor = decision.cursor
        self.keys += [run.run_key for run in decision.runs]
        if self.cursor.hour not in (known, None):
            assert self.cursor.hour == self.newest
            asked = decision.runs[-1]
            first, last = date.fromisoformat(asked.first), date.fromisoformat(asked.last)
            self.covered |= {first + n * DAY for n in range((last - first).days + 1)}
            start = self.newest - POLICY.look_back
            if known is not None:
                start = min(start, max(known + HOUR, self.newest - LONGEST))
            assert start.date() in self.covered
            assert self.newest.date() in self.covered


def broken(_: datetime) -> datetime | None:
    raise TransientFailure("down")


STEPS = st.lists(
    st.tuples(
        st.integers(1, 5 * 3600),
        st.integers(0, 4),
        st.sampled_from(RunOutcome),
        st.sampled_from([lambda newest: newest, broken, lambda _: None]),
    ),
    max_size=50,
)


@given(STEPS)
def test_every_hour_published_is_requested_once_whatever_fails_on_the_way(steps: list) -> None:
    world = World()
    for step in steps:
        world.tick(*step)
    # Two quiet hours in the end: what the network has by then is in.
    for _ in range(130):
        world.tick(60)
    assert world.cursor.hour == world.newest
    # Nothing is watched but what the last tick may have asked for.
    assert {run.version for run in world.cursor.pending} <= {world.newest.isoformat()}
    assert len(world.keys) == len(set(world.keys))


@given(STEPS)
def test_the_cursor_holds_one_run_a_day_at_most(steps: list) -> None:
    world = World()
    for step in steps:
        world.tick(*step)
        days = [run.first for run in world.cursor.pending]
        assert len(days) == len(set(days))
        assert days == sorted(days)


@given(
    st.one_of(st.none(), st.integers(-40 * 24, 40 * 24)),
    st.one_of(st.none(), st.integers(-(10**6), 10**6)),
    st.integers(0, 30),
)
def test_no_place_silences_a_network_for_longer_than_an_hour_takes(
    hour: int | None, ask_at: int | None, failures: int
) -> None:
    """Wherever the clock was when the cursor was kept."""
    world = World(
        cursor=NewReadingsCursor(
            None if hour is None else EIGHT + hour * HOUR,
            (),
            failures,
            None if ask_at is None else NOW + timedelta(seconds=ask_at),
        )
    )
    for _ in range(int((2 * HOUR + LONGEST_PAUSE) / timedelta(minutes=1))):
        world.tick(60)
        if world.asked_at:
            break
    assert world.asked_at


@given(st.text())
def test_a_garbled_cursor_is_a_new_beginning(text: str) -> None:
    assert isinstance(read_cursor(text, NewReadingsCursor), NewReadingsCursor)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        '{"hour": "2025-06-18T08:00:00"}',
        '{"asks": [{"job": "airqino_readings"}]}',
        '{"failures": "many"}',
        "2025-06-18T08:00:00+00:00",
    ],
)
def test_a_cursor_of_another_form_is_a_new_beginning(text: str) -> None:
    assert read_cursor(text, NewReadingsCursor) == NewReadingsCursor()


def test_a_cursor_with_less_or_more_is_read_as_far_as_it_goes() -> None:
    read = read_cursor('{"hour": "2025-06-18T08:00:00Z", "colour": "blue"}', NewReadingsCursor)
    assert read == NewReadingsCursor(hour=EIGHT)
    assert msgspec.json.decode(write_cursor(read)) == {
        "hour": "2025-06-18T08:00:00Z",
        "asks": [],
        "failures": 0,
        "ask_at": None,
    }
