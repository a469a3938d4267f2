"""Which hour is OpenAQ's newest, by one cheap question to a few stations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from aq_resources.http import concurrently
from aq_resources.networks._client import Problems
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
        self._asked_last = 0
        self._freshest: str | None = None

    def ask(self, stations: Sequence[str], now: datetime) -> datetime | None:
        """Start of the newest complete hour; None where there is none within the last hours.

        Raises `TransientFailure` or `PermanentFailure` where no station answers.
        """
        window = Window(now - WITHIN, now)
        asked = self._some(stations)
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
        newest, self._freshest = max(hours, key=lambda one: one[0])
        return newest

    def _some(self, stations: Sequence[str]) -> list[str]:
        """A silent station among many must not hide that the others go on."""
        count = len(stations)
        turn = [stations[(self._asked_last + n) % count] for n in range(NEWEST_STATIONS)]
        self._asked_last = (self._asked_last + NEWEST_STATIONS - 1) % count
        preferred = [station for station in stations if station == self._freshest]
        return list(dict.fromkeys([*preferred, *turn]))[:NEWEST_STATIONS]
