"""A limit that processes share: never exceeded in any window, and waits no longer than it must."""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.failures import TransientFailure
from aq_resources.http.rate_limit import LONGEST_BLOCK_SECONDS, SharedRateLimit
from tests.patience import PATIENCE_S


class Time:
    """A clock that only waiting moves."""

    def __init__(self, now: float = 1_000_000.5) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def limited(path: Path, clock: Time, *limits: tuple[int, int]) -> SharedRateLimit:
    return SharedRateLimit("Net", path / "requests.json", limits, clock, clock.sleep)


def test_what_is_allowed_is_not_waited_for(tmp_path: Path) -> None:
    clock = Time()
    limit = limited(tmp_path, clock, (60, 60), (2000, 3600))
    for _ in range(60):
        limit.acquire(0)
    assert clock.now == 1_000_000.5
    with pytest.raises(TransientFailure, match=r"Net's limit of requests \(60 in 60 s") as error:
        limit.acquire(10)
    assert error.value.retry_after == pytest.approx(60.5)
    limit.acquire(100)
    assert clock.now == pytest.approx(1_000_061)


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(1, 8),
)
def test_no_window_ever_holds_more(
    tmp_path_factory: pytest.TempPathFactory, pauses: list[float], allowed: int, period: int
) -> None:
    clock = Time()
    limit = limited(tmp_path_factory.mktemp("limit"), clock, (allowed, period))
    sent = []
    for pause in pauses:
        clock.now += pause
        limit.acquire(1000)
        sent.append(clock.now)
    for first, last in zip(sent, sent[allowed:], strict=False):
        assert last - first >= period


def test_the_longer_limit_holds_as_well(tmp_path: Path) -> None:
    clock = Time()
    limit = limited(tmp_path, clock, (2, 1), (5, 100))
    for _ in range(6):
        limit.acquire(200)
    assert clock.now >= 1_000_000.5 + 100


def test_another_object_shares_the_count(tmp_path: Path) -> None:
    clock = Time()
    for _ in range(2):
        limited(tmp_path, clock, (2, 60)).acquire(0)
    with pytest.raises(TransientFailure):
        limited(tmp_path, clock, (2, 60)).acquire(0)


def test_a_closed_server_is_left_alone_by_all(tmp_path: Path) -> None:
    clock = Time()
    limited(tmp_path, clock, (9, 60)).close_for(25)
    limited(tmp_path, clock, (9, 60)).acquire(30)
    assert clock.now == pytest.approx(1_000_025.5)


def test_a_block_longer_than_any_period_holds_for_every_request(tmp_path: Path) -> None:
    clock = Time()
    one, other = (limited(tmp_path / "limits", clock, (3, 60)) for _ in range(2))
    one.close_for(900)
    one.close_for(10)
    for ask in (one.acquire, other.acquire, other.wait_until_open):
        with pytest.raises(TransientFailure) as error:
            ask(120)
        assert error.value.retry_after == 900
    clock.now += 850
    other.wait_until_open(120)
    assert clock.now == pytest.approx(1_000_900.5)
    other.acquire(0)


def test_what_is_not_counted_waits_for_no_limit(tmp_path: Path) -> None:
    clock = Time()
    limit = limited(tmp_path, clock, (1, 60))
    limit.acquire(0)
    for _ in range(5):
        limit.wait_until_open(0)
    with pytest.raises(TransientFailure):
        limit.acquire(0)
    assert clock.now == 1_000_000.5


def test_an_endless_block_ends(tmp_path: Path) -> None:
    clock = Time()
    limit = limited(tmp_path, clock, (1, 60))
    limit.close_for(math.inf)
    clock.now += LONGEST_BLOCK_SECONDS
    limit.acquire(0)


def test_a_clock_set_back_blocks_nobody(tmp_path: Path) -> None:
    clock = Time()
    limit = limited(tmp_path, clock, (1, 60))
    limit.acquire(0)
    limit.close_for(50)
    clock.now -= 86_400
    limit.acquire(0)


@pytest.mark.parametrize("content", ["", "[]", '{"seconds": ', '{"seconds": "many"}'])
def test_a_damaged_file_is_begun_again(tmp_path: Path, content: str) -> None:
    limit = limited(tmp_path, Time(), (1, 60))
    (tmp_path / "requests.json").write_text(content)
    limit.acquire(0)


_WORKER = """
import sys
from pathlib import Path
from aq_resources.failures import TransientFailure
from aq_resources.http.rate_limit import SharedRateLimit
limit = SharedRateLimit("Net", Path(sys.argv[1]), ((30, 3600),))
taken = 0
try:
    while True:
        limit.acquire(0)
        taken += 1
except TransientFailure:
    Path(sys.argv[2]).write_text(str(taken))
"""


@pytest.mark.server
def test_processes_and_threads_together_take_no_more_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "requests.json"
    results = [tmp_path / f"taken-{n}" for n in range(3)]
    workers = [Popen([sys.executable, "-c", _WORKER, str(path), str(one)]) for one in results]
    limit = SharedRateLimit("Net", path, ((30, 3600),))

    def take(_: int) -> int:
        try:
            limit.acquire(0)
        except TransientFailure:
            return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        own = sum(pool.map(take, range(12)))
    assert [worker.wait(PATIENCE_S) for worker in workers] == [0, 0, 0]
    assert own + sum(int(one.read_text()) for one in results) == 30
