"""When the local days begin to which daily averages belong."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

# Irish law calls summer time standard and winter the exception; as everywhere in Europe, the day by
# standard time is that of winter. Morocco's law is the same way round, and there its standard time
# (UTC+1, with an exception for Ramadan) is meant.
STANDARD_AS = {"Europe/Dublin": "Europe/London", "Eire": "Europe/London"}


def day_start(zone: str, day: date, *, standard: bool) -> datetime:
    """The instant at which a local day begins, in UTC.

    Args:
        zone: IANA name.
        day: Local date.
        standard: Whether days follow standard time all year.

    Returns:
        The first instant of the date; where the clock skips midnight, that of the change.

    >>> day_start("Europe/Brussels", date(2024, 7, 1), standard=False).isoformat()
    '2024-06-30T22:00:00+00:00'
    >>> day_start("Europe/Brussels", date(2024, 7, 1), standard=True).isoformat()
    '2024-06-30T23:00:00+00:00'
    """
    local = datetime.combine(
        day, time(), ZoneInfo(STANDARD_AS.get(zone, zone) if standard else zone)
    )
    saved = local.dst() if standard else None
    began = local.astimezone(UTC)
    return began + saved if saved else began
