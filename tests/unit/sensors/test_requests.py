"""What was requested is watched, retried a bounded number of times, and then let go."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from aq_sensors.requests import (
    ATTEMPTS,
    FIRST_RETRY,
    Reconciled,
    RequestedRun,
    RunOutcome,
    reconcile,
)
from tests.factories import utc

NOW = utc(2025, 6, 18, 9, 2)
RUN = RequestedRun("airqino_readings", "2025-06-17", "2025-06-18", "2025-06-18T08:00:00+00:00")
OUTCOMES = st.sampled_from([*RunOutcome, None])


def test_the_run_key_tells_jobs_partitions_reasons_and_attempts_apart() -> None:
    others = [
        RequestedRun("airqino_pull", RUN.first, RUN.last, RUN.version),
        RequestedRun(RUN.job, "2025-06-16", RUN.last, RUN.version),
        RequestedRun(RUN.job, RUN.first, "2025-06-17", RUN.version),
        RequestedRun(RUN.job, RUN.first, RUN.last, "another"),
        RequestedRun(RUN.job, RUN.first, RUN.last, RUN.version, attempt=2),
    ]
    assert len({RUN.run_key, *(other.run_key for other in others)}) == 6


def test_a_run_under_way_is_watched_and_a_finished_one_is_not() -> None:
    assert reconcile([RUN], {RUN.run_key: RunOutcome.UNDER_WAY}, NOW) == Reconciled((RUN,))
    assert reconcile([RUN], {RUN.run_key: RunOutcome.DONE}, NOW) == Reconciled()


def test_a_failure_is_tried_again_after_two_and_four_minutes_and_then_given_up() -> None:
    pending: tuple[RequestedRun, ...] = (RUN,)
    requested, now = [], NOW
    for _ in range(100):
        after = reconcile(pending, {run.run_key: RunOutcome.FAILED for run in pending}, now)
        requested += [(now - NOW, run.attempt) for run in after.due]
        if after.abandoned:
            break
        pending, now = after.pending, now + timedelta(seconds=30)
    assert requested == [(timedelta(minutes=2), 2), (timedelta(minutes=6, seconds=30), 3)]
    assert [run.attempt for run in after.abandoned] == [ATTEMPTS]
    assert not after.pending


def test_a_request_whose_run_was_lost_or_deleted_is_repeated() -> None:
    waiting = reconcile([RUN], {}, NOW)
    assert waiting.pending
    assert not waiting.due
    later = reconcile(waiting.pending, {}, NOW + FIRST_RETRY)
    assert [run.attempt for run in later.due] == [2]


def test_a_clock_set_back_makes_no_retry_wait_longer() -> None:
    waiting = reconcile([RUN], {RUN.run_key: RunOutcome.FAILED}, NOW)
    past = NOW - timedelta(days=3)
    assert reconcile(waiting.pending, {RUN.run_key: RunOutcome.FAILED}, past).due


@given(st.lists(st.tuples(OUTCOMES, st.integers(-3600, 3600)), max_size=60))
def test_whatever_happens_a_run_is_requested_at_most_three_times_with_keys_of_its_own(
    steps: list[tuple[RunOutcome | None, int]],
) -> None:
    pending: tuple[RequestedRun, ...] = (RUN,)
    keys, now, ended = [RUN.run_key], NOW, 0
    for outcome, seconds in steps:
        now += timedelta(seconds=seconds)
        outcomes = {run.run_key: outcome for run in pending if outcome is not None}
        after = reconcile(pending, outcomes, now)
        assert set(after.due) <= set(after.pending)
        assert not set(after.abandoned) & set(after.pending)
        keys += [run.run_key for run in after.due]
        ended += len(pending) - len(after.pending)
        pending = after.pending
    assert len(keys) == len(set(keys)) <= ATTEMPTS
    assert len(pending) + ended == 1
