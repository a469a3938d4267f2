"""The limit on calls that processes keep together."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from aq_resources.call_plan import CallPlan
from aq_resources.failures import TransientFailure


class Clock:
    """Time that only waiting moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def plan(path: Path, clock: Clock, limit: int = 3, seconds: float = 60.0) -> CallPlan:
    return CallPlan("Net", path, limit, seconds, clock=lambda: clock.now, sleep=clock.sleep)


def test_calls_within_the_limit_wait_for_nothing(tmp_path: Path) -> None:
    clock = Clock()
    limited = plan(tmp_path / "limits" / "net.json", clock)
    for _ in range(9):
        limited.take()
        clock.now += 20.0
    assert clock.waits == []


def test_a_call_beyond_the_limit_waits_for_the_oldest_to_be_a_minute_old(tmp_path: Path) -> None:
    clock = Clock()
    first, second = (plan(tmp_path / "net.json", clock) for _ in range(2))
    for taken in (first, second, first):
        taken.take()
        clock.now += 1.0
    second.take()
    assert clock.waits == [57.0]
    first.take()
    assert clock.waits == [57.0, 1.0]


def test_a_place_too_far_off_is_not_taken(tmp_path: Path) -> None:
    clock = Clock()
    limited = plan(tmp_path / "net.json", clock, limit=1, seconds=500.0)
    limited.take()
    for _ in range(3):
        with pytest.raises(TransientFailure, match=r"Net allows no call .* 500 s") as caught:
            limited.take()
        assert caught.value.retry_after == 500.0
    clock.now += 500.0
    limited.take()
    assert clock.waits == []


def test_a_block_holds_for_every_call_of_every_process(tmp_path: Path) -> None:
    clock = Clock()
    one, other = (plan(tmp_path / "net.json", clock) for _ in range(2))
    one.block(900.0)
    one.block(10.0)
    for call in (one.take, other.take, other.respect_block):
        with pytest.raises(TransientFailure) as caught:
            call()
        assert caught.value.retry_after == 900.0
    clock.now += 850.0
    other.respect_block()
    assert clock.waits == [50.0]
    other.take()
    assert clock.waits == [50.0]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"calls": "many"}'])
def test_a_file_that_cannot_be_read_is_written_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "net.json"
    path.write_text(content)
    clock = Clock()
    limited = plan(path, clock, limit=1)
    limited.take()
    limited.take()
    assert clock.waits == [60.0]


def _call(path: Path, calls: int) -> None:
    limited = CallPlan("Net", path, 4, 0.5)
    for _ in range(calls):
        limited.take()
        with path.with_suffix(".log").open("a") as log:
            log.write(f"{time.time()}\n")


def test_processes_take_no_place_twice(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    started = time.time()
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_call, args=(path, 4)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    calls = sorted(float(line) for line in path.with_suffix(".log").read_text().split())
    assert len(calls) == 12
    assert calls[0] >= started
    # Four at once, then four each half second: no five within less than that (but for the time
    # between a call's place and its note).
    assert all(later - earlier > 0.4 for earlier, later in zip(calls, calls[4:], strict=False))
