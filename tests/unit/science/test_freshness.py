"""Readings are recent until the allowed time after the end of their newest hour."""

from datetime import datetime, timedelta

import pytest

from aq_science.freshness import age_of_readings, is_recent
from tests.factories import HOUR, utc

NEWEST = utc(2024, 3, 1, 6)
ALLOWED = timedelta(hours=6)


@pytest.mark.parametrize(
    ("now", "hours", "recent"),
    [
        pytest.param(utc(2024, 3, 1, 6, 30), 0, True, id="hour-in-progress"),
        pytest.param(utc(2024, 3, 1, 7), 0, True, id="just-ended"),
        pytest.param(utc(2024, 3, 1, 13), 6, True, id="just-allowed"),
        pytest.param(utc(2024, 3, 1, 13, 0, 1), 6 + 1 / 3600, False, id="too-old"),
        pytest.param(utc(2024, 2, 1), 0, True, id="clock-set-back"),
    ],
)
def test_age_counts_from_the_end_of_the_hour(now: datetime, hours: float, recent: bool) -> None:
    assert age_of_readings(NEWEST, now) / HOUR == pytest.approx(hours)
    assert is_recent(NEWEST, now, ALLOWED) is recent


def test_without_any_reading_nothing_is_recent() -> None:
    assert not is_recent(None, utc(2024, 3, 1), ALLOWED)
