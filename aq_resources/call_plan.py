"""A limit on calls that every process on the machine keeps together.

The server counts in real time, so the real clock decides here, not the platform's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from filelock import FileLock

from aq_resources.failures import TransientFailure
from aq_resources.http import MAX_WAIT_SECONDS


class _State(msgspec.Struct):
    calls: list[float] = []
    blocked_until: float = 0.0


class CallPlan:
    """At most ``limit`` calls in any ``seconds``, and none during a block that the server set.

    Every call takes the next free place before it is made, under a file lock, and waits for it: so
    no two processes take the same one. A place further off than a run should wait is not taken.
    """

    def __init__(
        self,
        network: str,
        path: Path,
        limit: int,
        seconds: float = 60.0,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._network = network
        self._path = path
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep

    def take(self) -> None:
        """Wait for the next place. Raises `TransientFailure` where it is too far off."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock"):
            state, now = self._read(), self._clock()
            place = max(now, state.blocked_until)
            if len(state.calls) >= self._limit:
                place = max(place, state.calls[-self._limit] + self._seconds)
            if place - now <= MAX_WAIT_SECONDS:
                state.calls = [*state.calls[-self._limit :], place][-self._limit :]
                self._write(state)
        self._wait_or_fail(place - now)

    def respect_block(self) -> None:
        """For calls that are not counted: wait for the end of a block alone."""
        self._wait_or_fail(self._read().blocked_until - self._clock())

    def block(self, seconds: float) -> None:
        """The server answers nothing for so long."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock"):
            state = self._read()
            state.blocked_until = max(state.blocked_until, self._clock() + seconds)
            self._write(state)

    def _wait_or_fail(self, wait: float) -> None:
        if wait > MAX_WAIT_SECONDS:
            raise TransientFailure(
                f"{self._network} allows no call of this kind for another {wait:.0f} s",
                retry_after=wait,
            )
        if wait > 0:
            self._sleep(wait)

    def _read(self) -> _State:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.DecodeError):
            # What a killed process left half written is worth no more than nothing.
            return _State()

    def _write(self, state: _State) -> None:
        # In one step: `respect_block` reads without the lock.
        whole = self._path.with_suffix(".new")
        whole.write_bytes(msgspec.json.encode(state))
        whole.replace(self._path)
