"""OpenAQ's client: what is asked of whom, the interface or its archive."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import concurrently
from aq_resources.network_client import Failure, Parsed, Problems, Pull, Station, StationList
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.openaq import budget
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.archive import ARCHIVED_AFTER, Archive
from aq_resources.networks.openaq.bodies import lost_reason, zulu
from aq_resources.networks.openaq.broken_sensors import BrokenSensors
from aq_resources.networks.openaq.budget import Budget
from aq_resources.networks.openaq.dimensions import dimension_rows
from aq_resources.networks.openaq.latest import pull_latest
from aq_resources.networks.openaq.location_list import LocationList
from aq_resources.networks.openaq.locations import Sensor, describe, listed, sensors
from aq_resources.networks.openaq.newest import NewestHour, TakenHour
from aq_resources.networks.openaq.parse import read_answers, select_sensor
from aq_resources.networks.openaq.settings import TITLE, WITHOUT_KEY, NetworkSettings
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import DAY, HOUR, Window

# 984 hours are a page that is not full, so that one request shows that there is no second.
SPAN = timedelta(days=41)
# A longer window that reaches up to now is a backfill.
REFRESH = 3 * DAY


class OpenAQClient:
    """Client of OpenAQ (see `NetworkClient`)."""

    name = "openaq"
    title = TITLE

    def __init__(
        self,
        config: NetworkConfig,
        own: NetworkSettings,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self.span = timedelta(days=config.span_days) if config.span_days else SPAN
        self._config = config
        self._archive_alone = own.archive_alone
        self._archive = None if own.archive == "none" else Archive(own.archive, settings, now)
        # What is in the archive is not asked for.
        archived = math.ceil(ARCHIVED_AFTER / DAY) if self._archive else math.inf
        revisits = sum(days < archived for days in settings.revisit_days)
        self._budget = Budget(own.requests_per_hour, revisits)
        self._now = now
        self._workers = settings.http_concurrency
        folder = settings.home / "openaq"
        self._api = Api(own, settings, folder, now)
        self._locations = LocationList(config, self._api, folder, now, self._workers)
        self._taken = TakenHour(folder)
        self._broken = BrokenSensors(folder)
        self._newest = NewestHour(self._api)

    def pull(self, window: Window) -> Iterator[Pull]:
        """The locations, then one request a sensor and span of the window.

        The hourly refresh of many sensors asks for the latest values of each parameter instead: a
        handful of requests. Hours that passed since the last such refresh are asked of each sensor
        where half an hour's limit is enough; other gaps are filled when the days are pulled again.
        Raises `PermanentFailure` where a day's requests would not fit into the limit.
        """
        for part in window.chunks(self.span):
            answers = []
            asked = [] if self._archive_alone else list(self._locations.pulls())
            for pull in asked:
                answer = pull.answer and msgspec.structs.replace(
                    pull.answer, window=(part.start, part.end)
                )
                if answer is not None and pull.failure is None:
                    answers.append(answer)
                yield Pull(pull.source, answer, pull.failure)
            known = sorted(sensors(answers, Problems()).values(), key=lambda s: s.sensor_id)
            self._budget.refuse_too_many(known)
            now = self._now()
            refresh = part.start <= now < part.end <= part.start + REFRESH
            if refresh and len(known) > budget.LATEST_FROM:
                yield from self._refresh_many(known, part, now)
                continue
            seams = yield from self._pull_archive(answers, part)
            if self._archive_alone:
                yield from self._miss_the_rest(seams, part)
            else:
                yield from self._pull_sensors(known, part, seams)

    def _pull_archive(
        self, answers: Sequence[RawAnswer], part: Window
    ) -> Generator[Pull, None, dict[str, datetime]]:
        """The archive's files; up to when each station's hours have come."""
        zones = self._zones(answers)
        if self._archive is None:
            return dict.fromkeys(zones, part.start)
        return (yield from self._archive.pull_days(zones, part))

    def _zones(self, answers: Sequence[RawAnswer]) -> dict[str, str | None]:
        """The time zone of each station; None where only a location would tell."""
        if self._archive_alone:
            return dict.fromkeys(self._config.stations)
        return {
            str(location.id): location.timezone
            for answer in answers
            for location in listed(answer, Problems())
        }

    def _miss_the_rest(self, seams: dict[str, datetime], part: Window) -> Iterator[Pull]:
        for station, seam in seams.items():
            if seam < min(part.end, self._now()):
                message = (
                    f"Readings of location {station} from {seam:%Y-%m-%d %H:%M}Z on are not in "
                    f"{TITLE}'s archive yet. {WITHOUT_KEY}"
                )
                yield Pull(station, None, PermanentFailure(message))

    def _refresh_many(self, known: Sequence[Sensor], part: Window, now: datetime) -> Iterator[Pull]:
        newest = yield from pull_latest(self._api, known, part, now, self._workers)
        if newest is None:
            return
        if self._budget.affords_each(known) and self._taken.gap_before(newest):
            seams = dict.fromkeys((sensor.station for sensor in known), part.start)
            yield from self._pull_sensors(known, part, seams)
        self._taken.keep(newest)

    def _pull_sensors(
        self, known: Sequence[Sensor], part: Window, seams: dict[str, datetime]
    ) -> Iterator[Pull]:
        """The hours after each station's seam."""
        wanted = [sensor for sensor in known if seams[sensor.station] < part.end]
        aside = self._broken.aside(self._now())
        answered: set[int] = set()
        failed: set[int] = set()
        for sensor, pulls in concurrently(
            lambda sensor: (sensor, self._pull_hours(sensor, part, seams[sensor.station])),
            [sensor for sensor in wanted if sensor.sensor_id not in aside],
            self._workers,
        ):
            failure = pulls[-1].failure
            if failure is None:
                answered.add(sensor.sensor_id)
            elif isinstance(failure, TransientFailure) and failure.status == 500:
                failed.add(sensor.sensor_id)
            yield from pulls
        self._broken.note(answered, failed, self._now())
        for sensor in wanted:
            if until := aside.get(sensor.sensor_id):
                message = (
                    f"{TITLE} answers 500 for sensor {sensor.sensor_id} every time: it is set "
                    f"aside and asked for again from {until:%Y-%m-%d %H:%M}Z."
                )
                yield Pull(sensor.source, None, PermanentFailure(message))

    def _pull_hours(self, sensor: Sensor, part: Window, start: datetime) -> list[Pull]:
        # The window leaves out its beginning and stamps mark ends: exactly the hours from `start`.
        # What is kept says `part`, so that it lies beside the locations and the archive's files.
        until = part.end + sensor.beyond_full_hours(part.end)
        params = {"datetime_from": zulu(start), "datetime_to": zulu(until)}
        path = f"/sensors/{sensor.sensor_id}/hours"
        return list(self._api.pages(sensor.source, path, params, part, lost_reason))

    def stations(self) -> StationList:
        """The configured locations, as they are described now."""
        if self._archive is not None and self._archive_alone:
            return self._archive.stations(self._config.stations)
        stations: dict[str, Station] = {}
        failures: dict[str, Failure] = {}
        for pull in self._locations.current():
            if pull.failure is not None or pull.answer is None:
                failures[pull.source] = pull.failure or TransientFailure("no answer")
                continue
            for location in listed(pull.answer, Problems()):
                stations[str(location.id)] = describe(location)
        return StationList(tuple(stations.values()), failures)

    def dimension(self, name: str) -> list[dict[str, Any]] | None:
        """Countries or parameters, every page of them; None without a key."""
        if self._archive_alone:
            return None
        now = self._now()
        return dimension_rows(self._api, name, Window(now - HOUR, now))

    def newest_hour(self) -> datetime | None:
        """By a few stations: the one that had the newest hour last time, then others in turn."""
        names = self._locations.stations()
        return self._newest.ask(names, self._now()) if names else None

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        return read_answers(answers)

    def select_sensor(self, versions: pl.DataFrame) -> pl.DataFrame:
        """Versions of one sensor an hour, of several folders' as of one's."""
        return select_sensor(versions)

    def close(self) -> None:
        """Give connections back."""
        self._api.close()
        if self._archive is not None:
            self._archive.close()
