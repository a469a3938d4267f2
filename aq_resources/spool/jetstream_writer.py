"""The writing end of JetStream: a group of requests is a message a day, published until it is
acknowledged.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from aq_resources.failures import TransientFailure
from aq_resources.spool.frames import fitting
from aq_resources.spool.jetstream import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    Address,
    connect,
    ensure_stream,
    library,
    unavailable,
)
from aq_resources.spool.writer import SpoolFull, SpoolUnavailable

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.client import JetStreamContext

# A message is about this long at most: servers take 1 MiB unless they are set otherwise.
MESSAGE_BYTES = 1 << 18
# How long a message is tried before its senders are asked to come again.
PATIENCE_SECONDS = 10.0
_AGAIN_SECONDS = 0.1
# JetStream's codes for: the stream refuses, the server has no room, an account's is used up.
_NO_ROOM = {10077, 10023, 10047, 10002}


class _Message(NamedTuple):
    subject: str
    # The same at every try, so that what had arrived although no answer came is there once.
    name: str
    data: bytes


class JetStreamWriter:
    """Publishes from a thread with an event loop of its own (see `Writer`)."""

    def __init__(
        self, address: Address, most_bytes: int, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Start the thread, which makes the stream if it can; a server may come later.

        Args:
            address: Where to.
            most_bytes: What may wait in the stream.
            patience_seconds: How long to try.

        Raises:
            SettingsError: The client is not installed.
        """
        library()
        self._address, self._most_bytes = address, most_bytes
        self._patience_seconds = patience_seconds
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._loop = asyncio.new_event_loop()
        self._opening = asyncio.Lock()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="jetstream", daemon=True
        )
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._try_to_open(), self._loop)

    def append(self, frames: Iterable[tuple[date, bytes]]) -> None:
        """Publish frames: once this returns, JetStream has acknowledged all of them.

        Args:
            frames: Each with its day.

        Raises:
            SpoolFull: The stream or the server has no room.
            SpoolUnavailable: No acknowledgement came.
        """
        messages = list(_messages(self._address, frames))
        asyncio.run_coroutine_threadsafe(self._publish_all(messages), self._loop).result()

    def roll(self) -> None:
        """There is nothing to hand on."""

    def close(self) -> None:
        """End the connection and the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _publish_all(self, messages: Sequence[_Message]) -> None:
        until = self._loop.time() + self._patience_seconds
        # All of them end before anyone is answered.
        outcomes = await asyncio.gather(
            *(self._publish(message, until) for message in messages), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _publish(self, message: _Message, until: float) -> None:
        from nats.js.api import Header
        from nats.js.errors import APIError, NoStreamResponseError

        errors = library().errors
        headers: dict[str, Any] = {Header.MSG_ID: message.name}
        while True:
            failure: TransientFailure
            try:
                js = await self._open()
                wait = max(_AGAIN_SECONDS, min(ANSWER_SECONDS, until - self._loop.time()))
                await js.publish(message.subject, message.data, timeout=wait, headers=headers)
            except APIError as error:
                if error.err_code in _NO_ROOM:
                    raise SpoolFull(f"{self._address} has no room: {error.description}.") from error
                failure = unavailable(self._address, error)
            except NoStreamResponseError as error:
                # Deleted meanwhile, or not back yet: looked for again.
                self._js = None
                failure = unavailable(self._address, error)
            except (TimeoutError, OSError, errors.Error) as error:
                failure = unavailable(self._address, error)
            except SpoolUnavailable as error:
                failure = error
            else:
                return
            if self._loop.time() + _AGAIN_SECONDS > until:
                raise failure
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _open(self) -> JetStreamContext:
        async with self._opening:
            if self._client is None or self._client.is_closed:
                self._js = None
                self._client = await connect(
                    self._address,
                    reconnect=True,
                    seconds=min(CONNECT_SECONDS, self._patience_seconds),
                )
            if self._js is None:
                js = self._client.jetstream(timeout=ANSWER_SECONDS)
                await ensure_stream(js, self._address, self._most_bytes)
                self._js = js
            return self._js

    async def _try_to_open(self) -> None:
        with suppress(Exception):
            await self._open()

    async def _close(self) -> None:
        async with self._opening:
            if self._client is not None:
                await self._client.close()


def _messages(address: Address, frames: Iterable[tuple[date, bytes]]) -> Iterator[_Message]:
    waiting: dict[date, list[bytes]] = {}
    for day, frame in frames:
        for part in fitting(frame, MESSAGE_BYTES):
            parts = waiting.setdefault(day, [])
            if parts and sum(map(len, parts)) + len(part) > MESSAGE_BYTES:
                yield _message(address, day, parts)
                parts.clear()
            parts.append(part)
    for day, parts in waiting.items():
        yield _message(address, day, parts)


def _message(address: Address, day: date, parts: Sequence[bytes]) -> _Message:
    return _Message(address.subject(day), secrets.token_hex(16), b"".join(parts))
