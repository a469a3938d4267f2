"""What the values of parameters mean: instants, days, ranges and boxes, or what is wrong with them.

Ranges are half-open, `start <= t < end`. An instant needs an offset: without one it means another
instant to whoever reads it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from aq_science.windows import DAY
from aq_serving.problems import bad_request

Bound = TypeVar("Bound", date, datetime)

# Beyond these years a conversion to another offset may leave the calendar.
_YEARS = range(1900, 2201)
# `+` in the query of an address is a blank.
_LOST_PLUS = re.compile(r"\d \d\d:?\d\d$")


@dataclass(frozen=True)
class Box:
    """A box of longitudes and latitudes; one that crosses the antimeridian has west > east."""

    west: float
    south: float
    east: float
    north: float


def parse_instant(text: str, name: str) -> datetime:
    """An instant with its offset, in UTC.

    Raises:
        ProblemError: It is none, or has no offset.
    """
    if _LOST_PLUS.search(text):
        raise bad_request(
            f"{name} has a blank where its offset was: a + is written %2B in an address. Or use "
            "Z, for UTC.",
            name,
        )
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(
            f"{name} is no ISO 8601 time. Write one such as 2026-01-31T05:00:00Z.", name
        ) from None
    if instant.tzinfo is None:
        raise bad_request(
            f"{name} needs an offset: end it with Z for UTC, or with one such as +01:00 (in an "
            "address %2B01:00).",
            name,
        )
    if instant.year not in _YEARS:
        raise bad_request(_far_away(name), name)
    return instant.astimezone(UTC)


def instant_text(instant: datetime) -> str:
    """A UTC instant as answers have it, to the second."""
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def parse_day(text: str, name: str) -> date:
    """A day.

    Raises:
        ProblemError: It is none, or an instant.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise bad_request(
            f"{name} is no day: write YYYY-MM-DD, without a time. Days here are those of the "
            "table's date column.",
            name,
        ) from None
    if day.year not in _YEARS:
        raise bad_request(_far_away(name), name)
    return day


def check_range(start: Bound, end: Bound, most_days: int) -> tuple[Bound, Bound]:
    """The range `start <= t < end`.

    Args:
        start: Its start.
        end: Its end, which is excluded.
        most_days: The longest that is allowed.

    Returns:
        Both.

    Raises:
        ProblemError: It is empty, turned round or too long.
    """
    if end <= start:
        raise bad_request(
            "end has to lie after start: the range begins with start and stops before end.", "end"
        )
    length: timedelta = end - start
    if length > most_days * DAY:
        raise bad_request(
            f"The range has {math.ceil(length / DAY)} days, and {most_days} are allowed here. Ask "
            "for it in parts, or for single stations, for which longer ranges are allowed.",
            "end",
        )
    return start, end


def parse_box(text: str) -> Box:
    """`west,south,east,north` in degrees, in the order of GeoJSON.

    Raises:
        ProblemError: It is none.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise bad_request(
            "bbox is four numbers with commas between, in degrees: west,south,east,north.", "bbox"
        ) from None
    # Not a number is in no range.
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise bad_request("bbox: west and east lie between -180 and 180.", "bbox")
    if not -90 <= south <= north <= 90:
        raise bad_request("bbox: south and north lie between -90 and 90, south first.", "bbox")
    return Box(west, south, east, north)


def _far_away(name: str) -> str:
    return f"{name} lies outside the years {_YEARS[0]} to {_YEARS[-1]}."
