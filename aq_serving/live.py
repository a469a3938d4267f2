"""Server-sent events: who listens, and what each of them is yet to be sent.

One task a process looks once a second whether something changed and wakes those that it concerns; a
stream that waits is an entry in a dictionary. What a slow reader has not taken is replaced by what
is newer, so that nothing piles up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from aq_serving.problems import RETRY_AFTER, ProblemError, unavailable
from aq_serving.published import PublishedNow

TICK_SECONDS = 1.0
# Below the patience of proxies, which is a minute as a rule.
BEAT_SECONDS = 20.0
# As often as the drain of devices looks.
WINDOWS_SECONDS = 5.0
RETRY_MS = 3000
_LONGEST_ID = 200
_LOG = logging.getLogger("aq.serving")
_json = msgspec.json.Encoder().encode


class Window(msgspec.Struct, frozen=True):
    """What a device measured in a window."""

    station_id: str
    sensor: str
    window_start: datetime
    seconds: int
    count: int
    mean: float
    minimum: float
    maximum: float
    unit: str


ReadWindows = Callable[[Collection[str]], Iterable[Window]]


class Stream:
    """A listener: what it wants, what it knows, and what is to be sent next."""

    def __init__(self, address: str, stations: Collection[str], last_id: str) -> None:
        """Nothing waits yet.

        Args:
            address: Whose it is, for the limit.
            stations: Devices whose windows are wanted.
            last_id: Of the last event that it had from an earlier stream; empty for none.
        """
        self.address, self.stations = address, frozenset(stations)
        self._publication, self._since = _known(last_id)
        self._newest = int(self._since)
        self._windows: dict[tuple[str, str], Window] = {}
        self._pending: dict[str, bytes] = {}
        self._some = asyncio.Event()
        self._ended = False

    def publication(self, identity: str, data: bytes) -> None:
        """Send a publication, unless it is known."""
        if identity != self._publication:
            self._publication = identity
            self._put("publication", data)

    def windows(self, found: Iterable[Window]) -> None:
        """Send windows of the devices that are new or have grown."""
        new = [
            one
            for one in found
            if one.station_id in self.stations
            and one.window_start.timestamp() >= self._since
            and self._windows.get((one.station_id, one.sensor)) != one
        ]
        for one in new:
            self._windows[one.station_id, one.sensor] = one
        if new:
            newest = max(one.window_start for one in self._windows.values())
            self._newest = int(newest.timestamp())
            self._put("windows", _json(new))

    def beat(self) -> None:
        """Let a stream without news show that it lives."""
        self._pending.setdefault("beat", b": \n\n")
        self._some.set()

    def end(self) -> None:
        """Let it come to its end."""
        self._ended = True
        self._some.set()

    async def events(self) -> AsyncIterator[bytes]:
        """What to send, as it comes."""
        yield b"retry: %d\n\n" % RETRY_MS
        while not self._ended:
            await self._some.wait()
            self._some.clear()
            events, self._pending = self._pending, {}
            if events:
                yield b"".join(events.values())

    def _put(self, kind: str, data: bytes) -> None:
        stamp = f"{self._publication}/{self._newest}"
        self._pending[kind] = b"id: %s\nevent: %s\ndata: %s\n\n" % (
            stamp.encode(),
            kind.encode(),
            data,
        )
        self._some.set()


class Live:
    """The streams of a process."""

    def __init__(
        self,
        publication: PublishedNow,
        read_windows: ReadWindows | None,
        most: int,
        most_of_address: int,
    ) -> None:
        """No one listens yet.

        Args:
            publication: What is sent.
            read_windows: Gives the newest windows of devices; None where there are none.
            most: Streams at once.
            most_of_address: And of one address.
        """
        self._publication, self._read_windows = publication, read_windows
        self._most, self._most_of_address = most, most_of_address
        self._streams: set[Stream] = set()
        self._by_address: Counter[str] = Counter()
        self._announced: object = None
        self._ended = False

    def __len__(self) -> int:
        return len(self._streams)

    def join(self, address: str, stations: Collection[str], last_id: str) -> Stream:
        """Begin a stream; it is to be given back by `leave`.

        Args:
            address: Who asks.
            stations: Devices whose windows are wanted.
            last_id: `Last-Event-ID`; empty for none.

        Returns:
            The stream.

        Raises:
            ProblemError: There are as many as there may be.
        """
        if self._ended or len(self._streams) >= self._most:
            raise unavailable("As many listen as can. Ask /v1/latest every minute meanwhile.")
        if self._by_address[address] >= self._most_of_address:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._most_of_address} streams are open from this address: close one.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        stream = Stream(address, stations, last_id)
        self._streams.add(stream)
        self._by_address[address] += 1
        self._send_publication([stream])
        return stream

    def leave(self, stream: Stream) -> None:
        """A stream has ended."""
        self._streams.discard(stream)
        self._by_address[stream.address] -= 1
        if not self._by_address[stream.address]:
            del self._by_address[stream.address]

    def end(self) -> None:
        """End all, and begin none: the server stops."""
        self._ended = True
        for stream in self._streams:
            stream.end()

    async def run(self) -> None:
        """Send what is new, until cancelled."""
        loop = asyncio.get_running_loop()
        beat_at = windows_at = loop.time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._announced != self._publication.epoch:
                self._announced = self._publication.epoch
                self._send_publication(self._streams)
            now = loop.time()
            if now >= windows_at:
                await self._send_windows()
                windows_at = loop.time() + WINDOWS_SECONDS
            if now >= beat_at:
                beat_at = now + BEAT_SECONDS
                for stream in self._streams:
                    stream.beat()

    def _send_publication(self, streams: Iterable[Stream]) -> None:
        identity, quarter = self._publication.epoch
        if not identity or quarter is None:
            return
        said: dict[str, Any] = {"published": identity, "as_of": quarter}
        data = _json(said)
        for stream in streams:
            stream.publication(f"{identity[:32]}@{int(quarter.timestamp())}", data)

    async def _send_windows(self) -> None:
        wanted = frozenset[str]().union(*(stream.stations for stream in self._streams))
        if self._read_windows is None or not wanted:
            return
        try:
            found = list(await asyncio.to_thread(self._read_windows, wanted))
        except ProblemError as problem:
            # The reader has logged the reason.
            _LOG.debug("No windows: %s", problem.detail)
            return
        except Exception:  # noqa: BLE001
            # Without this task no one would hear of anything again.
            _LOG.exception("The newest windows cannot be read.")
            return
        for stream in self._streams:
            stream.windows(found)


def _known(last_id: str) -> tuple[str, float]:
    """Publication and time of the newest window in an event's id; nothing for another text."""
    publication, _, stamp = last_id[:_LONGEST_ID].partition("/")
    since = float(stamp) if stamp.isascii() and stamp.isdigit() else 0.0
    return publication, min(since, datetime.max.replace(tzinfo=UTC).timestamp())
