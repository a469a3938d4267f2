"""Group commit: requests wait together for one sync, in a thread that owns the writer."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from aq_resources.failures import TransientFailure
from aq_resources.spool.home import Writer
from aq_resources.spool.writer import SpoolUnavailable

# How long the thread waits for work before it looks after segments that have grown old.
_IDLE_SECONDS = 0.25
_LOG = logging.getLogger("aq.ingest")

Frames = Sequence[tuple[date, bytes]]


class _Waiting(NamedTuple):
    frames: Frames
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]


class Committer:
    """Makes frames durable for many requests at once."""

    def __init__(self, writer: Writer) -> None:
        """Start the thread.

        Args:
            writer: Used by that thread alone from now on.
        """
        self._writer = writer
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="committer")
        self._thread.start()

    async def commit(self, frames: Frames) -> None:
        """Wait until frames are durable.

        Args:
            frames: Each with its day.

        Raises:
            SpoolFull: There is no room.
            SpoolUnavailable: The disk fails otherwise.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(frames, loop, loop.create_future())
        self._queue.put(waiting)
        # Who hangs up changes nothing: what was handed over is written.
        await waiting.future

    def close(self) -> None:
        """Write what waits, hand on the segments and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                self._roll()
                continue
            group = [first]
            while not self._queue.empty():
                group.append(self._queue.get())
            waiting = [one for one in group if one is not None]
            if waiting:
                self._write(waiting)
            if None in group:
                self._writer.close()
                return

    def _write(self, waiting: Sequence[_Waiting]) -> None:
        failure: TransientFailure | None = None
        try:
            self._writer.append(frame for one in waiting for frame in one.frames)
        except TransientFailure as error:
            failure = error
        except Exception as error:  # noqa: BLE001
            # The thread goes on whatever happens: without it no request would be answered again.
            _LOG.exception("a commit")
            failure = SpoolUnavailable(f"The readings could not be written: {error!r}")
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for one in waiting:
            by_loop.setdefault(one.loop, []).append(one.future)
        for loop, futures in by_loop.items():
            loop.call_soon_threadsafe(_settle, futures, failure)

    def _roll(self) -> None:
        try:
            self._writer.roll()
        except OSError:
            _LOG.exception("handing on a segment")


def _settle(futures: Sequence[asyncio.Future[None]], failure: TransientFailure | None) -> None:
    for future in futures:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
