"""A turn that is waited for, but not without end: of many that need an answer, one asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 5.0


class Turn:
    """Lets one thread ask while the others wait for what it gets.

    Whoever has waited for `patience` goes on without: where an answer takes minutes, a sensor's
    tick asks by itself instead of waiting as long.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._lock = threading.Lock()
        self._patience = patience

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The turn, or none after some seconds."""
        alone = self._lock.acquire(timeout=self._patience)
        try:
            yield
        finally:
            if alone:
                self._lock.release()
