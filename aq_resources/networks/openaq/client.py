"""OpenAQ's client: what is asked of whom, the interface or its archive."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http import concurrently
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks._client import Parsed, Problems, Pull, Station, StationList
from aq_resources.networks.openaq import archive, budget
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.archive import Archive, local_days
from aq_resources.networks.openaq.bodies import (
    Country,
    ListedParameter,
    read,
    subject,
    zulu,
)
from aq_resources.networks.openaq.broken_sensors import BrokenSensors
from aq_resources.networks.openaq.choice import one_sensor_an_hour
from aq_resources.networks.openaq.locations import (
    KEPT_FOR,
    KeptLocations,
    Sensor,
    area_path,
    area_question,
    describe,
    listed,
    sensors,
)
from aq_resources.networks.openaq.newest import NewestHour, TakenHour, latest_hour
from aq_resources.networks.openaq.parse import Reader
from aq_resources.networks.openaq.settings import TITLE, WITHOUT_KEY, NetworkSettings
from aq_resources.object_store import LocalObjectStore
from aq_resources.raw_pulls import RawAnswer
from aq_resources.settings import Settings
from aq_science.windows import DAY, HOUR, Window

# 984 hours are a page that is not full, so that one request shows that there is no second.
SPAN = timedelta(days=41)
# How old a latest value may be.
LATEST_WITHIN = 6 * HOUR
# A longer window that reaches up to now is a backfill.
REFRESH = 3 * DAY
# A file missing for longer than this is a day without data, and not one that is late.
LATE_FILE = timedelta(days=7)


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
        self._allowed_an_hour = own.requests_per_hour
        # What is in the archive is not asked for.
        archived = math.ceil(archive.ARCHIVED_AFTER / DAY) if self._archive else math.inf
        self._revisits = sum(days < archived for days in settings.revisit_days)
        self._now = now
        self._workers = settings.http_concurrency
        folder = settings.home / "openaq"
        self._api = Api(own, settings, folder, now)
        store = LocalObjectStore(folder)
        self._kept = KeptLocations(store, now, self._api.url, config.stations, config.area)
        self._taken = TakenHour(store)
        self._broken = BrokenSensors(folder)
        self._newest = NewestHour(self._api)
        self._has_asked = False

    def pull(self, window: Window) -> Iterator[Pull]:
        """The locations, then one request a sensor and span of the window.

        The hourly refresh of many sensors asks for the latest values of each parameter instead: a
        handful of requests. Hours that passed since the last such refresh are asked of each sensor
        where half an hour's limit is enough; other gaps are filled when the days are pulled again.
        Raises `PermanentFailure` where a day's requests would not fit into the limit.
        """
        for part in window.chunks(self.span):
            answers = []
            for pull in list(self._locations()):
                answer = pull.answer and msgspec.structs.replace(
                    pull.answer, window=(part.start, part.end)
                )
                if answer is not None and pull.failure is None:
                    answers.append(answer)
                yield Pull(pull.subject, answer, pull.failure)
            known = sorted(sensors(answers, Problems()).values(), key=lambda s: s.sensor_id)
            self._refuse_too_many(known)
            now = self._now()
            refresh = part.start <= now < part.end <= part.start + REFRESH
            if refresh and len(known) > budget.LATEST_FROM:
                yield from self._refresh_many(known, part, now)
                continue
            seams = yield from self._pull_archive(self._zones(answers), part, now)
            if self._archive_alone:
                yield from self._miss_the_rest(seams, part)
            else:
                yield from self._pull_sensors(known, part, seams)

    def _zones(self, answers: Sequence[RawAnswer]) -> dict[str, str | None]:
        """The time zone of each station; None where only a location would tell."""
        if self._archive_alone:
            return dict.fromkeys(self._config.stations)
        return {
            str(location.id): location.timezone
            for answer in answers
            for location in listed(answer, Problems())
        }

    def _pull_archive(
        self, zones: dict[str, str | None], part: Window, now: datetime
    ) -> Generator[Pull, None, dict[str, datetime]]:
        """The files of the local days over ``part``; up to when each station's have come.

        The stations' later hours are for the API. A file that is late is no day without data, so
        what the API is asked for begins before it.
        """
        seams = dict.fromkeys(zones, part.start)
        if (files := self._archive) is None:
            return seams
        days = []
        for station, zone in zones.items():
            for day, start, end in local_days(part, zone):
                if end + archive.ARCHIVED_AFTER <= now:
                    days.append((station, day, start, end))
                    seams[station] = max(seams[station], min(end, part.end))
        pulls = concurrently(lambda one: files.pull(one[0], one[1], part), days, archive.WORKERS)
        for (station, _, start, end), pull in zip(days, pulls, strict=True):
            if pull.answer is None and pull.failure is None and now < end + LATE_FILE:
                seams[station] = min(seams[station], max(start, part.start))
            yield pull
        return seams

    def _miss_the_rest(self, seams: dict[str, datetime], part: Window) -> Iterator[Pull]:
        for station, seam in seams.items():
            if seam < min(part.end, self._now()):
                message = (
                    f"Readings of location {station} from {seam:%Y-%m-%d %H:%M}Z on are not in "
                    f"{TITLE}'s archive yet. {WITHOUT_KEY}"
                )
                yield Pull(station, None, PermanentFailure(message))

    def _refuse_too_many(self, known: Sequence[Sensor]) -> None:
        parameters = {sensor.parameter_id for sensor in known}
        stations = {sensor.station for sensor in known}
        allowed = 24 * self._allowed_an_hour
        needed = budget.requests_a_day(len(known), len(parameters), len(stations), self._revisits)
        if needed > allowed:
            raise PermanentFailure(
                f"{len(known)} sensors at {len(stations)} locations take about {needed} requests "
                f"a day, and {TITLE} allows {allowed}: take in fewer stations "
                "(networks.openaq), revisit fewer days (AQ_REVISIT_DAYS), or ask OpenAQ for more "
                "and say so in AQ_OPENAQ_REQUESTS_PER_HOUR."
            )

    def _refresh_many(self, known: Sequence[Sensor], part: Window, now: datetime) -> Iterator[Pull]:
        newest = yield from self._pull_latest(known, part, now)
        if newest is None:
            return
        affordable = len(known) <= self._allowed_an_hour / 2
        if affordable and self._taken.gap_before(newest):
            seams = dict.fromkeys((sensor.station for sensor in known), part.start)
            yield from self._pull_sensors(known, part, seams)
        self._taken.keep(newest)

    def _pull_latest(
        self, known: Sequence[Sensor], part: Window, now: datetime
    ) -> Generator[Pull, None, datetime | None]:
        """The latest value of every sensor; the newest hour among them."""
        since = now.replace(minute=0, second=0, microsecond=0) - LATEST_WITHIN
        params = {"datetime_min": zulu(since)}
        numbers = sorted({s.parameter_id for s in known if s.parameter_id is not None})
        ours = {sensor.sensor_id for sensor in known}
        hours = []
        for pulls in concurrently(
            lambda number: list(
                self._api.pages(
                    f"latest of parameter {number}", f"/parameters/{number}/latest", params, part
                )
            ),
            numbers,
            self._workers,
        ):
            hours += [latest_hour(pull, Window(since, now), ours) for pull in pulls]
            yield from pulls
        return max((hour for hour in hours if hour is not None), default=None)

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
                yield Pull(sensor.subject, None, PermanentFailure(message))

    def _pull_hours(self, sensor: Sensor, part: Window, start: datetime) -> list[Pull]:
        # The window leaves out its beginning and stamps mark ends: exactly the hours from `start`.
        # What is kept says `part`, so that it lies beside the locations and the archive's files.
        params = {"datetime_from": zulu(start), "datetime_to": zulu(part.end)}
        path = f"/sensors/{sensor.sensor_id}/hours"
        return list(self._api.pages(sensor.subject, path, params, part))

    def _locations(self, within: timedelta = KEPT_FOR) -> Iterator[Pull]:
        """The configured locations, from the file while it is fresh; none without a key."""
        if self._archive_alone:
            return
        known = self._kept.fresh(within)
        if known is None:
            yield from self._ask_locations()
        else:
            yield from (Pull(subject(answer.url), answer) for answer in known)

    def _ask_locations(self) -> Iterator[Pull]:
        """The configured locations, asked for; kept in the file where all of them answered."""
        now = self._now()
        window = Window(now - HOUR, now)
        pulls = list(
            concurrently(
                lambda station: self._api.ask(station, f"/locations/{station}", {}, window),
                self._config.stations,
                self._workers,
            )
        )
        if (area := self._config.area) is not None:
            pulls += self._api.pages("area", area_path(area), area_question(area), window)
        pulls = [_legible(pull) for pull in pulls]
        if all(pull.failure is None for pull in pulls):
            self._kept.keep(now, [pull.answer for pull in pulls if pull.answer is not None])
            self._has_asked = True
        yield from pulls

    def stations(self) -> StationList:
        """The configured locations, as they are described now."""
        if self._archive is not None and self._archive_alone:
            return self._archive.stations(self._config.stations)
        stations: dict[str, Station] = {}
        failures: dict[str, TransientFailure | PermanentFailure] = {}
        # What the pull of the same run has just asked is not asked again.
        for pull in self._locations(HOUR) if self._has_asked else self._ask_locations():
            if pull.failure is not None or pull.answer is None:
                failures[pull.subject] = pull.failure or TransientFailure("no answer")
                continue
            for location in listed(pull.answer, Problems()):
                stations[str(location.id)] = describe(location)
        return StationList(tuple(stations.values()), failures)

    def dimension(self, name: str) -> list[dict[str, Any]] | None:
        """Countries or parameters, every page of them; None without a key."""
        if self._archive_alone:
            return None
        kind: type[Country | ListedParameter] = Country if name == "countries" else ListedParameter
        now = self._now()
        rows: list[dict[str, Any]] = []
        for pull in self._api.pages(name, f"/{name}", {}, Window(now - HOUR, now)):
            if pull.failure is not None:
                raise pull.failure
            if pull.answer is not None:
                rows += [one.row for one in read(pull.answer, kind, Problems())]
        return rows

    def newest_hour(self) -> datetime | None:
        """By a few stations: the one that had the newest hour last time, then others in turn."""
        names = self._names()
        return self._newest.ask(names, self._now()) if names else None

    def _names(self) -> list[str]:
        """Station ids, from the entry or else from the locations."""
        if self._config.stations:
            return list(self._config.stations)
        names = []
        for pull in self._locations():
            if pull.failure is not None:
                raise pull.failure
            if pull.answer is not None:
                names += [str(location.id) for location in listed(pull.answer, Problems())]
        return names

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        reader = Reader()
        for answer in answers:
            reader.add(answer)
        return reader.parsed()

    def choose(self, versions: pl.DataFrame) -> pl.DataFrame:
        """Versions of one sensor an hour, of several folders' as of one's."""
        return one_sensor_an_hour(versions)

    def close(self) -> None:
        """Give connections back."""
        self._api.close()
        if self._archive is not None:
            self._archive.close()


def _legible(pull: Pull) -> Pull:
    """An answer about locations of which not one can be read is a failure.

    It would pass for a network without sensors, and be kept as such for a day.
    """
    problems = Problems()
    if pull.failure or pull.answer is None or listed(pull.answer, problems) or not problems.total:
        return pull
    changed = f"{TITLE}'s locations no longer have the known form: {problems.rows()[0]['example']}"
    return replace(pull, failure=PermanentFailure(changed))
