"""Which hour is OpenAQ's newest, by one cheap question to a few stations; which was taken last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from aq_resources.http import concurrently
from aq_resources.networks._client import FewInTurn, Problems, Pull
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.bodies import Latest, hour_ending, read
from aq_resources.networks.openaq.budget import NEWEST_STATIONS
from aq_resources.object_store import MissingObject, ObjectStore
from aq_science.windows import HOUR, Window

# So far back an hour is looked for.
WITHIN = timedelta(hours=12)
FILE = "newest_hour.json"


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
            (newest, pull.subject)
            for pull in pulls
            if (newest := latest_hour(pull, window)) is not None
        ]
        if not hours:
            return None
        newest, self._few.freshest = max(hours, key=lambda one: one[0])
        return newest


def latest_hour(
    pull: Pull, window: Window, sensors: Collection[int] | None = None
) -> datetime | None:
    """Start of the newest hour within ``window`` in an answer of ``latest``, of these sensors."""
    if pull.answer is None or pull.failure is not None:
        return None
    hours = (
        hour_ending(row.datetime.utc)
        for row in read(pull.answer, Latest, Problems())
        if sensors is None or row.sensors_id in sensors
    )
    return max((h for h in hours if h is not None and window.start <= h < window.end), default=None)


class TakenHour:
    """The newest hour that was taken by ``latest``, in a file: the next follows without a gap?"""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def gap_before(self, hour: datetime) -> bool:
        """Whether hours lie between it and the one taken last; there are none before the first."""
        try:
            last = msgspec.json.decode(self._store.get(FILE), type=datetime)
        except (MissingObject, msgspec.DecodeError):
            return False
        return hour - last > HOUR

    def keep(self, hour: datetime) -> None:
        """Note the hour as taken, with all before it."""
        self._store.put(FILE, msgspec.json.encode(hour))
