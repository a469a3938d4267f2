"""Half-open UTC time windows, the only notion of a period inside the platform."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def midnight(day: date) -> datetime:
    """00:00 UTC at which `day` begins."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True, order=True)
class Window:
    """The instants `start <= t < end`, both in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs times with a zone (UTC)")
        if self.end < self.start:
            raise ValueError(f"a window cannot end ({self.end}) before it starts ({self.start})")

    @classmethod
    def of_days(cls, first: date, last: date) -> Window:
        """The UTC days `first` to `last`, both inclusive."""
        return cls(midnight(first), midnight(last) + DAY)

    @property
    def dates(self) -> list[date]:
        """Every UTC date the window touches, in order."""
        if self.start == self.end:
            return []
        last = (self.end - timedelta(microseconds=1)).date()
        return [self.start.date() + n * DAY for n in range((last - self.start.date()).days + 1)]

    def padded(self, *, before: timedelta = timedelta(), after: timedelta = timedelta()) -> Window:
        """The window made longer at either side."""
        return Window(self.start - before, self.end + after)

    def overlaps(self, other: Window) -> bool:
        """Whether the two share an instant."""
        return max(self.start, other.start) < min(self.end, other.end)

    def chunks(self, length: timedelta) -> Iterator[Window]:
        """The window cut into pieces of `length`; the last may be shorter."""
        start = self.start
        while start < self.end:
            end = min(start + length, self.end)
            yield Window(start, end)
            start = end
