"""Whether a network's readings are recent: one rule for the check and for the alerts."""

from __future__ import annotations

from datetime import datetime, timedelta

from aq_science.windows import HOUR


def age_of_readings(newest_hour: datetime, now: datetime) -> timedelta:
    """Time since the end of the newest hour with a reading; none for an hour in progress."""
    return max(now - (newest_hour + HOUR), timedelta())


def is_recent(newest_hour: datetime | None, now: datetime, allowed: timedelta) -> bool:
    """Whether readings are as new as is asked for.

    Args:
        newest_hour: beginning of the newest hour with a reading, UTC; None without any.
        now: UTC.
        allowed: longest time since that hour's end.

    Returns:
        Whether it ended at most that long ago; never without any reading.
    """
    return newest_hour is not None and age_of_readings(newest_hour, now) <= allowed
