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
from aq_sensors.asks import Ask, FollowUp, Outcome, follow_up
from aq_sensors.new_readings import LONGEST, Decision, Place, Terms, decide_new_readings
from aq_sensors.shell import read_cursor, write_cursor
from tests.factories import utc

NOW = utc(2025, 6, 18, 9, 2)
EIGHT = utc(2025, 6, 18, 8)
TERMS = Terms("AirQino", "airqino_readings", date(2025, 1, 1), 6 * HOUR)
LONGEST_PAUSE = timedelta(minutes=15)
NOTHING = FollowUp()


def decide(
    place: Place,
    newest: datetime | Exception | None = None,
    now: datetime = NOW,
    on: Terms = TERMS,
    earlier: FollowUp = NOTHING,
) -> tuple[Decision, int]:
    """The decision, and how often the network was asked."""
    asked: list[datetime] = []

    def question() -> datetime | None:
        asked.append(now)
        if isinstance(newest, Exception):
            raise newest
        return newest

    decision = decide_new_readings(place, on, earlier, question, now)
    return decision, len(asked)


def terms(**changed: Any) -> Terms:
    return replace(TERMS, **changed)


def days(decision: Decision) -> list[tuple[str, str]]:
    return [(ask.first, ask.last) for ask in decision.asks]


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
    decision, asked = decide(Place(hour=known), newest, newest + HOUR)
    assert asked == 1
    assert days(decision) == [expected]
    assert decision.asks[0].job == TERMS.job
    assert decision.place == Place(hour=newest, asks=decision.asks)


def test_a_long_look_back_is_kept_although_an_outage_is_cut() -> None:
    decision, _ = decide(Place(hour=EIGHT - HOUR), EIGHT, on=terms(look_back=100 * HOUR))
    assert days(decision) == [("2025-06-14", "2025-06-18")]


@pytest.mark.parametrize("start", [date(2025, 6, 19), date(2026, 1, 1)])
def test_nothing_is_requested_before_the_start_date(start: date) -> None:
    decision, asked = decide(Place(), EIGHT, on=terms(start_date=start))
    assert asked == 1
    assert not decision.asks
    assert decision.place.hour is None
    assert decision.place.ask_at is not None


def test_the_first_day_is_requested_on_its_first_hour() -> None:
    today = terms(start_date=date(2025, 6, 18))
    decision, _ = decide(Place(), utc(2025, 6, 17, 23), utc(2025, 6, 18, 0, 2), today)
    assert not decision.asks
    decision, _ = decide(decision.place, utc(2025, 6, 18), utc(2025, 6, 18, 1, 2), today)
    assert days(decision) == [("2025-06-18", "2025-06-18")]


def test_the_new_run_replaces_the_retry_of_the_same_days_and_no_other() -> None:
    older = Ask(TERMS.job, "2025-06-16", "2025-06-17", "a", 2)
    same = Ask(TERMS.job, "2025-06-18", "2025-06-18", "b", 2)
    earlier = FollowUp((older, same), (older, same))
    decision, _ = decide(Place(hour=EIGHT - HOUR), EIGHT, earlier=earlier)
    assert [ask.version for ask in decision.asks] == ["a", EIGHT.isoformat()]
    assert decision.place.asks == decision.asks


# ------------------------------------------------------------------------- when it is asked


def test_nobody_is_asked_while_the_last_complete_hour_is_in() -> None:
    decision, asked = decide(Place(hour=EIGHT), EIGHT, utc(2025, 6, 18, 9, 59, 59))
    assert asked == 0
    assert "08:00Z is in" in decision.reason
    assert "10:00Z" in decision.reason
    _, asked = decide(Place(hour=EIGHT), EIGHT, utc(2025, 6, 18, 10))
    assert asked == 1


def test_failed_runs_are_asked_again_whether_or_not_the_network_is() -> None:
    retry = Ask(TERMS.job, "2025-06-18", "2025-06-18", "a", 2)
    for place, newest in [
        (Place(hour=EIGHT), EIGHT),
        (Place(hour=EIGHT, ask_at=NOW + HOUR / 12, failures=2), EIGHT),
        (Place(hour=EIGHT - HOUR), TransientFailure("down")),
        (Place(hour=EIGHT - HOUR), None),
    ]:
        decision, _ = decide(place, newest, earlier=FollowUp((retry,), (retry,)))
        assert decision.asks == (retry,)
        assert decision.place.asks == (retry,)


@pytest.mark.parametrize("known", [None, EIGHT - HOUR, EIGHT - 60 * DAY])
@pytest.mark.parametrize("newest", [None, utc(2024, 6, 1)])
def test_a_network_without_news_is_asked_less_and_less(
    known: datetime | None, newest: datetime | None
) -> None:
    if known is None:
        newest = None
    place, now, pauses = Place(hour=known), NOW, []
    for _ in range(120):
        decision, asked = decide(place, newest, now)
        assert asked == 1
        assert not decision.asks
        assert decision.reason.startswith("AirQino shows no ")
        place = decision.place
        assert place.ask_at is not None
        _, asked = decide(place, newest, place.ask_at - timedelta(seconds=1))
        assert asked == 0
        pauses.append(place.ask_at - now)
        now = place.ask_at
    assert pauses == sorted(pauses)
    assert pauses[0] >= timedelta(seconds=10)
    assert pauses[-1] == timedelta(minutes=5)


def test_a_failing_network_is_left_alone_longer_and_longer_and_it_is_said_why() -> None:
    place, now, pauses = Place(hour=EIGHT - HOUR), NOW, []
    for n in range(1, 12):
        decision, _ = decide(place, TransientFailure("AirQino answered 500"), now)
        assert f"AirQino could not be asked, {n} times in a row" in decision.reason
        assert "AirQino answered 500" in decision.reason
        place = decision.place
        assert place.ask_at is not None
        assert f"{place.ask_at:%H:%M:%S}Z" in decision.reason
        waiting, asked = decide(place, EIGHT, place.ask_at - timedelta(seconds=1))
        assert asked == 0
        assert f"failed {n} times" in waiting.reason
        pauses.append(place.ask_at - now)
        now = place.ask_at
    assert pauses[:3] == [timedelta(seconds=s) for s in (30, 60, 120)]
    assert pauses[-1] == LONGEST_PAUSE
    decision, _ = decide(place, EIGHT, now)
    assert decision.asks
    assert decision.place.failures == 0


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
    decision, _ = decide(Place(), failure)
    assert decision.place.ask_at == NOW + pause


def test_an_error_of_ours_is_not_taken_for_the_networks() -> None:
    with pytest.raises(ZeroDivisionError):
        decide(Place(), ZeroDivisionError())


# ------------------------------------------------------------------------------------- laws


@dataclass
class World:
    """A network that publishes, a clock that goes on, and runs that end one way or another."""

    now: datetime = NOW
    place: Place = field(default_factory=Place)
    newest: datetime = EIGHT - HOUR
    asked_at: list[datetime] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    covered: set[date] = field(default_factory=set)

    def tick(
        self,
        seconds: int,
        lag: int = 0,
        outcome: Outcome = Outcome.DONE,
        question: Callable[[datetime], datetime | None] = lambda newest: newest,
    ) -> None:
        self.now += timedelta(seconds=seconds)
        whole = self.now.replace(minute=0, second=0, microsecond=0)
        self.newest = max(self.newest, whole - (1 + lag) * HOUR)
        known = self.place.hour
        # Through the text that Dagster keeps, as between two real ticks.
        self.place = read_cursor(write_cursor(self.place), Place)

        def ask() -> datetime | None:
            self.asked_at.append(self.now)
            return question(self.newest)

        outcomes = {ask.run_key: outcome for ask in self.place.asks}
        earlier = follow_up(self.place.asks, outcomes, self.now)
        decision = decide_new_readings(self.place, TERMS, earlier, ask, self.now)
        assert decision.asks or decision.reason
        assert set(decision.asks) <= set(decision.place.asks)
        self.place = decision.place
        self.keys += [ask.run_key for ask in decision.asks]
        if self.place.hour not in (known, None):
            assert self.place.hour == self.newest
            asked = decision.asks[-1]
            first, last = date.fromisoformat(asked.first), date.fromisoformat(asked.last)
            self.covered |= {first + n * DAY for n in range((last - first).days + 1)}
            start = self.newest - TERMS.look_back
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
        st.sampled_from(Outcome),
        st.sampled_from([lambda newest: newest, broken, lambda _: None]),
    ),
    max_size=50,
)


@given(STEPS)
def test_every_hour_published_is_requested_once_whatever_fails_on_the_way(steps: list) -> None:  # type: ignore[type-arg]
    world = World()
    for step in steps:
        world.tick(*step)
    # Two quiet hours in the end: what the network has by then is in.
    for _ in range(130):
        world.tick(60)
    assert world.place.hour == world.newest
    # Nothing is watched but what the last tick may have asked for.
    assert {ask.version for ask in world.place.asks} <= {world.newest.isoformat()}
    assert len(world.keys) == len(set(world.keys))


@given(STEPS)
def test_the_cursor_holds_one_run_a_day_at_most(steps: list) -> None:  # type: ignore[type-arg]
    world = World()
    for step in steps:
        world.tick(*step)
        days = [ask.first for ask in world.place.asks]
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
    """Wherever the clock was when the place was kept."""
    world = World(
        place=Place(
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
    assert isinstance(read_cursor(text, Place), Place)


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
    assert read_cursor(text, Place) == Place()


def test_a_cursor_with_less_or_more_is_read_as_far_as_it_goes() -> None:
    read = read_cursor('{"hour": "2025-06-18T08:00:00Z", "colour": "blue"}', Place)
    assert read == Place(hour=EIGHT)
    assert msgspec.json.decode(write_cursor(read)) == {
        "hour": "2025-06-18T08:00:00Z",
        "asks": [],
        "failures": 0,
        "ask_at": None,
    }
