"""Which hour is OpenAQ's newest, by one cheap question to a few stations; which was taken last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from aq_resources.http.client import concurrently
from aq_resources.http.state_file import StateFile
from aq_resources.network_client import Problems, Pull
from aq_resources.network_toolkit.pulls import FewInTurn
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.bodies import Latest, records_of
from aq_resources.networks.openaq.budget import NEWEST_STATIONS
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
        asked = self._few.next_few(stations)
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
            (newest, pull.source)
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
    """The newest hour in an answer of `latest`.

    Args:
        pull: The outcome of the request.
        window: Hours outside it do not count.
        sensors: Ids of the sensors that count; None for all.

    Returns:
        Start of the hour, UTC; None without any.
    """
    if pull.answer is None or pull.failure is not None:
        return None
    hours = (
        row.datetime.hour_ended
        for row in records_of(pull.answer, Latest, Problems())
        if sensors is None or row.sensors_id in sensors
    )
    return max((h for h in hours if h is not None and window.start <= h < window.end), default=None)


class TakenHour:
    """The newest hour that was taken by `latest`, in a file: the next follows without a gap?"""

    def __init__(self, folder: Path) -> None:
        self._file = StateFile[datetime | None](folder / FILE, datetime, lambda: None)

    def gap_before(self, hour: datetime) -> bool:
        """Whether hours lie between it and the one taken last; there are none before the first."""
        last = self._file.read()
        return last is not None and hour - last > HOUR

    def keep(self, hour: datetime) -> None:
        """Note the hour as taken, with all before it."""
        self._file.write(hour)
