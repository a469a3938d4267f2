"""Failures within a run: Dagster gets its own, retries what may help, and says why."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from aq_assets.declare import asset, asset_check
from aq_resources.failures import PermanentFailure, PlatformFailure, TransientFailure
from aq_resources.run_failures import failing_as_dagster, step_failure_reason

BUSY, GONE = TransientFailure("busy", retry_after=5.0), PermanentFailure("gone: bring it back")


def run(failure: PlatformFailure, tries: list[int]) -> dg.ExecuteInProcessResult:
    @asset(name="made", retry_policy=dg.RetryPolicy(max_retries=2))
    def made() -> None:
        tries.append(1)
        raise failure

    return dg.materialize([made], raise_on_error=False)


@pytest.mark.parametrize(("failure", "tries"), [(BUSY, 3), (GONE, 1)])
def test_what_may_help_is_tried_again_and_the_message_is_the_reason(
    failure: PlatformFailure, tries: int
) -> None:
    made: list[int] = []
    result = run(failure, made)
    assert len(made) == tries
    (event,) = result.get_step_failure_events()
    data = event.step_failure_data
    assert data.user_failure_data is not None
    assert data.user_failure_data.description == failure.message
    assert step_failure_reason(event) == failure.message


def test_the_platforms_own_failure_stands_behind_it() -> None:
    @failing_as_dagster
    def work() -> None:
        raise GONE

    with pytest.raises(dg.Failure) as raised:
        work()
    assert raised.value.__cause__ is GONE
    assert not raised.value.allow_retries


def test_bodies_that_give_one_result_after_another_are_no_exception() -> None:
    @failing_as_dagster
    def work() -> Iterator[int]:
        yield 1
        raise BUSY

    results = work()
    assert next(results) == 1
    with pytest.raises(dg.Failure, match="busy") as raised:
        next(results)
    assert raised.value.allow_retries


def test_whatever_is_a_defect_stays_one() -> None:
    @failing_as_dagster
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_a_check_fails_by_its_reason_too() -> None:
    @asset(name="made")
    def made() -> None: ...

    @asset_check(asset=made, name="seen")
    def seen() -> dg.AssetCheckResult:
        raise GONE

    result = dg.materialize([made, seen], raise_on_error=False)
    assert [step_failure_reason(one) for one in result.get_step_failure_events()] == [GONE.message]
