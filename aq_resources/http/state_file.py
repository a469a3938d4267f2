"""A small value in a JSON file that every process of an AQ_HOME shares.

For what spares other processes requests: how many were sent, what was answered, which sensors are
broken. The file may be lost at any time; whoever reads it then starts from the initial value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from filelock import FileLock

from aq_resources.decoders import decoder_of
from aq_resources.stores.object_store import translate_errors

Value = TypeVar("Value")


class StateFile(Generic[Value]):
    """A value of a declared type. Writes are whole or absent, and locked across processes."""

    def __init__(
        self,
        path: Path,
        kind: type[Value],
        initial: Callable[[], Value],
        poll: float = 0.05,
        mode: int = 0o666,
    ) -> None:
        """Opens nothing.

        Args:
            path: The file; its lock stands beside it, and its folder is made by the first write.
            kind: Type of the value, as msgspec decodes it.
            initial: Makes the value of a file that is absent or not of that type.
            poll: How often a process that waits for the lock looks again, in seconds.
            mode: The file's permissions, before the process's mask.
        """
        self.path = path
        self._decoder = decoder_of(kind)
        self._initial = initial
        self._mode = mode
        self._lock = FileLock(f"{path}.lock", poll_interval=poll)

    def read(self) -> Value:
        """The value as it was last written."""
        try:
            return self._decoder.decode(self.path.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return self._initial()

    def write(self, value: Value) -> None:
        """Replace the value."""
        with self._locked():
            self._replace(value)

    @contextmanager
    def updated(self) -> Iterator[Value]:
        """The value, to be changed in place: no one else reads to change it meanwhile."""
        with self._locked():
            value = self.read()
            before = msgspec.json.encode(value)
            yield value
            if msgspec.json.encode(value) != before:
                self._replace(value)

    def change(self, change: Callable[[Value], None]) -> None:
        """Change the value in place."""
        with self.updated() as value:
            change(value)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with translate_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _replace(self, value: Value) -> None:
        # In place of the old file at once: a kill leaves one of the two.
        fresh = self.path.with_name(f"{self.path.name}.new")
        with translate_errors(self.path):
            os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT, self._mode))
            fresh.write_bytes(msgspec.json.encode(value))
            fresh.replace(self.path)
