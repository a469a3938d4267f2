"""Room in memory and on disk for what comes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import suppress

from aq_resources.spool.reader import Spool

_LOOK_SECONDS = 1.0
# What a refusal for want of room asks to wait.
_ROOM_SECONDS = 5


class Room:
    """What is under way in memory, waits in the spool, and is free on its disk."""

    def __init__(
        self,
        spool: Spool | None,
        memory_bytes: int,
        spool_bytes: int,
        free_bytes: int,
        monotonic: Callable[[], float],
    ) -> None:
        """Looks at nothing yet.

        Args:
            spool: The spool, where it is files of this machine.
            memory_bytes: Bodies under way at once.
            spool_bytes: What may wait in the spool.
            free_bytes: What stays free on its disk.
            monotonic: Seconds that only go forward.
        """
        self._spool = spool
        self._memory_bytes, self._spool_bytes = memory_bytes, spool_bytes
        self._free_bytes = free_bytes
        self._monotonic = monotonic
        self._looked_at = -math.inf
        self._reason = ""
        self.under_way = 0

    def reason_to_wait(self) -> str:
        """Why nothing more can be taken just now; empty where it can."""
        if self.under_way >= self._memory_bytes:
            return "too much is under way"
        moment = self._monotonic()
        if moment - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = moment
            self._reason = self._look()
        return self._reason

    @property
    def wait_seconds(self) -> int:
        """What to ask of who has to wait."""
        return _ROOM_SECONDS

    def _look(self) -> str:
        if self._spool is None:
            return ""
        with suppress(FileNotFoundError):
            disk = os.statvfs(self._spool.root)
            if disk.f_bavail * disk.f_frsize < self._free_bytes:
                return "the disk is nearly full"
            if self._spool.waiting_bytes() > self._spool_bytes:
                return "too many readings wait to be taken into the tables"
        return ""
