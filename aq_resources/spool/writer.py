"""The writing end: many requests' frames become durable by one sync."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from aq_resources.failures import TransientFailure

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class SpoolFull(TransientFailure):
    """The disk has no room; what was acknowledged before is safe."""


class SpoolUnavailable(TransientFailure):
    """The disk does not take what is written."""


def sync(descriptor: int) -> None:
    """Wait until a file's content is on disk, its length included."""
    # macOS syncs to the drive's cache alone unless it is asked like this.
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


@dataclass
class _Segment:
    path: Path
    descriptor: int
    begun: float
    # How much of the file is whole frames that are on disk, and how much was handed to the kernel.
    size: int = 0
    written: int = 0


class SpoolWriter:
    """Segments of one process, one a day (see `Writer`)."""

    def __init__(
        self,
        root: Path,
        roll_seconds: float,
        roll_bytes: int,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """Opens nothing.

        Args:
            root: The spool.
            roll_seconds: After so long a segment is handed on.
            roll_bytes: After so many bytes, too.
            now: Gives the time in the segments' names.
            monotonic: Seconds that only go forward.
        """
        self.root = root
        self._roll_seconds, self._roll_bytes = roll_seconds, roll_bytes
        self._now, self._monotonic = now, monotonic
        self._open: dict[date, _Segment] = {}
        self._numbers = itertools.count()
        self._process = f"{os.getpid():x}{secrets.token_hex(4)}"

    def append(self, frames: Iterable[tuple[date, bytes]]) -> None:
        """Make frames durable: once this returns they survive a loss of power.

        Args:
            frames: Each with its day.

        Raises:
            SpoolFull: There is no room.
            SpoolUnavailable: The disk fails otherwise.
        """
        by_day: dict[date, list[bytes]] = {}
        for day, frame in frames:
            by_day.setdefault(day, []).append(frame)
        touched: list[_Segment] = []
        try:
            for day, parts in by_day.items():
                segment = self._open.get(day) or self._begin(day)
                touched.append(segment)
                _write(segment, b"".join(parts))
            for segment in touched:
                sync(segment.descriptor)
        except OSError as error:
            self._take_back(touched)
            raise _failure(error, self.root) from error
        for segment in touched:
            segment.size = segment.written
        self.roll()

    def roll(self) -> None:
        """Hand on the segments that are old or large enough."""
        moment = self._monotonic()
        for day, segment in list(self._open.items()):
            old = moment - segment.begun >= self._roll_seconds
            if old or segment.size >= self._roll_bytes:
                self._finish(day)

    def close(self) -> None:
        """Hand on all segments."""
        for day in list(self._open):
            self._finish(day)

    def _begin(self, day: date) -> _Segment:
        folder = self.root / f"date={day}"
        stamp = self._now().strftime("%Y%m%dT%H%M%S%f")
        hidden = folder / f"{stamp}-{self._process}-{next(self._numbers)}.new"
        try:
            descriptor = os.open(hidden, _NEW, 0o640)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            for parent in (self.root.parent, self.root):
                _sync_folder(parent)
            descriptor = os.open(hidden, _NEW, 0o640)
        try:
            # Before anyone can see it: who gets the lock of an open segment takes it for
            # abandoned.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = hidden.with_suffix(".open")
            hidden.rename(path)
            _sync_folder(folder)
        except OSError:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        segment = self._open[day] = _Segment(path, descriptor, self._monotonic())
        return segment

    def _finish(self, day: date) -> None:
        segment = self._open.pop(day)
        # A reader finds an empty or still open one without a writer, and does the same.
        with suppress(OSError):
            if segment.size:
                segment.path.rename(segment.path.with_suffix(".ready"))
            else:
                segment.path.unlink()
        os.close(segment.descriptor)

    def _take_back(self, touched: Iterable[_Segment]) -> None:
        """Leave no torn frame before later ones, which a reader would then not find."""
        for segment in touched:
            # Where even that fails, a reader stops at the torn frame, and it is the last one.
            with suppress(OSError):
                os.ftruncate(segment.descriptor, segment.size)
        # After a sync that failed, what the kernel holds need not be what is on disk: nothing
        # more goes into these.
        for day, segment in list(self._open.items()):
            if segment in touched:
                self._finish(day)


def _write(segment: _Segment, data: bytes) -> None:
    view = memoryview(data)
    while view:
        count = os.write(segment.descriptor, view)
        segment.written += count
        view = view[count:]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(error: OSError, root: Path) -> TransientFailure:
    if error.errno in _NO_ROOM:
        return SpoolFull(f"There is no room at {root}: {error.strerror}. Make room there.")
    return SpoolUnavailable(f"{root} cannot be written: {error.strerror}.")
