"""Which days are pulled again: what is missing, failed or due, a bounded number of times."""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_science.windows import DAY, HOUR, midnight
from aq_sensors.cursors import read_cursor, write_cursor
from aq_sensors.day_states import DayState
from aq_sensors.late_data import (
    ATTEMPTS,
    GRACE_DAYS,
    WAITS,
    Attempt,
    BackfillState,
    Kind,
    decide_late_data,
    reach,
    repull_reason,
)
from tests.factories import utc
from tests.laws import examples

REVISIT = (1, 3, 7, 30)
TODAY = date(2025, 6, 18)
NOW = utc(2025, 6, 18, 9, 20)
NONE_BUSY: frozenset[date] = frozenset()
MINUTE = timedelta(minutes=1)
MISSING, FAILED, UNANSWERED, NOT_AVERAGED = (
    Kind.MISSING.value,
    Kind.FAILED.value,
    Kind.UNANSWERED.value,
    Kind.NOT_AVERAGED.value,
)


def pulled(at: datetime, *, unanswered: int = 0, cleaned: bool = True) -> DayState:
    return DayState(at, unanswered, cleaned, version=1)


def ended(day: date) -> datetime:
    return midnight(day) + DAY


def decide(
    late: BackfillState,
    days: dict[date, DayState],
    *,
    busy: frozenset[date] = NONE_BUSY,
    now: datetime = NOW,
    limit: int = 10,
) -> tuple[BackfillState, list[tuple[date, date, str]]]:
    after, ranges = decide_late_data(late, days, busy, now, revisit_days=REVISIT, limit=limit)
    return after, [(one.first, one.last, str(one.reason)) for one in ranges]


def reason_of(
    day: date, state: DayState, now: datetime = NOW, revisit_days: tuple[int, ...] = REVISIT
) -> str:
    """As it stands in the cursor and the run keys; empty without any."""
    return str(repull_reason(day, state, now, revisit_days) or "")


# ---------------------------------------------------------------------------- why a day is late


@pytest.mark.parametrize(
    ("age", "state", "reason"),
    [
        pytest.param(1, DayState(), MISSING, id="never pulled"),
        pytest.param(5, pulled(NOW - HOUR, cleaned=False), FAILED, id="not cleaned"),
        pytest.param(5, pulled(NOW - HOUR, unanswered=2), UNANSWERED, id="not all answered"),
        pytest.param(5, pulled(NOW - HOUR), "", id="just pulled"),
        pytest.param(1, pulled(NOW - 12 * HOUR), "", id="yesterday before its end, still early"),
        pytest.param(2, pulled(NOW - 40 * HOUR), MISSING, id="pulled before its end, days ago"),
        pytest.param(2, pulled(ended(TODAY - 2 * DAY) + HOUR), "revisit_1", id="due after a day"),
        pytest.param(9, pulled(ended(TODAY - 9 * DAY) + 2 * DAY), "revisit_7", id="two are due"),
        pytest.param(31, pulled(ended(TODAY - 31 * DAY) + 8 * DAY), "revisit_30", id="the last"),
        pytest.param(31, pulled(ended(TODAY - 31 * DAY) + 30 * DAY), "", id="all visits are done"),
        pytest.param(
            9, pulled(ended(TODAY - 9 * DAY) + DAY, unanswered=1), "revisit_7", id="due and silent"
        ),
    ],
)
def test_a_day_is_wanted_for_the_first_good_reason(age: int, state: DayState, reason: str) -> None:
    assert reason_of(TODAY - age * DAY, state) == reason


def test_without_revisits_whole_days_are_left_alone_and_others_still_wanted() -> None:
    day = TODAY - 4 * DAY
    assert reason_of(day, pulled(ended(day) + HOUR), NOW, ()) == ""
    assert reason_of(day, pulled(ended(day) - HOUR), NOW, ()) == MISSING
    assert reason_of(day, DayState(), NOW, ()) == MISSING


def test_a_visit_that_falls_due_while_the_platform_is_down_is_made_later() -> None:
    assert reach(REVISIT) == 30 + 1 + GRACE_DAYS
    assert reach(()) == 1 + GRACE_DAYS
    down = TODAY - (30 + GRACE_DAYS) * DAY
    assert reason_of(down, pulled(ended(down) + 8 * DAY)) == "revisit_30"


# ----------------------------------------------------------------------------- what is asked for


def test_consecutive_days_of_one_reason_are_one_range_oldest_first() -> None:
    days = {TODAY - n * DAY: DayState() for n in (1, 2, 3, 6, 7)}
    days[TODAY - 2 * DAY] = pulled(NOW, cleaned=False)
    _, ranges = decide(BackfillState(), days)
    assert ranges == [
        (TODAY - 7 * DAY, TODAY - 6 * DAY, MISSING),
        (TODAY - 3 * DAY, TODAY - 3 * DAY, MISSING),
        (TODAY - 2 * DAY, TODAY - 2 * DAY, FAILED),
        (TODAY - DAY, TODAY - DAY, MISSING),
    ]


def test_no_more_than_the_limit_at_once_and_the_others_after_that() -> None:
    days = {TODAY - n * DAY: DayState() for n in range(1, 32)}
    late, asked = BackfillState(), []
    for minute in range(4):
        late, ranges = decide(late, days, now=NOW + minute * MINUTE)
        asked += ranges
    assert asked == [
        (TODAY - 31 * DAY, TODAY - 22 * DAY, MISSING),
        (TODAY - 21 * DAY, TODAY - 12 * DAY, MISSING),
        (TODAY - 11 * DAY, TODAY - 2 * DAY, MISSING),
        (TODAY - DAY, TODAY - DAY, MISSING),
    ]


def test_a_day_that_is_worked_on_is_waited_for() -> None:
    day = TODAY - DAY
    late, ranges = decide(BackfillState(), {day: DayState()}, busy=frozenset({day}))
    assert ranges == []
    assert late == BackfillState()
    late, ranges = decide(late, {day: DayState()})
    assert ranges == [(day, day, MISSING)]


def test_a_day_asked_for_in_vain_is_asked_for_alone_twice_more_and_then_given_up() -> None:
    days = {TODAY - n * DAY: DayState() for n in (2, 3, 4)}
    late, asked = BackfillState(), []
    for minute in range(24 * 60):
        now = NOW + minute * MINUTE
        late, ranges = decide(read_cursor(write_cursor(late), BackfillState), days, now=now)
        asked += [(minute, first, last) for first, last, _ in ranges]
    first = min(days)
    again = [(minute, day, day) for minute in (10, 370) for day in sorted(days)]
    assert asked == [(0, first, max(days)), *again]
    assert late.abandoned == dict.fromkeys([day.isoformat() for day in sorted(days)], MISSING)


def test_a_day_given_up_is_taken_up_again_for_another_reason() -> None:
    day = TODAY - 2 * DAY
    late = BackfillState({day.isoformat(): Attempt(MISSING, ATTEMPTS + 1, NOW - HOUR)})
    assert late.abandoned == {day.isoformat(): MISSING}
    assert decide(late, {day: DayState()}) == (late, [])
    late, ranges = decide(late, {day: pulled(NOW, cleaned=False)})
    assert ranges == [(day, day, FAILED)]
    assert late.abandoned == {}


def test_a_day_that_was_brought_in_is_forgotten() -> None:
    day = TODAY - 2 * DAY
    late = BackfillState({day.isoformat(): Attempt(MISSING, ATTEMPTS + 1, NOW - HOUR)})
    assert decide(late, {day: pulled(NOW)}) == (BackfillState(), [])
    assert decide(late, {}) == (BackfillState(), [])


def test_a_day_that_fails_keeps_no_other_from_its_turn() -> None:
    """Were the limit spent on those that fail, the newer days would never be pulled."""
    days = {TODAY - n * DAY: DayState() for n in range(1, 9)}
    late, asked = BackfillState(), Counter[date]()
    for minute in range(12 * 60):
        late, ranges = decide(late, days, now=NOW + minute * MINUTE, limit=1)
        asked.update(first for first, _, _ in ranges)
    assert asked == dict.fromkeys(days, ATTEMPTS)


def test_a_clock_set_back_makes_no_day_wait() -> None:
    day = TODAY - 2 * DAY
    late = BackfillState({day.isoformat(): Attempt(MISSING, 1, NOW + 10 * DAY)})
    _, ranges = decide(late, {day: DayState()})
    assert ranges == [(day, day, MISSING)]


def test_an_outage_of_six_hours_is_outlasted() -> None:
    assert WAITS[0] + WAITS[1] > 6 * HOUR


# ------------------------------------------------------------------------------------------ laws


class End(enum.Enum):
    """How the run of a day ends."""

    WELL = enum.auto()
    WITHOUT_A_STATION = enum.auto()
    NOT_CLEANED = enum.auto()
    IN_VAIN = enum.auto()


@dataclass
class World:
    """Days whose runs end as the test says."""

    now: datetime = NOW
    late: BackfillState = field(default_factory=BackfillState)
    days: dict[date, DayState] = field(default_factory=dict)
    asked: dict[date, list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    version: int = 1

    def tick(self, limit: int, ends: dict[int, End]) -> None:
        """One tick; `ends` by the day's number, well by default."""
        days = [self.now.date() - n * DAY for n in range(1, reach(REVISIT) + 1)]
        known = {day: self.days.get(day, DayState()) for day in days}
        self.late = read_cursor(write_cursor(self.late), BackfillState)
        self.late, ranges = decide(self.late, known, now=self.now, limit=limit)
        chosen = [
            first + n * DAY for first, last, _ in ranges for n in range((last - first).days + 1)
        ]
        assert chosen == sorted(set(chosen))
        assert len(chosen) <= limit
        assert len(self.late.attempts) <= len(days)
        reasons = {first: reason for first, _, reason in ranges}
        reason = ""
        for day in chosen:
            reason = reasons.get(day, reason)
            self.asked[day].append((self.now, reason))
            end = ends.get(day.toordinal() % 7, End.WELL)
            if end is End.IN_VAIN:
                continue
            self.version += 1
            self.days[day] = DayState(
                self.now,
                int(end is End.WITHOUT_A_STATION),
                end is not End.NOT_CLEANED,
                version=self.version,
            )


@given(
    st.lists(st.integers(1, 3 * 24 * 60), max_size=60),
    st.integers(1, 12),
    st.dictionaries(st.integers(0, 6), st.sampled_from(End), max_size=6),
)
def test_no_day_is_asked_for_more_than_three_times_for_one_reason(
    pauses: list[int], limit: int, ends: dict[int, End]
) -> None:
    world = World()
    for pause in pauses:
        world.tick(limit, ends)
        world.now += pause * MINUTE
    for times in world.asked.values():
        counts = Counter(reason for _, reason in times)
        # Every visit that falls due may find the day in another bad state.
        visits = sum(reason.startswith("revisit") for reason in counts) + 1
        for reason, count in counts.items():
            assert count <= ATTEMPTS * (1 if reason.startswith(("rev", MISSING)) else visits)


@settings(max_examples=examples(10))
@given(st.integers(1, 12), st.integers(180, 720))
def test_every_day_is_visited_once_a_due_date(limit: int, pause: int) -> None:
    world = World()
    # What the hourly refresh brings: yesterday, whole, some hours after its end.
    born = {TODAY + n * DAY for n in range(5)}
    while world.now < NOW + 45 * DAY:
        for day in born:
            if day not in world.days and world.now >= ended(day) + 5 * HOUR:
                world.days[day] = pulled(ended(day) + 5 * HOUR)
        for day in (world.now.date() - n * DAY for n in range(1, reach(REVISIT) + 1)):
            if day not in born:
                world.days[day] = pulled(world.now)
        world.tick(limit, {})
        world.now += pause * MINUTE
    for day in born:
        early = [why for when, why in world.asked[day] if when < ended(day) + 5 * HOUR]
        assert early in ([], [MISSING])
        visits = [(when, why) for when, why in world.asked[day] if why != MISSING]
        assert [why for _, why in visits] == [f"revisit_{n}" for n in REVISIT]
        for (when, _), n in zip(visits, REVISIT, strict=True):
            due = ended(day) + n * DAY
            assert due <= when <= due + (5 // limit + 2) * pause * MINUTE


@given(st.text())
def test_a_garbled_cursor_is_a_new_beginning(text: str) -> None:
    assert isinstance(read_cursor(text, dict[str, BackfillState]), dict)


def test_a_day_whose_averages_failed_is_averaged_again_and_not_pulled() -> None:
    pulled = utc(2024, 6, 3, 1)
    state = DayState(pulled_at=pulled, cleaned=True, averaged=False, version=1)
    day = date(2024, 6, 1)
    assert reason_of(day, state, pulled + timedelta(minutes=59), ()) == ""
    assert reason_of(day, state, pulled + timedelta(hours=1), ()) == NOT_AVERAGED
    assert reason_of(day, replace(state, averaged=True), pulled + timedelta(hours=1), ()) == ""
    # Pulling again averages again as well.
    assert reason_of(day, replace(state, cleaned=False), pulled + timedelta(hours=1), ()) == FAILED
