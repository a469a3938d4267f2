"""OpenAQ v3: hourly means by sensor, with a key, and the public archive of daily files, without.

Contract: ``GET /v3/sensors/{id}/hours`` answers rows whose stamps mark the hour's end, for a window
that leaves out its beginning and includes its end. An answer names neither station nor, in
``latest``, parameter: both come from the locations, whose answers are kept beside the readings.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import unquote, urlparse
from zoneinfo import ZoneInfo

import httpx
import msgspec
import numpy as np
import polars as pl
from filelock import FileLock
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.http import (
    BrokenAnswer,
    HttpClient,
    RefusedRequest,
    concurrently,
    retry_after_seconds,
)
from aq_resources.network_settings import Area, NetworkConfig
from aq_resources.networks._client import Parsed, Problems, Pull, Station, StationList
from aq_resources.rate_limit import SharedRateLimit
from aq_resources.raw_pulls import RawAnswer
from aq_resources.settings import EnvironmentSettings, Settings
from aq_science.readings import INSTANT, PARAMETER, complete_hours
from aq_science.units import to_canonical
from aq_science.windows import DAY, HOUR, Window, midnight

TITLE = "OpenAQ"
API_URL = "https://api.openaq.org/v3"
# Tables beside the stations.
DIMENSIONS = ("countries", "parameters")
ARCHIVE = "s3://openaq-data-archive"

# The most rows of one page. A longest window of 41 days, 984 hours, is a page that is not full, so
# that one request shows that there is no second.
PAGE = 1000
SPAN = timedelta(days=41)
# The largest radius that the interface takes; a wider area is asked for by its corners.
RADIUS_METRES = 25_000
# What "which hour is newest?" looks at: so far back, by so many stations, in so short a time.
NEWEST_WITHIN = timedelta(hours=12)
NEWEST_STATIONS = 3
NEWEST_TIMEOUT_SECONDS = 8.0
# Locations change rarely; each run is a process of its own, so they are kept in a file.
LOCATIONS_KEPT = DAY
# As long as the hourly limit may make a run wait.
PATIENCE_SECONDS = 3700.0
# With more sensors an hourly refresh asks for the latest values, parameter by parameter.
LATEST_FROM = 100
LATEST_WITHIN = 6 * HOUR
# Pages that the latest values of a parameter are taken to fill, the whole world's being in them.
LATEST_PAGES = 25
# A longer window that reaches up to now is a backfill.
REFRESH = 3 * DAY
# A sensor that failed so often, for so long, while others answered, is left alone for a while.
BROKEN_TIMES, BROKEN_FOR, SET_ASIDE = 3, 2 * HOUR, DAY
NEWEST_PATIENCE_SECONDS = 1.0
# Rows that are turned into a frame at once.
BATCH_ROWS = 200_000
BATCH_CHARACTERS = 32_000_000
# A local day's file is written 72 hours after its end; six more are no loss.
ARCHIVED_AFTER = timedelta(hours=78)
# A file missing for longer than this is a day without data, and not one that is late.
LATE_FILE = timedelta(days=7)
ARCHIVE_WORKERS = 16
_EARTH_METRES = 6_371_000.0

# OpenAQ's name -> parameter. Units come with each sensor: the same pollutant has several.
NAMES = {
    "pm1": "pm1",
    "pm25": "pm25",
    "pm10": "pm10",
    "bc": "bc",
    "no": "no",
    "no2": "no2",
    "o3": "o3",
    "so2": "so2",
    "co": "co",
    "co2": "co2",
    "temperature": "temperature",
    "humidity": "humidity",
    "relativehumidity": "humidity",
    "rh": "humidity",
    "pressure": "pressure",
}


class NetworkSettings(EnvironmentSettings):
    """Address, key and limits of OpenAQ."""

    model_config = SettingsConfigDict(env_prefix="AQ_OPENAQ_", env_ignore_empty=True)

    url: str = Field(API_URL, description="Base of the OpenAQ API")
    api_key: SecretStr | None = Field(None, description="Key of the API (X-API-Key)")
    archive: str = Field(
        ARCHIVE,
        description="Archive of daily files: `s3://…`, `http(s)://…` or a folder; `none` for none",
    )
    requests_per_minute: int = Field(60, ge=1, description="Requests allowed in a minute")
    requests_per_hour: int = Field(2000, ge=1, description="Requests allowed in an hour")


# An instant that says its zone.
_Aware = Annotated[datetime, msgspec.Meta(tz=True)]
Row = TypeVar("Row")


class _Instant(msgspec.Struct, gc=False):
    utc: _Aware


class _Period(msgspec.Struct, gc=False, rename="camel"):
    datetime_from: _Instant
    datetime_to: _Instant


class _Parameter(msgspec.Struct, gc=False):
    name: str
    units: str
    id: int | None = None


class _Coverage(msgspec.Struct, gc=False, rename="camel"):
    percent_coverage: float | None = None
    percent_complete: float | None = None


class _Hour(msgspec.Struct, gc=False):
    period: _Period
    parameter: _Parameter
    # Null where there is no reading, but never left out.
    value: float | None
    coverage: _Coverage | None = None


class _SensorListed(msgspec.Struct):
    id: int
    parameter: _Parameter


class _Location(msgspec.Struct):
    id: int
    name: str | None = None
    locality: str | None = None
    timezone: str | None = None
    country: dict[str, Any] | None = None
    owner: dict[str, Any] | None = None
    provider: dict[str, Any] | None = None
    coordinates: dict[str, Any] | None = None
    licenses: list[dict[str, Any]] | None = None
    sensors: list[_SensorListed] = []


class _ListedParameter(msgspec.Struct, rename="camel"):
    id: int
    name: str
    units: str
    display_name: str | None = None
    description: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        return {
            "parameter_id": self.id,
            "name": self.name,
            "unit": self.units,
            "display_name": self.display_name,
            "description": self.description,
            "parameter": NAMES.get(self.name),
        }


class _Country(msgspec.Struct, rename="camel"):
    id: int
    code: str | None = None
    name: str | None = None
    # Plain text here, an object of two times elsewhere.
    datetime_first: _Aware | _Instant | None = None
    datetime_last: _Aware | _Instant | None = None
    parameters: list[_ListedParameter] = []

    @property
    def row(self) -> dict[str, Any]:
        first, last = (
            one.utc if isinstance(one, _Instant) else one
            for one in (self.datetime_first, self.datetime_last)
        )
        names = {NAMES.get(one.name) for one in self.parameters}
        return {
            "country_id": self.id,
            "code": self.code,
            "name": self.name,
            "first_reading": first,
            "last_reading": last,
            "parameters": sorted(name for name in names if name is not None),
        }


class _Page(msgspec.Struct, Generic[Row]):
    results: list[Row]


@dataclass(frozen=True)
class Sensor:
    """One sensor of a location: what its readings are readings of."""

    sensor_id: int
    station: str
    parameter: str
    unit: str
    # OpenAQ's number for the parameter in this unit.
    parameter_id: int | None = None

    @property
    def subject(self) -> str:
        return f"{self.station} {self.parameter} (sensor {self.sensor_id})"


def create(config: NetworkConfig, settings: Settings, now: Callable[[], datetime]) -> OpenAQClient:
    """The client for the stations of ``config``."""
    for station in config.stations:
        if not station.isdecimal():
            raise SettingsError(
                f"networks.openaq: station {station!r} is no id of an OpenAQ location, which is a "
                "number such as 2178 (the address of its page on explore.openaq.org shows it)."
            )
    own = NetworkSettings()
    if config.area is not None and own.api_key is None and own.archive != "none":
        raise SettingsError(
            "networks.openaq: without a key the stations of an area cannot be listed. "
            f"{_WITHOUT_KEY} Or name stations."
        )
    return OpenAQClient(config, own, settings, now)


def _header_value(key: SecretStr | None) -> str | None:
    """The key as it can be sent. One that cannot would stand in the error that says so."""
    if key is None:
        return None
    value = key.get_secret_value().strip()
    if not (value.isascii() and value.isprintable()):
        raise SettingsError("AQ_OPENAQ_API_KEY holds characters that no key has: copy it again.")
    return value


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
        self._url = own.url.rstrip("/")
        self._allowed_a_day = 24 * own.requests_per_hour
        self._archive = None if own.archive == "none" else _Archive(own.archive, settings)
        # What is in the archive is not asked for.
        archived = math.ceil(ARCHIVED_AFTER / DAY) if self._archive else math.inf
        self._revisits = sum(days < archived for days in settings.revisit_days)
        self._key = _header_value(own.api_key)
        self._now = now
        self._workers = settings.http_concurrency
        folder = settings.home / "openaq"
        self._locations_file = folder / "locations.json"
        self._limit = SharedRateLimit(
            TITLE,
            folder / "requests.json",
            ((own.requests_per_minute, 60), (own.requests_per_hour, 3600)),
        )
        self._broken = _BrokenSensors(folder / "broken_sensors.json")
        self._http = self._open(
            settings.http_timeout_seconds, settings.http_attempts, PATIENCE_SECONDS
        )
        self._newest_http = self._open(
            min(NEWEST_TIMEOUT_SECONDS, settings.http_timeout_seconds), 1, NEWEST_PATIENCE_SECONDS
        )
        self._asked_last = 0
        self._freshest: str | None = None

    def _open(self, timeout: float, attempts: int, patience: float) -> HttpClient:
        own = httpx.URL(self._url)

        def prepare(request: httpx.Request) -> None:
            request.headers.pop("X-API-Key", None)
            # A redirect to another host, or away from TLS, must not carry the key along.
            at_home = (request.url.scheme, request.url.netloc) == (own.scheme, own.netloc)
            if self._key is not None and at_home:
                request.headers["X-API-Key"] = self._key
            self._limit.acquire(patience)

        return HttpClient(
            TITLE,
            timeout=timeout,
            attempts=attempts,
            explain=lambda response: _explain(response, with_key=self._key is not None),
            on_request=prepare,
            asked_wait=self._asked_wait,
        )

    def _asked_wait(self, response: httpx.Response) -> float | None:
        """Seconds left of the server's minute: a reset is no instant here."""
        wait = retry_after_seconds(
            response.headers.get("Retry-After") or response.headers.get("x-ratelimit-reset")
        )
        if wait is not None and response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self._limit.close_for(wait)
        return wait

    def pull(self, window: Window) -> Iterator[Pull]:
        """The locations, then one request a sensor and span of the window.

        The hourly refresh of many sensors asks for the latest values of each parameter instead: a
        handful of requests, whose gaps are filled when the days are pulled again. Raises
        `PermanentFailure` where a day's requests would not fit into the limit.
        """
        for part in window.chunks(self.span):
            listed = list(self._locations())
            answers = []
            for pull in listed:
                answer = pull.answer and msgspec.structs.replace(
                    pull.answer, window=(part.start, part.end)
                )
                if answer is not None and pull.failure is None:
                    answers.append(answer)
                yield Pull(pull.subject, answer, pull.failure)
            sensors = sorted(_sensors(answers, Problems()).values(), key=lambda s: s.sensor_id)
            self._refuse_too_many(sensors)
            now = self._now()
            refresh = part.start <= now < part.end <= part.start + REFRESH
            if refresh and len(sensors) > LATEST_FROM:
                yield from self._pull_latest(sensors, part, now)
                continue
            zones = {
                str(location.id): location.timezone
                for answer in answers
                for location in _listed(answer, Problems())
            }
            seams = yield from self._pull_archive(zones or self._without_zones(), part, now)
            if self._without_key:
                yield from self._miss_the_rest(seams, part)
            else:
                yield from self._pull_sensors(sensors, part, seams)

    @property
    def _without_key(self) -> bool:
        """Whether the archive is all there is."""
        return self._key is None and self._archive is not None

    def _without_zones(self) -> dict[str, str | None]:
        return dict.fromkeys(self._config.stations) if self._without_key else {}

    def _miss_the_rest(self, seams: dict[str, datetime], part: Window) -> Iterator[Pull]:
        for station, seam in seams.items():
            if seam < min(part.end, self._now()):
                message = (
                    f"Readings of location {station} from {seam:%Y-%m-%d %H:%M}Z on are not in "
                    f"{TITLE}'s archive yet. {_WITHOUT_KEY}"
                )
                yield Pull(station, None, PermanentFailure(message))

    def _pull_archive(
        self, zones: dict[str, str | None], part: Window, now: datetime
    ) -> Generator[Pull, None, dict[str, datetime]]:
        """The files of the local days over ``part``; up to when each station's have come.

        The stations' later hours are for the API. A file that is late is no day without data, so
        what the API is asked for begins before it.
        """
        seams = dict.fromkeys(zones, part.start)
        if self._archive is None:
            return seams
        archive = self._archive
        days = []
        for station, zone in zones.items():
            for day, start, end in local_days(part, zone):
                if end + ARCHIVED_AFTER <= now:
                    days.append((station, day, start, end))
                    seams[station] = max(seams[station], min(end, part.end))
        pulls = concurrently(
            lambda one: archive.pull(one[0], one[1], part, self._now), days, ARCHIVE_WORKERS
        )
        for (station, _, start, end), pull in zip(days, pulls, strict=True):
            if pull.answer is None and pull.failure is None and now < end + LATE_FILE:
                seams[station] = min(seams[station], max(start, part.start))
            yield pull
        return seams

    def _refuse_too_many(self, sensors: Sequence[Sensor]) -> None:
        parameters = {sensor.parameter_id for sensor in sensors}
        stations = {sensor.station for sensor in sensors}
        needed = requests_a_day(len(sensors), len(parameters), len(stations), self._revisits)
        if needed > self._allowed_a_day:
            raise PermanentFailure(
                f"{len(sensors)} sensors at {len(stations)} locations take about {needed} requests "
                f"a day, and {TITLE} allows {self._allowed_a_day}: take in fewer stations "
                "(networks.openaq), revisit fewer days (AQ_REVISIT_DAYS), or ask OpenAQ for more "
                "and say so in AQ_OPENAQ_REQUESTS_PER_HOUR."
            )

    def _pull_latest(
        self, sensors: Sequence[Sensor], part: Window, now: datetime
    ) -> Iterator[Pull]:
        since = now.replace(minute=0, second=0, microsecond=0) - LATEST_WITHIN
        params = {"datetime_min": _zulu(since)}
        numbers = sorted({s.parameter_id for s in sensors if s.parameter_id is not None})
        for pulls in concurrently(
            lambda number: list(
                self._pages(
                    f"latest of parameter {number}", f"/parameters/{number}/latest", params, part
                )
            ),
            numbers,
            self._workers,
        ):
            yield from pulls

    def _pull_sensors(
        self, sensors: Sequence[Sensor], part: Window, seams: dict[str, datetime]
    ) -> Iterator[Pull]:
        """The hours after each station's seam."""
        sensors = [sensor for sensor in sensors if seams[sensor.station] < part.end]
        aside = self._broken.aside(self._now())
        answered: set[int] = set()
        failed: set[int] = set()
        asked = [sensor for sensor in sensors if sensor.sensor_id not in aside]
        for sensor, pulls in concurrently(
            lambda sensor: (sensor, self._pull_hours(sensor, part, seams[sensor.station])),
            asked,
            self._workers,
        ):
            failure = pulls[-1].failure
            if failure is None:
                answered.add(sensor.sensor_id)
            elif isinstance(failure, TransientFailure) and (failure.status or 0) == 500:
                failed.add(sensor.sensor_id)
            yield from pulls
        self._broken.note(answered, failed, self._now())
        for sensor in sensors:
            if until := aside.get(sensor.sensor_id):
                message = (
                    f"{TITLE} answers 500 for sensor {sensor.sensor_id} every time: it is set "
                    f"aside and asked for again from {until:%Y-%m-%d %H:%M}Z."
                )
                yield Pull(sensor.subject, None, PermanentFailure(message))

    def _pull_hours(self, sensor: Sensor, part: Window, start: datetime) -> list[Pull]:
        # The window leaves out its beginning and stamps mark ends: exactly the hours from `start`.
        # What is kept says `part`, so that it lies beside the locations and the archive's files.
        params = {"datetime_from": _zulu(start), "datetime_to": _zulu(part.end)}
        return list(self._pages(sensor.subject, f"/sensors/{sensor.sensor_id}/hours", params, part))

    def _pages(
        self,
        subject: str,
        path: str,
        params: dict[str, str],
        window: Window,
        http: HttpClient | None = None,
    ) -> Iterator[Pull]:
        """Pages until one is not full; how many were ``found`` is no number to rely on."""
        page = 1
        while True:
            asked = {**params, "limit": str(PAGE), "page": str(page)}
            pull = self._ask(subject, path, asked, window, http)
            yield pull
            if pull.failure is not None or pull.answer is None:
                return
            if _rows_in(pull.answer.body) < PAGE:
                return
            page += 1

    def _ask(
        self,
        subject: str,
        path: str,
        params: dict[str, str],
        window: Window,
        http: HttpClient | None = None,
    ) -> Pull:
        url = f"{self._url}{path}"

        def keep(response: httpx.Response) -> RawAnswer:
            return RawAnswer(
                url,
                params,
                (window.start, window.end),
                self._now(),
                response.status_code,
                response.text,
            )

        try:
            return Pull(subject, keep((http or self._http).get(url, params, _what_is_wrong)))
        except (BrokenAnswer, RefusedRequest) as failure:
            return Pull(subject, keep(failure.response), failure)
        except (TransientFailure, PermanentFailure) as failure:
            return Pull(subject, None, failure)

    def _locations(self, within: timedelta = LOCATIONS_KEPT) -> Iterator[Pull]:
        """The configured locations, from the file while it is fresh; none without a key."""
        if self._without_key:
            return
        known = self._kept_locations(within)
        if known is not None:
            for answer in known:
                yield Pull(_subject(answer.url), answer)
            return
        yield from self._ask_locations()

    def _ask_locations(self) -> Iterator[Pull]:
        """The configured locations, asked for; kept in the file where all of them answered."""
        now = self._now()
        window = Window(now - HOUR, now)
        asked = [(station, f"/locations/{station}") for station in self._config.stations]
        pulls = list(
            concurrently(lambda one: self._ask(one[0], one[1], {}, window), asked, self._workers)
        )
        if self._config.area is not None:
            area = self._config.area
            # Corners hold more than the circle. Whoever reads the answer later learns of the circle
            # by a fragment, which is not sent.
            path = f"/locations#{area.latitude},{area.longitude},{area.radius_km}"
            pulls += self._pages("area", path, _area_question(area), window)
        pulls = [_legible(pull) for pull in pulls]
        if all(pull.failure is None for pull in pulls):
            self._locations_file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._locations_file.with_suffix(".new")
            answers = [pull.answer for pull in pulls if pull.answer is not None]
            fresh.write_bytes(msgspec.json.encode(_Kept(self._question, now, answers)))
            fresh.replace(self._locations_file)
        yield from pulls

    @property
    def _question(self) -> str:
        """What the kept locations are the answer to."""
        area = self._config.area.model_dump() if self._config.area else None
        return json.dumps([self._url, self._config.stations, area])

    def _kept_locations(self, within: timedelta) -> list[RawAnswer] | None:
        try:
            kept = msgspec.json.decode(self._locations_file.read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        fresh = kept.asked_at <= self._now() < kept.asked_at + within
        return kept.answers if fresh and kept.question == self._question else None

    def stations(self) -> StationList:
        """The configured locations, as they are described now, or were within the hour."""
        if self._archive is not None and self._without_key:
            return self._archive.stations(self._config.stations, self._now())
        stations: dict[str, Station] = {}
        failures: dict[str, TransientFailure | PermanentFailure] = {}
        # What the pull of the same run has just asked is not asked again.
        for pull in self._locations(HOUR):
            if pull.failure is not None or pull.answer is None:
                failures[pull.subject] = pull.failure or TransientFailure("no answer")
                continue
            for location in _listed(pull.answer, Problems()):
                stations[str(location.id)] = _describe(location)
        return StationList(tuple(stations.values()), failures)

    def dimension(self, name: str) -> list[dict[str, Any]]:
        """Countries or parameters, every page of them."""
        now = self._now()
        rows: list[_Country | _ListedParameter] = []
        for pull in self._pages(name, f"/{name}", {}, Window(now - HOUR, now)):
            if pull.failure is not None:
                raise pull.failure
            if pull.answer is None:
                continue
            if name == "countries":
                rows += _read(pull.answer, _Country, Problems())
            else:
                rows += _read(pull.answer, _ListedParameter, Problems())
        return [row.row for row in rows]

    def newest_hour(self) -> datetime | None:
        """By a few stations: the one that had the newest hour last time, then others in turn."""
        now = self._now()
        names = self._names()
        if not names:
            return None
        asked = self._some_stations(names)
        window = Window(now - NEWEST_WITHIN, now)
        pulls = list(
            concurrently(
                lambda station: self._ask(
                    station, f"/locations/{station}/latest", {}, window, self._newest_http
                ),
                asked,
                len(asked),
            )
        )
        failures = [pull.failure for pull in pulls if pull.failure is not None]
        if len(failures) == len(pulls):
            raise failures[0]
        newest: datetime | None = None
        for pull in pulls:
            if pull.answer is None or pull.failure is not None:
                continue
            for row in _read(pull.answer, _Latest, Problems()):
                hour = _hour_ending(row.datetime.utc)
                inside = hour is not None and window.start <= hour < now
                if hour is not None and inside and (newest is None or hour > newest):
                    newest, self._freshest = hour, pull.subject
        return newest

    def _names(self) -> list[str]:
        """Station ids, from the entry or else from the locations."""
        if self._config.stations:
            return list(self._config.stations)
        pulls = list(self._locations())
        for pull in pulls:
            if pull.failure is not None:
                raise pull.failure
        answers = [pull.answer for pull in pulls if pull.answer is not None]
        return [str(location.id) for answer in answers for location in _listed(answer, Problems())]

    def _some_stations(self, names: Sequence[str]) -> list[str]:
        """A silent station among many must not hide that the others go on."""
        turn = [names[(self._asked_last + n) % len(names)] for n in range(NEWEST_STATIONS)]
        self._asked_last = (self._asked_last + NEWEST_STATIONS - 1) % len(names)
        preferred = [name for name in names if name == self._freshest]
        return list(dict.fromkeys([*preferred, *turn]))[:NEWEST_STATIONS]

    def parse(self, answers: Iterable[RawAnswer]) -> Parsed:
        """Versions of every complete hour within the window each answer was asked for."""
        reader = _Reader()
        for answer in answers:
            reader.add(answer)
        return reader.parsed()

    def close(self) -> None:
        for http in (self._http, self._newest_http, self._archive):
            if http is not None:
                http.close()


def local_days(part: Window, zone: str | None) -> Iterator[tuple[date, datetime, datetime]]:
    """The local days that share an hour with ``part``, with their beginnings and ends in UTC.

    Where the zone is not known, every day that is one of them somewhere on earth, with the widest
    bounds that it can have.
    """
    local = _zone(zone)
    if local is None:
        day, last = part.start.date() - DAY, (part.end - HOUR).date() + DAY
    else:
        day = part.start.astimezone(local).date()
        last = (part.end - timedelta(microseconds=1)).astimezone(local).date()
    while day <= last:
        if local is None:
            yield day, midnight(day) - 14 * HOUR, midnight(day + DAY) + 12 * HOUR
        else:
            start, end = (
                datetime.combine(one, time(), local).astimezone(UTC) for one in (day, day + DAY)
            )
            yield day, start, end
        day += DAY


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


class _Archive:
    """Daily files of the public bucket's layout, read without a key, wherever they lie."""

    def __init__(self, address: str, settings: Settings) -> None:
        self._url = _archive_url(address).rstrip("/")
        self._http = HttpClient(
            f"{TITLE}'s archive",
            timeout=settings.http_timeout_seconds,
            attempts=settings.http_attempts,
        )

    def pull(self, station: str, day: date, window: Window, now: Callable[[], datetime]) -> Pull:
        """The file of a local day; neither answer nor failure where there is none."""
        url = (
            f"{self._url}/records/csv.gz/locationid={station}/year={day:%Y}/month={day:%m}/"
            f"location-{station}-{day:%Y%m%d}.csv.gz"
        )
        try:
            text = self._read(url)
        except (TransientFailure, PermanentFailure) as failure:
            return Pull(f"{station} archive {day}", None, failure)
        if text is None:
            return Pull(station, None)
        return Pull(station, RawAnswer(url, {}, (window.start, window.end), now(), 200, text))

    def stations(self, names: Sequence[str], now: datetime) -> StationList:
        """What the newest files say of the stations, for who has no key."""
        stations, failures = [], {}
        found = concurrently(lambda name: self._describe(name, now), names, ARCHIVE_WORKERS)
        for name, station in zip(names, found, strict=True):
            if isinstance(station, Station):
                stations.append(station)
            else:
                failures[name] = station
        return StationList(tuple(stations), failures)

    def _describe(self, name: str, now: datetime) -> Station | TransientFailure | PermanentFailure:
        last = (now - ARCHIVED_AFTER).date() - DAY
        window = Window(now - DAY, now)
        for back in range(10):
            pull = self.pull(name, last - back * DAY, window, lambda: now)
            if pull.failure is not None:
                return pull.failure
            if pull.answer is None:
                continue
            rows = _archive_rows(_header(pull.answer.body), [pull.answer.body])
            row = rows.row(0, named=True)
            parameters = {NAMES[name] for name in rows["parameter"] if name in NAMES}
            return Station(
                name,
                name=str(row["location"]).removesuffix(f"-{name}"),
                latitude=_float(row["lat"]),
                longitude=_float(row["lon"]),
                parameters=tuple(sorted(parameters)),
                attribution="via OpenAQ (https://openaq.org)",
            )
        return PermanentFailure(
            f"{TITLE}'s archive has no file of location {name} in the ten days up to {last}. "
            f"{_WITHOUT_KEY}"
        )

    def close(self) -> None:
        self._http.close()

    def _read(self, url: str) -> str | None:
        if url.startswith("file://"):
            try:
                return _unpacked(Path(unquote(urlparse(url).path)).read_bytes())
            except FileNotFoundError:
                return None
            except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
                raise PermanentFailure(f"{url} cannot be read: {error}") from error
        try:
            return _unpacked(self._http.get(url, None, _packed_wrong).content)
        except RefusedRequest as failure:
            if failure.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise


def _archive_url(address: str) -> str:
    """Where the files are fetched: a public bucket answers plain requests as well."""
    if address.startswith("s3://"):
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        return f"https://{bucket}.s3.amazonaws.com/{prefix}"
    if address.startswith(("http://", "https://", "file://")):
        return address
    return Path(address).expanduser().absolute().as_uri()


def _unpacked(content: bytes) -> str:
    packed = content.startswith(b"\x1f\x8b")
    return (gzip.decompress(content) if packed else content).decode("utf-8")


def _packed_wrong(response: httpx.Response) -> str | None:
    try:
        text = _unpacked(response.content)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        return f"no gzipped text ({error})"
    if not text:
        return "an empty body"
    return "HTML instead of CSV" if text.lstrip().startswith("<") else None


# Names of columns as the documentation has them -> as the files have them.
_COLUMN_NAMES = {"sensor_id": "sensors_id", "unit": "units"}
_ARCHIVE_COLUMNS = (
    *("location_id", "sensors_id", "location", "datetime", "lat", "lon"),
    *("parameter", "units", "value"),
)


def _header(text: str) -> tuple[str, ...]:
    """Column names in a file's first line."""
    names = text.partition("\n")[0].replace('"', "").strip().split(",")
    return tuple(_COLUMN_NAMES.get(name, name) for name in names)


def _archive_rows(header: tuple[str, ...], texts: Iterable[str]) -> pl.DataFrame:
    """Rows of files with the same columns, as text; numbers may be quoted."""
    bodies = (text.partition("\n")[2] for text in texts)
    data = "".join(body if body.endswith("\n") or not body else body + "\n" for body in bodies)
    # With the names in front, since polars takes the first line for the number of columns.
    whole = f"{','.join(header)}\n{data}"
    return pl.read_csv(whole.encode(), schema=dict.fromkeys(header, pl.String()))


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def requests_a_day(sensors: int, parameters: int, stations: int, revisits: int) -> int:
    """Requests of an ordinary day: refreshes, questions for the newest hour, revisited days."""
    refresh = sensors if sensors <= LATEST_FROM else parameters * LATEST_PAGES
    return 24 * (refresh + NEWEST_STATIONS) + stations + revisits * sensors


class _Ill(msgspec.Struct):
    """A sensor's failures since it last answered."""

    times: int
    since: datetime
    last: datetime


class _BrokenSensors:
    """Sensors that fail every time, in a file: what a run learns spares the next ones the tries."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_suffix(".lock"))

    def aside(self, now: datetime) -> dict[int, datetime]:
        """The sensors not to be asked now, and until when."""
        return {
            sensor: ill.last + SET_ASIDE
            for sensor, ill in self._read().items()
            if ill.times >= BROKEN_TIMES
            and ill.last - ill.since >= BROKEN_FOR
            and ill.last <= now < ill.last + SET_ASIDE
        }

    def note(self, answered: set[int], failed: set[int], now: datetime) -> None:
        """Take one pull's outcomes in. Where most fail the network is ill, not its sensors."""
        if len(failed) >= len(answered):
            failed = set()
        known = self._read()
        if not failed and not answered & known.keys():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            known = self._read()
            for sensor in answered:
                known.pop(sensor, None)
            for sensor in failed:
                ill = known.get(sensor, _Ill(0, now, now))
                known[sensor] = _Ill(ill.times + 1, ill.since, now)
            fresh = self._path.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(known))
            fresh.replace(self._path)

    def _read(self) -> dict[int, _Ill]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[int, _Ill])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}


class _Kept(msgspec.Struct):
    """The file of locations: what was asked, when, and what was answered."""

    question: str
    asked_at: datetime
    answers: list[RawAnswer]


class _Latest(msgspec.Struct, rename="camel"):
    datetime: _Instant
    sensors_id: int
    locations_id: int
    value: float | None = None


class _UnevenRowsError(ValueError):
    """A text whose rows are not its lines."""


# A local time with its offset.
_OFFSET = "%Y-%m-%dT%H:%M:%S%z"
_DRAFT = pl.Schema(
    {
        "sensor": pl.Int64(),
        "station": pl.String(),
        "name": pl.String(),
        "unit_native": pl.String(),
        "ends": INSTANT,
        "value_native": pl.Float64(),
        "coverage": pl.Float64(),
        "start": INSTANT,
        "end": INSTANT,
        "pulled_at": INSTANT,
        "duplicate": pl.Boolean(),
    }
)


@dataclass
class _Reader:
    """Readings of stored answers; what their rows leave out is looked up in the locations."""

    problems: Problems = field(default_factory=Problems)
    locations: list[RawAnswer] = field(default_factory=list)
    drafts: list[pl.DataFrame] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    files: list[RawAnswer] = field(default_factory=list)
    file_characters: int = 0
    # Subjects with a problem, and those with a row.
    troubled: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)

    def add(self, answer: RawAnswer) -> None:
        """Take an answer's rows, or note why there are none."""
        subject = _subject(answer.url)
        if answer.status != httpx.codes.OK:
            self.problems.add(subject, f"status_{answer.status}", answer.body)
            return
        known = self.problems.total
        path = urlparse(answer.url).path
        before = len(self.rows)
        if re.search(r"/sensors/\d+/(hours|measurements)$", path):
            self._add_hours(answer, int(subject))
        elif path.endswith("/latest"):
            self._add_latest(answer)
        elif path.endswith(".csv.gz"):
            self._add_file(answer)
            return
        elif re.search(r"/locations(/\d+)?$", path):
            self.locations.append(answer)
            # Read now for what is wrong with it; its sensors are needed at the end alone.
            _sensors([answer], self.problems)
            return
        if self.problems.total > known:
            self.troubled.add(subject)
        if len(self.rows) > before:
            self.read.add(subject)
        if len(self.rows) >= BATCH_ROWS:
            self._close_batch()

    def _add_hours(self, answer: RawAnswer, sensor: int) -> None:
        start, end = answer.window
        seen: set[datetime] = set()
        for row in _read(answer, _Hour, self.problems):
            ends = row.period.datetime_to.utc
            hour = _hour_ending(ends)
            if hour is None or hour != row.period.datetime_from.utc:
                self.problems.add(str(sensor), "not_an_hour", f"hour ending {ends.isoformat()}")
                continue
            # A gap in the data is a row without a value, whatever coverage it claims.
            if row.value is None:
                continue
            if ends in seen:
                self.problems.add(str(sensor), "duplicate_hour", ends.isoformat())
            seen.add(ends)
            self.rows.append(
                (
                    sensor,
                    None,
                    row.parameter.name,
                    row.parameter.units,
                    ends,
                    row.value,
                    _share(row.coverage),
                    start,
                    end,
                    answer.pulled_at,
                    False,
                )
            )

    def _add_latest(self, answer: RawAnswer) -> None:
        for row in _read(answer, _Latest, self.problems):
            # The last of a sensor that reports more often than hourly is no hour's mean.
            if row.value is None or _hour_ending(row.datetime.utc) is None:
                continue
            # A row names neither parameter nor unit; its sensor does.
            self.rows.append(
                (
                    *(row.sensors_id, None, None, None, row.datetime.utc, row.value, None),
                    *(*answer.window, answer.pulled_at, False),
                )
            )

    def _add_file(self, answer: RawAnswer) -> None:
        """Keep a file to be read with others: a call costs more than a file's rows."""
        if missing := set(_ARCHIVE_COLUMNS) - set(_header(answer.body)):
            self.problems.add(_subject(answer.url), "no_columns", ", ".join(sorted(missing)))
            self.troubled.add(_subject(answer.url))
            return
        self.files.append(answer)
        self.file_characters += len(answer.body)
        if self.file_characters >= BATCH_CHARACTERS:
            self._close_files()

    def _close_files(self) -> None:
        files, self.files, self.file_characters = self.files, [], 0
        by_header: dict[tuple[str, ...], list[RawAnswer]] = {}
        for answer in files:
            by_header.setdefault(_header(answer.body), []).append(answer)
        for header, answers in by_header.items():
            try:
                self._take_files(answers, _archive_rows(header, (one.body for one in answers)))
            except (pl.exceptions.PolarsError, _UnevenRowsError):
                self._take_one_by_one(header, answers)

    def _take_one_by_one(self, header: tuple[str, ...], answers: list[RawAnswer]) -> None:
        """Files together cannot be read: find the one that is to blame."""
        for answer in answers:
            try:
                self._take_files([answer], _archive_rows(header, [answer.body]))
            except (pl.exceptions.PolarsError, _UnevenRowsError) as error:
                self.problems.add(_subject(answer.url), "csv_form", str(error))
                self.troubled.add(_subject(answer.url))

    def _take_files(self, answers: list[RawAnswer], rows: pl.DataFrame) -> None:
        counts = [len(answer.body.rstrip().splitlines()) - 1 for answer in answers]
        if sum(counts) != len(rows):
            raise _UnevenRowsError(f"{len(rows)} rows in {sum(counts)} lines")
        asked = pl.DataFrame(
            [(*answer.window, answer.pulled_at) for answer in answers],
            schema={"start": INSTANT, "end": INSTANT, "pulled_at": INSTANT},
            orient="row",
        ).with_row_index("answer")
        rows = rows.with_columns(
            pl.Series("answer", np.repeat(np.arange(len(answers), dtype=np.uint32), counts)),
            stamp=pl.col("datetime")
            .str.replace("Z$", "+00:00")
            .str.to_datetime(_OFFSET, time_unit="us", strict=False),
            number=pl.col("value").cast(pl.Float64, strict=False),
            sensor=pl.col("sensors_id").cast(pl.Int64, strict=False),
        )
        good = pl.all_horizontal(
            pl.col("stamp", "sensor", "location_id", "parameter", "units").is_not_null(),
            pl.col("number").is_finite().fill_null(value=False),
        )
        for place, example in rows.filter(~good).select("answer", "datetime").iter_rows():
            self.problems.add(_subject(answers[place].url), "row_form", str(example))
            self.troubled.add(_subject(answers[place].url))
        rows = rows.filter(good)
        self.read |= set(rows["location_id"].unique().to_list())
        instant = ["answer", "sensor", "stamp"]
        rows = rows.with_columns(twice=pl.struct(instant).is_duplicated())
        for place, count in (
            rows.filter(pl.col("twice") & ~pl.struct(instant).is_first_distinct())
            .group_by("answer", maintain_order=True)
            .len()
            .iter_rows()
        ):
            self.problems.add(_subject(answers[place].url), "duplicate_hour", "", count)
        # A file holds what the provider sent, at its own pace: an hour is the mean of what ended in
        # it. Of hourly values that is the value itself.
        hour = (pl.col("stamp") - pl.duration(microseconds=1)).dt.truncate("1h")
        hours = (
            rows.unique(instant, keep="last", maintain_order=True)
            .group_by(
                "answer",
                "sensor",
                pl.col("location_id").alias("station"),
                pl.col("parameter").alias("name"),
                pl.col("units").alias("unit_native"),
                (hour + pl.duration(hours=1)).alias("ends"),
                maintain_order=True,
            )
            .agg(
                pl.col("number").mean().alias("value_native"),
                pl.lit(None, pl.Float64).first().alias("coverage"),
                pl.col("twice").any().alias("duplicate"),
            )
            .join(asked, on="answer", how="left", maintain_order="left")
        )
        self.drafts.append(hours.select(_DRAFT.names()))

    def _close_batch(self) -> None:
        self.drafts.append(pl.DataFrame(self.rows, schema=_DRAFT, orient="row"))
        self.rows = []

    def parsed(self) -> Parsed:
        """Everything added, by station and hour."""
        self._close_batch()
        self._close_files()
        known = _sensors(self.locations, Problems())
        unreadable = tuple(
            sorted(
                {
                    known[int(name)].station if name.isdecimal() and int(name) in known else name
                    for name in self.troubled - self.read
                }
            )
        )
        return Parsed(self._versions(known), self.problems, unreadable)

    def _versions(self, known: dict[int, Sensor]) -> pl.DataFrame:
        draft = pl.concat(self.drafts)
        listed = pl.DataFrame(
            [
                (sensor.sensor_id, sensor.station, sensor.parameter, sensor.unit)
                for sensor in known.values()
            ],
            schema={
                "sensor": pl.Int64(),
                "listed_station": pl.String(),
                "listed_parameter": pl.String(),
                "listed_unit": pl.String(),
            },
            orient="row",
        )
        rows = draft.join(listed, on="sensor", how="left", maintain_order="left").with_columns(
            pl.coalesce("station", "listed_station").alias("station_id"),
            pl.coalesce(
                pl.col("name").replace_strict(NAMES, default=None, return_dtype=pl.String()),
                pl.when(pl.col("name").is_null()).then("listed_parameter"),
            ).alias("parameter"),
            pl.coalesce("unit_native", "listed_unit").alias("unit_native"),
            hour=pl.col("ends") - pl.duration(hours=1),
        )
        # Of the whole world's latest values most are strangers; asked for by number, none is.
        strangers = (
            rows.filter(pl.col("station_id").is_null(), pl.col("name").is_not_null())
            .group_by("sensor", maintain_order=True)
            .len()
        )
        for sensor, count in strangers.iter_rows():
            self.problems.add(str(sensor), "unknown_sensor", "in no location's answer", count)
        rows = rows.filter(
            pl.col("station_id").is_not_null(),
            pl.col("parameter").is_not_null(),
            pl.col("hour").is_between("start", "end", closed="left"),
        )
        keys = ["sensor", "hour", "pulled_at", "start", "end"]
        rows = rows.with_columns(
            duplicate=pl.col("duplicate") | pl.struct(keys).is_duplicated()
        ).unique(keys, keep="last", maintain_order=True)
        rows = _one_sensor_an_hour(rows)
        versions = rows.select(
            pl.col("station_id").cast(pl.Categorical()),
            pl.col("parameter").cast(PARAMETER),
            "hour",
            "value_native",
            pl.col("unit_native").cast(pl.Categorical()),
            "coverage",
            pl.col("sensor").cast(pl.String()).cast(pl.Categorical()).alias("sensor_id"),
            "duplicate",
            "pulled_at",
        )
        return complete_hours(versions)


def _one_sensor_an_hour(rows: pl.DataFrame) -> pl.DataFrame:
    """Of several sensors of a station and parameter, one speaks for each hour.

    One that reports in the canonical unit before others, then the newest, by its number.
    """
    pairs = rows.select("parameter", "unit_native").unique()
    canonical = pl.DataFrame(
        [(p, u, to_canonical(p, u) == (1.0, 0.0)) for p, u in pairs.iter_rows()],
        schema={"parameter": pl.String(), "unit_native": pl.String(), "canonical": pl.Boolean()},
        orient="row",
    )
    ranked = rows.join(
        canonical, on=["parameter", "unit_native"], how="left", maintain_order="left"
    ).with_columns(rank=pl.col("canonical").cast(pl.Int64) * (1 << 52) + pl.col("sensor"))
    best = pl.col("rank").max().over("station_id", "parameter", "hour")
    return ranked.filter(pl.col("rank") == best)


def _read(answer: RawAnswer, kind: type[Row], problems: Problems) -> list[Row]:
    """Rows of an answer; those of another form are counted and left out."""
    try:
        return msgspec.json.decode(answer.body, type=_Page[kind]).results  # type: ignore[valid-type]
    except msgspec.DecodeError:
        return _read_leniently(answer, kind, problems)


def _read_leniently(answer: RawAnswer, kind: type[Row], problems: Problems) -> list[Row]:
    try:
        body = msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        problems.add(_subject(answer.url), "not_json", f"{error}: {answer.body[:60]}")
        return []
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list):
        problems.add(_subject(answer.url), "no_results", answer.body)
        return []
    rows = []
    for result in results:
        try:
            rows.append(msgspec.convert(result, kind))
        except msgspec.ValidationError as error:
            problems.add(_subject(answer.url), "row_form", f"{error}: {result}")
    return rows


def _legible(pull: Pull) -> Pull:
    """The pull of locations, failed where not one of them can be read."""
    problems = Problems()
    if pull.failure is not None or pull.answer is None or _listed(pull.answer, problems):
        return pull
    for example in problems.examples.values():
        message = (
            f"{TITLE}'s locations no longer have the known form ({example}): mend the client's "
            "parser, then run this again."
        )
        return replace(pull, failure=PermanentFailure(message))
    return pull


def _sensors(answers: Iterable[RawAnswer], problems: Problems) -> dict[int, Sensor]:
    """Sensors of the locations that measure something we know; a newer answer wins."""
    found: dict[int, Sensor] = {}
    for answer in sorted(answers, key=lambda one: one.pulled_at):
        for location in _listed(answer, problems):
            for sensor in location.sensors:
                parameter = NAMES.get(sensor.parameter.name)
                if parameter is not None:
                    found[sensor.id] = Sensor(
                        sensor.id,
                        str(location.id),
                        parameter,
                        sensor.parameter.units,
                        sensor.parameter.id,
                    )
    return found


def _describe(location: _Location) -> Station:
    position = location.coordinates or {}
    names = {NAMES.get(sensor.parameter.name) for sensor in location.sensors}
    return Station(
        str(location.id),
        name=location.name,
        latitude=_number(position.get("latitude")),
        longitude=_number(position.get("longitude")),
        country=_text(location.country, "code"),
        city=location.locality if location.locality != "N/A" else None,
        timezone=location.timezone,
        parameters=tuple(sorted(name for name in names if name is not None)),
        attribution=_attribution(location),
    )


def _attribution(location: _Location) -> str:
    """Whom the licences ask to name: the provider, each licence with its holder, OpenAQ."""
    parts = [_text(location.provider, "name")]
    for licence in location.licenses or []:
        holder = _text(licence.get("attribution"), "name")
        name = _text(licence, "name")
        parts.append(f"{holder} ({name})" if holder and name else holder or name)
    if not location.licenses:
        parts.append(_text(location.owner, "name"))
    named = dict.fromkeys(part for part in parts if part)
    return "; ".join([*named, "via OpenAQ (https://openaq.org)"])


def _text(found: object, key: str) -> str | None:
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _area_question(area: Area) -> dict[str, str]:
    """The area as the interface can be asked for it."""
    metres = area.radius_km * 1000
    if metres <= RADIUS_METRES:
        return {
            "coordinates": f"{area.latitude:.4f},{area.longitude:.4f}",
            "radius": str(math.ceil(metres)),
        }
    height = math.degrees(metres / _EARTH_METRES)
    south, north = max(-90.0, area.latitude - height), min(90.0, area.latitude + height)
    # The widest part of the circle; around a pole every longitude.
    narrowest = math.cos(math.radians(max(abs(south), abs(north))))
    width = min(180.0, height / narrowest) if narrowest > 1e-6 else 180.0
    west, east = max(-180.0, area.longitude - width), min(180.0, area.longitude + width)
    return {"bbox": f"{west:.4f},{south:.4f},{east:.4f},{north:.4f}"}


def _listed(answer: RawAnswer, problems: Problems) -> list[_Location]:
    """Locations of an answer, within the circle that was meant if there was one."""
    locations = _read(answer, _Location, problems)
    circle = urlparse(answer.url).fragment
    if not circle:
        return locations
    latitude, longitude, radius_km = (float(number) for number in circle.split(","))
    # Coordinates are cut to four decimals on the way: ten metres to spare.
    reach = radius_km * 1000 + 10
    return [one for one in locations if _metres(one, latitude, longitude) <= reach]


def _metres(location: _Location, latitude: float, longitude: float) -> float:
    """Distance of a location from a point; endless where it has no position."""
    position = location.coordinates or {}
    its_latitude, its_longitude = (_number(position.get(k)) for k in ("latitude", "longitude"))
    if its_latitude is None or its_longitude is None:
        return math.inf
    here, there = math.radians(latitude), math.radians(its_latitude)
    across = math.sin(math.radians(its_longitude - longitude) / 2) ** 2
    half = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * across
    return 2 * _EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))


def _zulu(moment: datetime) -> str:
    """With its Z: a time without a zone is taken for the station's local one."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _hour_ending(ends: datetime) -> datetime | None:
    """Start of the hour that ends then; None where no hour does."""
    whole = ends.minute == ends.second == ends.microsecond == 0
    return ends - HOUR if whole else None


def _share(coverage: _Coverage | None) -> float | None:
    """Part of the hour that was measured; None where the number can be no share."""
    if coverage is None:
        return None
    percent = coverage.percent_coverage
    if percent is None:
        percent = coverage.percent_complete
    return percent / 100 if percent is not None and 0 <= percent <= 100 else None


def _rows_in(body: str) -> int:
    try:
        return len(msgspec.json.decode(body, type=_Page[msgspec.Raw]).results)
    except msgspec.DecodeError:
        return 0


def _subject(url: str) -> str:
    """The id in an address: of a sensor, a location or a parameter."""
    numbers = re.findall(r"(?:/|locationid=)(\d+)", urlparse(url).path)
    return numbers[-1] if numbers else "area"


def _what_is_wrong(response: httpx.Response) -> str | None:
    """Only what asking again may mend: a whole body with bad records is kept and counted."""
    try:
        msgspec.json.decode(response.content, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        start = response.text.lstrip()[:40]
        if start.startswith("<"):
            return f"HTML instead of JSON ({start!r}…)"
        return f"not whole JSON ({error})" if start else "an empty body"
    return None


_WITHOUT_KEY = "Set AQ_OPENAQ_API_KEY (https://explore.openaq.org/register gives keys out)."
_REFUSALS = {
    401: "Check AQ_OPENAQ_API_KEY.",
    403: "OpenAQ has blocked this AQ_OPENAQ_API_KEY: write to dev@openaq.org.",
    410: "That version of the interface is retired: AQ_OPENAQ_URL must end in /v3.",
}


def _explain(response: httpx.Response, *, with_key: bool) -> str:
    if response.status_code == 401 and not with_key:
        return _WITHOUT_KEY
    if response.status_code == 404 and "/locations/" in response.url.path:
        station = _subject(str(response.url))
        return f"OpenAQ knows no location {station!r}: correct networks.openaq.stations."
    if response.status_code == 422:
        return f"It says: {_complaint(response.text)}"
    return _REFUSALS.get(response.status_code, "")


def _complaint(text: str) -> str:
    """What a 422 complains of; it comes as a list, as text, and as JSON within text."""
    try:
        body = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text[:200]
    detail = body.get("detail", body) if isinstance(body, dict) else body
    if isinstance(detail, list):
        said = [_text(part, "msg") for part in detail]
        detail = "; ".join(part for part in said if part) or detail
    return str(detail)[:200]
