"""Which hour is OpenAQ's newest, by one cheap question to a few stations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from aq_resources.http import concurrently
from aq_resources.networks._client import FewInTurn, Problems
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.bodies import Latest, hour_ending, read
from aq_resources.networks.openaq.budget import NEWEST_STATIONS
from aq_science.windows import Window

# So far back an hour is looked for.
WITHIN = timedelta(hours=12)


class NewestHour:
    """Asks the station that had the newest hour last time, then others in turn."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._few = FewInTurn[str](NEWEST_STATIONS)

    def ask(self, stations: Sequence[str], now: datetime) -> datetime | None:
        """Start of the newest complete hour; None where there is none within the last hours.

        Raises `TransientFailure` or `PermanentFailure` where no station answers.
        """
        window = Window(now - WITHIN, now)
        asked = self._few.choose(stations)
        pulls = list(
            concurrently(
                lambda station: self._api.ask(
                    station, f"/locations/{station}/latest", {}, window, hurried=True
                ),
                asked,
                len(asked),
            )
        )
        failures = [pull.failure for pull in pulls if pull.failure is not None]
        if len(failures) == len(pulls):
            raise failures[0]
        hours = [
            (hour, pull.subject)
            for pull in pulls
            if pull.answer is not None and pull.failure is None
            for row in read(pull.answer, Latest, Problems())
            if (hour := hour_ending(row.datetime.utc)) is not None and window.start <= hour < now
        ]
        if not hours:
            return None
        newest, self._few.freshest = max(hours, key=lambda one: one[0])
        return newest
