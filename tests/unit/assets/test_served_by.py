"""Which days' models serve an issue time, with a roll-back and without."""

from __future__ import annotations

from datetime import date, timedelta

from aq_assets.forecasts import MODEL_DAYS, served_by
from aq_science.windows import DAY, HOUR, Window
from tests.factories import utc

HOURS = Window(utc(2026, 11, 27, 8), utc(2026, 11, 27, 9))


def test_the_models_of_the_week_before_may_serve() -> None:
    days = served_by(HOURS, None).dates
    assert days[-1] == date(2026, 11, 27)
    assert days[0] <= date(2026, 11, 27) - timedelta(days=MODEL_DAYS)


def test_rolled_back_it_is_the_week_before_that_day() -> None:
    days = served_by(HOURS, date(2026, 11, 20)).dates
    assert days[-1] == date(2026, 11, 20)
    assert days[0] <= date(2026, 11, 20) - timedelta(days=MODEL_DAYS)


def test_hindcasts_before_that_day_are_made_as_ever() -> None:
    earlier = Window(utc(2026, 11, 1), utc(2026, 11, 1) + 3 * HOUR)
    assert served_by(earlier, date(2026, 11, 20)) == served_by(earlier, None)
    assert served_by(earlier, None).start <= earlier.start - MODEL_DAYS * DAY
