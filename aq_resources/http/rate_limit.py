"""A limit on requests that every process of the machine keeps to together.

Own code, since the libraries that count across processes (pyrate-limiter) know no block that the
server sets, and report a refusal without the wait that a retry must keep to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from aq_resources.failures import TransientFailure
from aq_resources.http.state_file import StateFile

# No server is known to block for longer; one that says so is asked again after that.
LONGEST_BLOCK_SECONDS = 3600.0


class _Sent(msgspec.Struct):
    """Requests sent by whole second of the real clock, and from when to when none may be sent."""

    seconds: dict[int, int] = {}
    closed: tuple[float, float] = (0.0, 0.0)


class SharedRateLimit:
    """At most `count` requests in any `period` seconds, for each pair of `limits`.

    The count is kept in a file, so that runs, sensors and terminals share it. It holds whichever
    way the server counts: sliding windows are stricter than its calendar minutes.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        limits: tuple[tuple[int, int], ...],
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Opens nothing.

        Args:
            name: What messages call the network.
            path: The file that keeps the count.
            limits: Pairs of a number of requests and a period in seconds.
            now: The real clock, in seconds since 1970.
            sleep: Waits so many seconds.
        """
        self._name = name
        self._limits = limits
        self._now = now
        self._sleep = sleep
        self._file = StateFile(path, _Sent, _Sent, poll=0.01)

    def acquire(self, patience: float) -> None:
        """Wait until one more request may be sent, and count it.

        Raises `TransientFailure` with the wait where that is longer than `patience` seconds.
        """
        self._wait(patience, counted=True)

    def wait_until_open(self, patience: float) -> None:
        """For requests that the server does not count: as `acquire`, but heeds a block alone."""
        self._wait(patience, counted=False)

    def close_for(self, seconds: float) -> None:
        """No one sends anything for so many seconds: the server said so."""
        with self._file.updated() as sent:
            now = self._now()
            until = now + min(seconds, LONGEST_BLOCK_SECONDS)
            sent.closed = (now, max(_closed_until(sent, now), until))

    def _wait(self, patience: float, *, counted: bool) -> None:
        while (wait := self._take(counted=counted)) > 0:
            if wait > patience:
                allowed = ", ".join(f"{count} in {period} s" for count, period in self._limits)
                raise TransientFailure(
                    f"{self._name}'s limit of requests ({allowed}) is used up for {wait:.0f} s",
                    retry_after=wait,
                )
            self._sleep(wait)
            patience -= wait

    def _take(self, *, counted: bool) -> float:
        """Count one request and return 0, or return the seconds until it may be sent."""
        with self._file.updated() as sent:
            now = self._now()
            wait = _closed_until(sent, now) - now
            if not counted:
                return wait
            longest = max(period for _, period in self._limits)
            # What seems to lie ahead was sent before the clock was set back.
            sent.seconds = {
                second: count
                for second, count in sent.seconds.items()
                if now - longest - 1 < second <= now + 1
            }
            for allowed, period in self._limits:
                wait = max(wait, _room_in(sent.seconds, allowed, period, now))
            if wait > 0:
                return wait
            sent.seconds[int(now)] = sent.seconds.get(int(now), 0) + 1
        return 0.0


def _closed_until(sent: _Sent, now: float) -> float:
    """End of the server's block; now where there is none."""
    began, end = sent.closed
    # One that seems to begin later is from before the clock was set back.
    return end if began <= now + 1 and now < end else now


def _room_in(seconds: dict[int, int], allowed: int, period: int, now: float) -> float:
    """Seconds until fewer than `allowed` were sent in the `period` before."""
    # A second counts as a whole: what was sent in it may have been sent at its end.
    recent = sorted(second for second in seconds if second + 1 + period > now)
    excess = sum(seconds[second] for second in recent) - allowed + 1
    for second in recent:
        if excess <= 0:
            break
        excess -= seconds[second]
        if excess <= 0:
            return second + 1 + period - now
    return 0.0
