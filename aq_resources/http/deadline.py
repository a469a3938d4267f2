"""An end for every byte of an answer: a server that drips meets no time-out of a single read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx

# By the monotonic clock: when the request of this thread has to have ended.
_until: ContextVar[float | None] = ContextVar("until", default=None)


@contextmanager
def ending(until: float) -> Iterator[None]:
    """Let no read of this thread on a bounded connection last beyond `until`."""
    token = _until.set(until)
    try:
        yield
    finally:
        _until.reset(token)


def bound_connections(event: str, details: dict[str, Any]) -> None:
    """Make a connection heed `ending` as soon as it stands: httpx's extension `trace`.

    Connecting and writing are left alone: both end with the time-outs they have.
    """
    if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
        stream = details["return_value"]
        read = stream.read
        stream.read = lambda size, timeout=None: read(size, _left(timeout))


def _left(timeout: float | None) -> float | None:
    until = _until.get()
    if until is None:
        return timeout
    left = until - time.monotonic()
    if left <= 0:
        raise httpx.ReadTimeout("the answer does not end")
    return left if timeout is None else min(left, timeout)
