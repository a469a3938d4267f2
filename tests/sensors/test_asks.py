"""What was asked for is watched, tried again a bounded number of times, and then let go."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from aq_sensors.asks import ATTEMPTS, FIRST_RETRY, Ask, FollowUp, Outcome, follow_up
from tests.factories import utc

NOW = utc(2025, 6, 18, 9, 2)
ASK = Ask("airqino_readings", "2025-06-17", "2025-06-18", "2025-06-18T08:00:00+00:00")
OUTCOMES = st.sampled_from([*Outcome, None])


def test_the_run_key_tells_jobs_partitions_reasons_and_attempts_apart() -> None:
    others = [
        Ask("airqino_pull", ASK.first, ASK.last, ASK.version),
        Ask(ASK.job, "2025-06-16", ASK.last, ASK.version),
        Ask(ASK.job, ASK.first, "2025-06-17", ASK.version),
        Ask(ASK.job, ASK.first, ASK.last, "another"),
        Ask(ASK.job, ASK.first, ASK.last, ASK.version, attempt=2),
    ]
    assert len({ASK.run_key, *(other.run_key for other in others)}) == 6


def test_a_run_under_way_is_watched_and_a_finished_one_is_not() -> None:
    assert follow_up([ASK], {ASK.run_key: Outcome.UNDER_WAY}, NOW) == FollowUp((ASK,))
    assert follow_up([ASK], {ASK.run_key: Outcome.DONE}, NOW) == FollowUp()


def test_a_failure_is_tried_again_after_two_and_four_minutes_and_then_given_up() -> None:
    asks, requested, now = (ASK,), [], NOW
    for _ in range(100):
        after = follow_up(asks, {ask.run_key: Outcome.FAILED for ask in asks}, now)
        requested += [(now - NOW, ask.attempt) for ask in after.again]
        if after.given_up:
            break
        asks, now = after.open, now + timedelta(seconds=30)
    assert requested == [(timedelta(minutes=2), 2), (timedelta(minutes=6, seconds=30), 3)]
    assert [ask.attempt for ask in after.given_up] == [ATTEMPTS]
    assert not after.open


def test_an_ask_whose_run_was_lost_or_deleted_is_asked_again() -> None:
    waiting = follow_up([ASK], {}, NOW)
    assert waiting.open
    assert not waiting.again
    later = follow_up(waiting.open, {}, NOW + FIRST_RETRY)
    assert [ask.attempt for ask in later.again] == [2]


def test_a_clock_set_back_makes_no_retry_wait_longer() -> None:
    waiting = follow_up([ASK], {ASK.run_key: Outcome.FAILED}, NOW)
    past = NOW - timedelta(days=3)
    assert follow_up(waiting.open, {ASK.run_key: Outcome.FAILED}, past).again


@given(st.lists(st.tuples(OUTCOMES, st.integers(-3600, 3600)), max_size=60))
def test_whatever_happens_an_ask_is_requested_at_most_three_times_with_keys_of_its_own(
    steps: list[tuple[Outcome | None, int]],
) -> None:
    asks: tuple[Ask, ...] = (ASK,)
    keys, now, ended = [ASK.run_key], NOW, 0
    for outcome, seconds in steps:
        now += timedelta(seconds=seconds)
        outcomes = {ask.run_key: outcome for ask in asks if outcome is not None}
        after = follow_up(asks, outcomes, now)
        assert set(after.again) <= set(after.open)
        assert not set(after.given_up) & set(after.open)
        keys += [ask.run_key for ask in after.again]
        ended += len(asks) - len(after.open)
        asks = after.open
    assert len(keys) == len(set(keys)) <= ATTEMPTS
    assert len(asks) + ended == 1
