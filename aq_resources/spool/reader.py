"""The reading end: segments by day and state, and the steps from one state to the next."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from aq_resources.http.state_file import StateFile
from aq_resources.spool.frames import Frame, decode
from aq_resources.spool.home import DONE, READY, STORED, Segment, Value

__all__ = ["DONE", "READY", "STORED", "Spool"]


class Spool:
    """Any process's view of the spool (see `Home`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def days(self, *states: str) -> list[date]:
        """Days with a segment in one of the states, in order."""
        return [day for day in self._all_days() if any(self.segments(day, *states))]

    def segments(self, day: date, *states: str) -> list[Segment]:
        """Segments of a day in one of the states, the oldest first.

        A segment whose writer is gone is `ready`.
        """
        folder = self._folder(day)
        if READY in states:
            for path in folder.glob("*.open"):
                _take_over(path)
        found = (path for state in states for path in folder.glob(f"*.{state}"))
        return sorted(Segment(day, path.stem, path.suffix[1:]) for path in found)

    def path(self, segment: Segment) -> Path:
        """Its file."""
        return self._folder(segment.day) / f"{segment.name}.{segment.state}"

    def frames(self, segment: Segment) -> Iterator[Frame]:
        """The frames of a segment; none of one that another process has moved on."""
        try:
            data = self.path(segment).read_bytes()
        except FileNotFoundError:
            return
        yield from decode(data)

    def move_on(self, segments: Iterable[Segment], state: str) -> None:
        """Give segments their next state; nothing to do where another process has."""
        for segment in segments:
            path = self.path(segment)
            with suppress(FileNotFoundError):
                path.rename(path.with_suffix(f".{state}"))

    def remove_done(self, before: float) -> int:
        """Delete segments that are done and were written before a time in seconds since 1970.

        Returns:
            How many.
        """
        count = 0
        for day in self._all_days():
            for segment in self.segments(day, DONE):
                path = self.path(segment)
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before:
                        path.unlink()
                        count += 1
            # Only where it is empty.
            with suppress(OSError):
                self._folder(day).rmdir()
        return count

    def waiting_bytes(self) -> int:
        """Size of what is not yet in the raw pulls."""
        size = 0
        for folder in self.root.glob("date=*"):
            for path in folder.iterdir():
                if path.suffix in (".open", f".{READY}"):
                    with suppress(FileNotFoundError):
                        size += path.stat().st_size
        return size

    def shared(
        self, name: str, kind: type[Value], initial: Callable[[], Value]
    ) -> StateFile[Value]:
        """A value in a file beside the segments.

        Args:
            name: Its name.
            kind: Its type.
            initial: Makes it where there is none.
        """
        return StateFile(self.root / f"{name}.json", kind, initial)

    def _all_days(self) -> list[date]:
        found = []
        for folder in self.root.glob("date=*"):
            with suppress(ValueError):
                found.append(date.fromisoformat(folder.name.removeprefix("date=")))
        return sorted(found)

    def _folder(self, day: date) -> Path:
        return self.root / f"date={day}"


def _take_over(path: Path) -> None:
    """Finish a segment that its writer has left open by its end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            path.rename(path.with_suffix(f".{READY}"))
    except BlockingIOError:
        # Its writer is alive.
        return
    finally:
        os.close(descriptor)
