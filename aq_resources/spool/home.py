"""Where pushed readings wait, whatever it is made of: files of a machine, or JetStream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from aq_resources.spool.frames import Frame

READY, STORED, DONE = "ready", "stored", "done"

Value = TypeVar("Value")
Kept_co = TypeVar("Kept_co", covariant=True)


@dataclass(frozen=True, order=True)
class Segment:
    """What goes through the states together: frames of one UTC day, which never change again.

    Attributes:
        day: Of its readings.
        name: The same in every state; in the order in which segments were begun.
        state: When it was looked up.
    """

    day: date
    name: str
    state: str


class Shared(Protocol[Kept_co]):
    """A small value that all who drain a spool share; it may be lost at any time."""

    def read(self) -> Kept_co:
        """The value as it was last written."""

    def change(self, change: Callable[[Kept_co], None]) -> None:
        """Change the value in place: no one else's change is lost over it.

        `change` may be called again with a newer value.
        """


class Home(Protocol):
    """The end from which the runs take."""

    def days(self, *states: str) -> list[date]:
        """Days with a segment in one of the states, in order."""

    def segments(self, day: date, *states: str) -> list[Segment]:
        """Segments of a day in one of the states, the oldest first."""

    def frames(self, segment: Segment) -> Iterator[Frame]:
        """The frames of a segment; none of one that another process has moved on."""

    def move_on(self, segments: Iterable[Segment], state: str) -> None:
        """Give segments their next state; nothing to do where another process has."""

    def remove_done(self, before: float) -> int:
        """Delete segments that are done and were written before a time in seconds since 1970.

        Returns:
            How many.
        """

    def waiting_bytes(self) -> int:
        """Size of what is not yet in the raw pulls."""

    def shared(self, name: str, kind: type[Value], initial: Callable[[], Value]) -> Shared[Value]:
        """A value that is kept beside the segments.

        Args:
            name: Its name.
            kind: Its type.
            initial: Makes it where there is none.

        Returns:
            The value's place; nothing is read yet.
        """


class Writer(Protocol):
    """The end into which `aq ingest` puts; not for several threads at once."""

    def append(self, frames: Iterable[tuple[date, bytes]]) -> None:
        """Make frames durable.

        Args:
            frames: Each with its day.

        Raises:
            SpoolFull: There is no room.
            SpoolUnavailable: They cannot be kept otherwise.
        """

    def roll(self) -> None:
        """Hand on what is old enough."""

    def close(self) -> None:
        """Hand on everything."""
