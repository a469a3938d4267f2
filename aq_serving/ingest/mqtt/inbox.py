"""What came from the broker and is not durable yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple


class Arrived(NamedTuple):
    """A message, and in which connection it came: an acknowledgement means nothing in another."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    connection: int


class Inbox:
    """What came and is not durable yet, in order; filled by the client's thread."""

    def __init__(self, most_bytes: int) -> None:
        """Empty.

        Args:
            most_bytes: With so much waiting, what has no guarantee is dropped.
        """
        self._most_bytes, self._bytes = most_bytes, 0
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Arrived] = []
        self._some = asyncio.Event()
        self._ended = False
        self.dropped = 0

    def put(self, arrived: Arrived) -> None:
        """Add a message, from any thread."""
        self._loop.call_soon_threadsafe(self._put, arrived)

    def end(self) -> None:
        """Let the reader come to an end after what waits now."""
        self._ended = True
        self._some.set()

    async def take(self) -> Sequence[Arrived] | None:
        """All that waits, once there is something; None after the end."""
        await self._some.wait()
        if self._ended and not self._waiting:
            return None
        if not self._ended:
            self._some.clear()
        taken, self._waiting, self._bytes = self._waiting, [], 0
        return taken

    def _put(self, arrived: Arrived) -> None:
        if self._ended:
            # The broker sends it again to the next session.
            return
        # How many with a guarantee there can be was agreed with the broker.
        if not arrived.qos and self._bytes >= self._most_bytes:
            self.dropped += 1
            return
        self._bytes += len(arrived.payload)
        self._waiting.append(arrived)
        self._some.set()
