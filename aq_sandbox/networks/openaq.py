"""OpenAQ v3 and its archive, quirks included.

Hour-ending stamps and windows that leave out their beginning; `found` that may be text; empty
hours as rows without a value; local time for a question without a zone; limits that are given in
seconds left. A key is always wanted. An exact answer set for `openaq/limit` is the number of
requests allowed in a calendar minute; one set for a sensor's id is served as its hours.
"""

import csv
import gzip
import io
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from aq_sandbox.config import SandboxConfig
from aq_sandbox.generator import station_hours
from aq_sandbox.noise import chance
from aq_sandbox.openaq_recordings import read_recordings
from aq_sandbox.replay import folder_of
from aq_sandbox.state import Sandbox

KEY = "sandbox-key"
LIMIT = 1_000_000
"""Requests a minute, unless a test says otherwise: a demo need not wait."""
ARCHIVE_PATH = "/openaq-archive"
_ARCHIVED_AFTER = timedelta(hours=72)
_HOUR = timedelta(hours=1)
_FILE = re.compile(
    r"records/csv\.gz/locationid=(?P<id>\d+)/year=(?P<year>\d{4})/month=(?P<month>\d\d)/"
    r"location-(?P=id)-(?P<day>\d{8})\.csv\.gz"
)
_HEADER = (
    *("location_id", "sensors_id", "location", "datetime", "lat", "lon"),
    *("parameter", "units", "value"),
)

# Id -> (name, units, display name).
_PARAMETERS: dict[int, tuple[str, str, str | None]] = {
    1: ("pm10", "µg/m³", "PM10"),
    2: ("pm25", "µg/m³", "PM2.5"),
    4: ("co", "µg/m³", None),
    7: ("no2", "ppm", "NO₂"),
    98: ("relativehumidity", "%", None),
    100: ("temperature", "c", None),
    125: ("um003", "particles/cm³", None),
    128: ("temperature", "f", None),
}
# Parameter -> (the generator's field, scale, offset).
_SOURCE = {
    1: ("PM10", 1.0, 0.0),
    2: ("PM2.5", 1.0, 0.0),
    4: ("CO", 1000.0, 0.0),
    7: ("NO2", 1 / 1912.5, 0.0),
    98: ("RH", 1.0, 0.0),
    100: ("T", 1.0, 0.0),
    125: ("PM2.5", 3.0, 0.0),
    128: ("T", 1.8, 32.0),
}
_REAL = {
    2178: ("Del Norte", "Albuquerque", "America/Denver", (13, "US"), 35.1353, -106.584702),
    8118: ("New Delhi", "India", "Asia/Kolkata", (9, "IN"), 28.63576, 77.22445),
    7440: ("Viet Nam", None, "Asia/Ho_Chi_Minh", (56, "VN"), 10.7829, 106.7006),
}
_FIRST_MADE_UP = 900_001
_COUNTRIES = {9: ("IN", "India"), 13: ("US", "United States of America"), 56: ("VN", "Vietnam")}
_COUNTRIES[152] = ("GH", "Ghana")


@dataclass(frozen=True)
class _Location:
    location_id: int
    name: str
    locality: str | None
    zone: ZoneInfo
    country: tuple[int, str]
    latitude: float
    longitude: float

    @property
    def sensors(self) -> dict[int, int]:
        """Sensor id -> parameter id; every other station tells the temperature in Fahrenheit."""
        warmth = 128 if self.location_id % 2 else 100
        parameters = (2, 1, 4, 7, warmth, 98, 125)
        return {self.location_id * 10 + place: one for place, one in enumerate(parameters)}


def _location(location_id: int) -> _Location:
    if location_id in _REAL:
        name, locality, zone, country, latitude, longitude = _REAL[location_id]
    else:
        name, locality, zone = f"Accra {location_id}", "Accra", "Africa/Accra"
        country = (152, "GH")
        latitude = round(5.6037 + 0.2 * (chance(location_id, "latitude") - 0.5), 6)
        longitude = round(-0.187 + 0.2 * (chance(location_id, "longitude") - 0.5), 6)
    return _Location(location_id, name, locality, ZoneInfo(zone), country, latitude, longitude)


def location_ids(n: int) -> list[int]:
    """The first `n` locations: three real ones, then made-up ones without end."""
    real = list(_REAL)[:n]
    return real + [_FIRST_MADE_UP + number for number in range(n - len(real))]


def environment(base_url: str, _config: SandboxConfig) -> dict[str, str]:
    """The settings that point the platform here."""
    return {
        "AQ_OPENAQ_URL": base_url + "/v3",
        "AQ_OPENAQ_API_KEY": KEY,
        "AQ_OPENAQ_ARCHIVE": base_url + ARCHIVE_PATH,
        "AQ_OPENAQ_REQUESTS_PER_MINUTE": str(LIMIT),
        "AQ_OPENAQ_REQUESTS_PER_HOUR": str(60 * LIMIT),
    }


def routes(sandbox: Sandbox) -> list[Route]:
    """Routes of OpenAQ's interface and of its archive."""
    server = _OpenAQ(sandbox)
    return [
        Route("/v3/countries", server.guard(server.countries)),
        Route("/v3/parameters", server.guard(server.parameters)),
        Route("/v3/parameters/{id:int}/latest", server.guard(server.latest)),
        Route("/v3/locations", server.guard(server.locations)),
        Route("/v3/locations/{id:int}", server.guard(server.location)),
        Route("/v3/locations/{id:int}/latest", server.guard(server.location_latest)),
        Route("/v3/sensors/{id:int}/hours", server.guard(server.hours)),
        Route("/v2/{rest:path}", _gone),
        Route(ARCHIVE_PATH + "/{key:path}", server.archive),
    ]


class _BadQuestionError(ValueError):
    """Answered with 422."""


_Answer = Callable[[Request], Response]


class _Source(Protocol):
    """Where the bodies come from: made up, or recorded (`Recordings`)."""

    def ids(self) -> list[int]: ...

    def location(self, number: int) -> dict[str, Any] | None: ...

    def location_of(self, sensor: int) -> dict[str, Any] | None: ...

    def hours(self, sensor: int, start: datetime, end: datetime) -> Sequence[object]: ...

    def newest(self, location: dict[str, Any], now: datetime) -> Iterator[dict[str, Any]]: ...

    def parameters(self) -> list[dict[str, Any]]: ...

    def countries(self) -> list[dict[str, Any]]: ...

    def file(self, location: int, day: str) -> bytes | None: ...


class _OpenAQ:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._made_up = _MadeUp(sandbox)
        self._minute = 0
        self._used = 0

    @property
    def _source(self) -> _Source:
        replay = self._sandbox.config.replay
        return self._made_up if replay is None else read_recordings(folder_of(replay, "openaq"))

    def guard(self, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint behind the key and the limit."""

        async def guarded(request: Request) -> Response:
            key = request.headers.get("X-API-Key")
            if key is None:
                return JSONResponse({"message": "Unauthorized. A valid API key is needed."}, 401)
            if key != KEY:
                return JSONResponse({"detail": "Invalid credentials"}, 401)
            headers, refused = self._count()
            if refused:
                return JSONResponse({"detail": "Too many requests"}, 429, headers)
            try:
                response = answer(request)
            except _BadQuestionError as error:
                detail = [{"loc": ["query"], "msg": str(error), "type": "value_error"}]
                response = JSONResponse({"detail": detail}, 422)
            response.headers.update(headers)
            return response

        return guarded

    def _count(self) -> tuple[dict[str, str], bool]:
        """A fixed calendar minute of the real clock, as upstream counts."""
        limit = int(self._sandbox.answers.get("openaq/limit", LIMIT))
        now = time.time()
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        refused = self._used >= limit
        self._used += not refused
        headers = {
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-used": str(self._used),
            "x-ratelimit-remaining": str(max(0, limit - self._used)),
            "x-ratelimit-reset": str(math.ceil(60 - now % 60)),
        }
        return headers, refused

    def countries(self, request: Request) -> Response:
        return _page(request, self._source.countries())

    def parameters(self, request: Request) -> Response:
        return _page(request, self._source.parameters())

    def location(self, request: Request) -> Response:
        location = self._source.location(request.path_params["id"])
        if location is None:
            return JSONResponse({"detail": "Location not found"}, 404)
        return _page(request, [location])

    def locations(self, request: Request) -> Response:
        found = self._all()
        asked = request.query_params
        if "bbox" in asked:
            west, south, east, north = _numbers(asked["bbox"], 4)
            found = [
                one
                for one in found
                if south <= one["coordinates"]["latitude"] <= north
                and west <= one["coordinates"]["longitude"] <= east
            ]
        if "coordinates" in asked:
            latitude, longitude = _numbers(asked["coordinates"], 2)
            radius = float(asked.get("radius", 1000))
            if not (abs(latitude) <= 90 and 0 < radius <= 25_000):
                raise _BadQuestionError("radius must be within 25000")
            found = [one for one in found if _metres(one, latitude, longitude) <= radius]
        return _page(request, found)

    def hours(self, request: Request) -> Response:
        sensor = request.path_params["id"]
        exact = self._sandbox.answers.get(str(sensor))
        if exact is not None:
            return Response(exact, media_type="application/json")
        location = self._source.location_of(sensor)
        if location is None:
            return JSONResponse({"detail": "Sensor not found"}, 404)
        asked = request.query_params
        now, zone = self._now(), ZoneInfo(location["timezone"])
        start = _moment(asked.get("datetime_from", "2016-01-01"), zone)
        end = min(_moment(asked["datetime_to"], zone) if "datetime_to" in asked else now, now)
        return _page(request, self._source.hours(sensor, start, end))

    def latest(self, request: Request) -> Response:
        parameter = request.path_params["id"]
        if all(parameter != known["id"] for known in self._source.parameters()):
            return JSONResponse({"detail": "Parameter not found"}, 404)
        asked = request.query_params
        since = _moment(asked.get("datetime_min", "1900-01-01"), ZoneInfo("UTC"))
        rows = []
        for location in self._all():
            measured = {one["id"]: one["parameter"]["id"] for one in location["sensors"]}
            rows += [
                row
                for row in self._source.newest(location, self._now())
                if measured[row["sensorsId"]] == parameter
                and datetime.fromisoformat(row["datetime"]["utc"]) >= since
            ]
        return _page(request, rows)

    def location_latest(self, request: Request) -> Response:
        location = self._source.location(request.path_params["id"])
        if location is None:
            return JSONResponse({"detail": "Location not found"}, 404)
        return _page(request, list(self._source.newest(location, self._now())))

    async def archive(self, request: Request) -> Response:
        """One day's file of a location, without a key; written 72 hours after the local day."""
        found = _FILE.fullmatch(request.path_params["key"])
        body = None if found is None else self._source.file(int(found["id"]), found["day"])
        if body is None:
            return PlainTextResponse("<Error><Code>NoSuchKey</Code></Error>", 404)
        return Response(body, media_type="binary/octet-stream")

    def _all(self) -> list[dict[str, Any]]:
        source = self._source
        return [one for number in source.ids() if (one := source.location(number)) is not None]

    def _now(self) -> datetime:
        return self._sandbox.clock.now()


class _MadeUp:
    """Locations and readings that no one measured."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def ids(self) -> list[int]:
        return location_ids(self._sandbox.config.stations)

    def location(self, number: int) -> dict[str, Any] | None:
        return _describe(_location(number)) if number in self.ids() else None

    def location_of(self, sensor: int) -> dict[str, Any] | None:
        number = sensor // 10
        known = number in self.ids() and sensor in _location(number).sensors
        return self.location(number) if known else None

    def hours(self, sensor: int, start: datetime, end: datetime) -> list[object]:
        location = _location(sensor // 10)
        parameter = location.sensors[sensor]
        return [
            _hour(location, parameter, stamp, value)
            for stamp, value in self._stamped(location, parameter, start, end, gaps=True)
        ]

    def newest(self, location: dict[str, Any], now: datetime) -> Iterator[dict[str, Any]]:
        """The newest value of every sensor: neither parameter nor unit, which the sensor tells."""
        made_up = _location(location["id"])
        for sensor, parameter in made_up.sensors.items():
            recent = list(self._stamped(made_up, parameter, now - 12 * _HOUR, now))
            if recent:
                stamp, value = recent[-1]
                yield {
                    "datetime": _both(stamp, made_up.zone),
                    "value": value,
                    "coordinates": location["coordinates"],
                    "sensorsId": sensor,
                    "locationsId": location["id"],
                }

    def parameters(self) -> list[dict[str, Any]]:
        return [{**_parameter(one), "description": None} for one in _PARAMETERS]

    def countries(self) -> list[dict[str, Any]]:
        return [
            {
                "id": number,
                "code": code,
                "name": name,
                # Plain text here, an object everywhere else.
                "datetimeFirst": "2016-01-30T01:00:00Z",
                "datetimeLast": _utc(self._now()),
                "parameters": [_parameter(one) for one in _PARAMETERS],
            }
            for number, (code, name) in sorted(_COUNTRIES.items())
        ]

    def file(self, location_id: int, day: str) -> bytes | None:
        if location_id not in self.ids():
            return None
        location = _location(location_id)
        first = datetime.strptime(day, "%Y%m%d").replace(tzinfo=location.zone)
        start, end = first.astimezone(UTC), (first + timedelta(days=1)).astimezone(UTC)
        if end + _ARCHIVED_AFTER > self._now():
            return None
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
        writer.writerow(_HEADER)
        rows = 0
        for sensor, parameter in location.sensors.items():
            for stamp, value in self._stamped(location, parameter, start, end):
                writer.writerow(
                    [
                        location_id,
                        sensor,
                        f"{location.name}-{location_id}",
                        stamp.astimezone(location.zone).isoformat(),
                        location.latitude,
                        location.longitude,
                        *_PARAMETERS[parameter][:2],
                        value,
                    ]
                )
                rows += 1
        return gzip.compress(text.getvalue().encode(), mtime=0) if rows else None

    def _stamped(
        self,
        location: _Location,
        parameter: int,
        start: datetime,
        end: datetime,
        *,
        gaps: bool = False,
    ) -> Iterator[tuple[datetime, float | None]]:
        """Values with hour-ending stamps in (start, end], of local hours that are over."""
        field, scale, offset = _SOURCE[parameter]
        end = min(end, self._now())
        # Local hours of zones of half hours end that much later than those of UTC.
        offset_from_utc = start.astimezone(location.zone).utcoffset() or timedelta(0)
        later = -offset_from_utc % _HOUR
        # An hour that ends after `start` began less than an hour before it.
        first = (start - later).replace(minute=0, second=0, microsecond=0)
        readings = station_hours(
            str(location.location_id), first, end, self._sandbox.config.seed, self._now()
        )
        before: datetime | None = None
        for hour, value in zip(
            readings.hours.tolist(), readings.values[field].tolist(), strict=True
        ):
            stamp = datetime.fromtimestamp((hour + 1) * 3600, UTC) + later
            if not start < stamp <= end or np.isnan(value):
                continue
            while gaps and before is not None and (before := before + _HOUR) < stamp:
                yield before, None
            before = stamp
            yield stamp, round(value * scale + offset, 6)

    def _now(self) -> datetime:
        return self._sandbox.clock.now()


def _describe(one: _Location) -> dict[str, Any]:
    return {
        "id": one.location_id,
        "name": one.name,
        "locality": one.locality,
        "timezone": one.zone.key,
        "country": {
            "id": one.country[0],
            "code": one.country[1],
            "name": _COUNTRIES[one.country[0]][1],
        },
        "owner": {"id": 4, "name": "Unknown Governmental Organization"},
        "provider": {"id": 119, "name": "AirNow"},
        "isMobile": False,
        "isMonitor": True,
        "instruments": [{"id": 2, "name": "Government Monitor"}],
        "sensors": [
            {
                "id": sensor,
                "name": " ".join(_PARAMETERS[parameter][:2]),
                "parameter": _parameter(parameter),
            }
            for sensor, parameter in one.sensors.items()
        ],
        "coordinates": {"latitude": one.latitude, "longitude": one.longitude},
        "licenses": None
        if one.location_id == 7440
        else [
            {
                "id": 33,
                "name": "US Public Domain",
                "attribution": {"name": "Unknown Governmental Organization", "url": None},
                "dateFrom": "2016-01-30",
                "dateTo": None,
            }
        ],
        "bounds": [one.longitude, one.latitude, one.longitude, one.latitude],
        "distance": None,
        "datetimeFirst": None,
        "datetimeLast": None,
    }


async def _gone(_: Request) -> Response:
    return JSONResponse({"message": "Gone. Version 2 has been retired."}, 410)


def _page(request: Request, rows: Sequence[object]) -> Response:
    asked = request.query_params
    try:
        limit, page = int(asked.get("limit", 100)), int(asked.get("page", 1))
    except ValueError:
        raise _BadQuestionError("limit and page are numbers") from None
    if not (1 <= limit <= 1000 and page >= 1):
        raise _BadQuestionError("limit must be within 1 and 1000")
    part = rows[(page - 1) * limit : page * limit]
    found: int | str = len(rows) if len(rows) <= limit else f">{limit}"
    meta = {"name": "openaq-api", "website": "/", "page": page, "limit": limit, "found": found}
    return Response(
        msgspec.json.encode({"meta": meta, "results": part}), media_type="application/json"
    )


def _hour(
    location: _Location, parameter: int, stamp: datetime, value: float | None
) -> dict[str, object]:
    period = {
        "datetimeFrom": _both(stamp - _HOUR, location.zone),
        "datetimeTo": _both(stamp, location.zone),
    }
    return {
        "value": value,
        "flagInfo": {"hasFlags": False},
        "parameter": {**_parameter(parameter), "displayName": None},
        "period": {"label": "1hour", "interval": "01:00:00", **period},
        "coordinates": None,
        "summary": None,
        "coverage": {
            "expectedCount": 1,
            "expectedInterval": "01:00:00",
            "observedCount": 1,
            "observedInterval": "01:00:00",
            "percentComplete": 100.0,
            "percentCoverage": 100.0,
            **period,
        },
    }


def _parameter(number: int) -> dict[str, object]:
    name, units, shown = _PARAMETERS[number]
    return {"id": number, "name": name, "units": units, "displayName": shown}


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _both(moment: datetime, zone: ZoneInfo) -> dict[str, str]:
    return {"utc": _utc(moment), "local": moment.astimezone(zone).isoformat()}


def _moment(text: str, zone: ZoneInfo) -> datetime:
    """A time without a zone is the station's own."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _BadQuestionError(f"{text!r} is no time") from None
    return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise _BadQuestionError(f"{text!r} is not {count} numbers")
    return numbers


def _metres(one: dict[str, Any], latitude: float, longitude: float) -> float:
    place = one["coordinates"]
    north = math.radians(place["latitude"] - latitude)
    east = math.radians(place["longitude"] - longitude) * math.cos(math.radians(latitude))
    return 6_371_000 * math.hypot(north, east)
