"""HTTP as uvicorn speaks it, with a short way for hot answers and an end for slow clients.

A request whose bytes are those of an earlier one, and whose answer is in memory, is answered at
once: no parser, no scope, no task. Everything else goes uvicorn's way.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from itertools import islice
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aq_serving.hot import HEAD, HotAnswers
from aq_serving.limits import PEER, Counted, Limits
from aq_serving.live import Live

# From a connection, or the answer before, to a whole request.
WAIT_SECONDS = 15.0
# How long an answer may wait for its reader.
STALL_SECONDS = 60.0
SWEEP_SECONDS = 1.0
# Of so many connections the one that waits longest makes place for another.
_CANDIDATES = 16
_END = b"\r\n\r\n"
_COPIED_BYTES = 2**16


class Connections:
    """The connections of a process: how many, and how long each may keep it waiting."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: dict[ServingProtocol, None] = {}
        self._head = b""
        self._second = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: ServingProtocol) -> None:
        """Take one in; beyond the most, one that waits has to go."""
        self._open[connection] = None
        if len(self._open) > self.most:
            first = list(islice(self._open, _CANDIDATES))
            waiting = [one for one in first if one.waits]
            for one in first:
                self._open[one] = self._open.pop(one)
            if waiting:
                min(waiting, key=lambda one: one.since).end()

    def discard(self, connection: ServingProtocol) -> None:
        """It is gone."""
        self._open.pop(connection, None)

    async def sweep(self) -> None:
        """End those that keep the server waiting, every second."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for connection in list(self._open):
                connection.end_if_late(now)

    def head(self) -> bytes:
        """Status line and date."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            date = formatdate(second, usegmt=True)
            self._head = b"HTTP/1.1 200 OK\r\ndate: %s\r\n" % date.encode()
        return self._head


class ServingProtocol(HttpToolsProtocol):
    """A connection."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # The application says these at its start.
        self._hot: HotAnswers | None = self.app_state.get("hot")
        self._limits: Limits | None = self.app_state.get("limits")
        self._all: Connections | None = self.app_state.get("connections")
        self._live: Live | None = self.app_state.get("live")
        self._own: Counted | None = None
        self._data = b""
        # Whether the parser is within a request.
        self._within = False
        self.since = time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether the server waits for the client's next request."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._all is not None:
            self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._all is not None:
            self._all.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._hot is not None and self._answered(self._hot, data):
            return
        self._data = data
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {PEER: self.client}
        # One whole request without a body, and nothing else.
        if not self._within and self._data.find(_END) == len(self._data) - len(_END):
            extensions[HEAD] = self._data
        self._within = True
        self.scope["extensions"] = extensions

    def on_message_complete(self) -> None:
        self._within = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.since = time.monotonic()
        super().on_response_complete()
        # One sweep looks after all connections.
        self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        super().shutdown()
        # The server waits for answers to end.
        if self._live is not None:
            self._live.end()

    def end(self) -> None:
        """Close, whatever is still to be sent."""
        self.transport.abort()

    def end_if_late(self, now: float) -> None:
        """Close if the client has kept the server waiting for too long."""
        waited = now - self.since
        if self.flow.write_paused:
            if waited > STALL_SECONDS:
                self.end()
        elif self.waits and waited > WAIT_SECONDS:
            self.transport.close()

    def _answered(self, hot: HotAnswers, data: bytes) -> bool:
        """Whether the request was answered from memory."""
        response = hot.ready(data)
        if (
            response is None
            or self._within
            or not self.waits
            or self.pipeline
            or self.flow.write_paused
            or self.transport.is_closing()
            or not self._may(response.counted)
        ):
            return False
        self.since = time.monotonic()
        start = self._all.head() if self._all is not None else b""
        if len(response.body) > _COPIED_BYTES:
            self.transport.writelines([start + response.headers, response.body])
        else:
            self.transport.write(start + response.headers + response.body)
        self.server_state.total_requests += 1
        response.tally.count += 1
        return True

    def _may(self, counted: Counted | None) -> bool:
        """Whether the request is within its sender's limit; the slow way says why it is not."""
        if self._limits is None:
            return True
        if counted is None:
            if self._own is None:
                self._own = self._limits.of_address(self.client[0] if self.client else "")
            counted = self._own
        return self._limits.may(counted)
