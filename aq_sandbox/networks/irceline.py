"""IRCELINE: the 52°North timeseries interface, quirks included.

Stations are a bare list with positions `[lon, lat, "NaN"]`; a station's id is a number, a series'
id text. Stamps mark the hour's end, and both ends of a time span count. A station has an older and
a newer series of PM10; some series are empty; a unit has two spellings, and CO two units.

Where the real interface is not known, the sandbox does what asks most of a client: the hour in
progress is shown, a span of more than a year is refused, and a question that names one series it
does not have is refused as a whole. An exact answer is served by the id of its series; an empty one
makes that series one that the list has and the data has not.
"""

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aq_sandbox.config import SandboxConfig
from aq_sandbox.generator import station_hours
from aq_sandbox.noise import chance, stream, uniform
from aq_sandbox.replay import folder_of
from aq_sandbox.state import Sandbox

_BASE = "/sos/api/v1"
_BELGIUM = ZoneInfo("Europe/Brussels")
_HOUR_MS = 3_600_000
_LONGEST = timedelta(days=366)
_RECENT = timedelta(hours=24)
_BEGAN = datetime(1990, 1, 1, tzinfo=UTC)
_PERIOD = re.compile(r"P(?:(?P<days>\d+)D)?(?:T(?P<hours>\d+)[Hh])?")
_FIRST_MADE_UP = 9001
# The first stations have real names and places.
_REAL = (
    (1030, "40AL01 - Linkeroever", 51.2362, 4.3852),
    (1148, "42R802 - Borgerhout", 51.2095, 4.4318),
    (1234, "47E013 - Vorst", 50.8117, 4.3284),
)


@dataclass(frozen=True)
class _Phenomenon:
    phenomenon_id: str
    label: str


@dataclass(frozen=True)
class _Kind:
    """A series that a station may have: what it measures, and the generator's field times a factor.

    A share of the stations has it.
    """

    slot: int
    phenomenon: _Phenomenon
    procedure: str
    field: str
    factor: float
    share: float = 1.0
    uoms: tuple[str, ...] = ("µg/m³", "ug/m3")


_PM10 = _Phenomenon("5", "Particulate Matter < 10 µm")
_PM25 = _Phenomenon("6001", "Particulate Matter < 2.5 µm")
_KINDS = (
    _Kind(0, _PM10, "DAILY CORRECTION TEOM", "PM10", 1.1, 0.4),
    _Kind(1, _PM10, "FIDAS 200", "PM10", 1.0),
    _Kind(2, _PM25, "FIDAS 200", "PM2.5", 1.0),
    _Kind(3, _Phenomenon("8", "Nitrogen dioxide"), "Unknown device", "NO2", 1.0),
    _Kind(4, _Phenomenon("7", "Ozone"), "Unknown device", "O3", 1.0, 0.6),
    _Kind(5, _Phenomenon("391", "Black Carbon"), "THIS 42C", "PM2.5", 0.08, 0.5),
    _Kind(6, _Phenomenon("20", "Benzene"), "Airmotec 1000", "NO2", 0.04, 0.3),
    _Kind(7, _Phenomenon("6002", "Particulate Matter < 1 µm"), "FIDAS 200", "", 0.0, 0.5),
    _Kind(
        8,
        _Phenomenon("10", "Carbon Monoxide"),
        "",
        "CO",
        1.0,
        0.3,
        ("mg/m3", "ug/m3"),
    ),
)
# The newer of a station's two series of PM10, which has gaps that the older has not.
_NEWER = 1
_SLOTS = 16
_SERIES_START = 10_000


@dataclass(frozen=True)
class _Station:
    station_id: int
    label: str
    latitude: float
    longitude: float
    kinds: tuple[_Kind, ...]

    def feature(self) -> dict[str, Any]:
        return {
            "properties": {"id": self.station_id, "label": self.label},
            "geometry": {"coordinates": [self.longitude, self.latitude, "NaN"], "type": "Point"},
            "type": "Feature",
        }


@dataclass(frozen=True)
class _Series:
    series_id: str
    station: _Station
    kind: _Kind

    @property
    def uom(self) -> str:
        return self.kind.uoms[self.station.station_id % len(self.kind.uoms)]

    def parameters(self) -> dict[str, Any]:
        procedure = f"{self.series_id} - {self.kind.procedure} - procedure"
        phenomenon = {
            "id": self.kind.phenomenon.phenomenon_id,
            "label": self.kind.phenomenon.label,
        }
        return {
            "service": {"id": "1", "label": "IRCEL - CELINE: timeseries-api (SOS 2.0)"},
            "offering": {"id": self.series_id, "label": procedure},
            "feature": {"id": str(self.station.station_id), "label": self.station.label},
            "procedure": {"id": self.series_id, "label": procedure},
            "phenomenon": phenomenon,
            "category": phenomenon,
        }

    def values(self, first: datetime, last: datetime, seed: int, now: datetime) -> list[Any]:
        """Points stamped from `first` to `last`, both included, as published at `now`."""
        if not self.kind.field:
            return []
        hour = timedelta(hours=1)
        begin, end = max(first - hour, _BEGAN), min(last - hour, now) + timedelta(seconds=1)
        if end <= begin:
            return []
        readings = station_hours(f"irceline {self.station.station_id}", begin, end, seed, now)
        scale = self.kind.factor * (
            1000.0 if self.uom == "ug/m3" and self.kind.field == "CO" else 1
        )
        values = np.where(
            readings.values[self.kind.field] <= -99.9,
            -99.9,
            np.round(readings.values[self.kind.field] * scale, 3),
        )
        if self.kind.slot == _NEWER:
            values[uniform(stream(seed, self.series_id, "gap"), readings.hours) < 0.03] = np.nan
        stamps = (readings.hours + 1) * _HOUR_MS
        return [
            {"timestamp": stamp, "value": None if math.isnan(value) else value}
            for stamp, value in zip(stamps.tolist(), values.tolist(), strict=True)
        ]


def environment(base_url: str, config: SandboxConfig) -> dict[str, str]:  # noqa: ARG001
    """The setting that points the platform here."""
    return {"AQ_IRCELINE_URL": base_url + _BASE}


def routes(sandbox: Sandbox) -> list[Route]:
    """Routes of IRCELINE's stations, series and data."""
    server = _Irceline(sandbox)
    return [
        Route(f"{_BASE}/stations", server.stations),
        Route(f"{_BASE}/stations/{{station_id}}", server.station),
        Route(f"{_BASE}/phenomena", server.phenomena),
        Route(f"{_BASE}/timeseries", server.series),
        Route(f"{_BASE}/timeseries/getData", server.data, methods=["POST"]),
        Route(f"{_BASE}/timeseries/{{series_id}}/getData", server.data_of_one),
    ]


@lru_cache(maxsize=8)
def _made_up(n: int) -> tuple[_Series, ...]:
    """The series of the first `n` stations."""
    found = []
    for place in range(n):
        if place < len(_REAL):
            number, label, latitude, longitude = _REAL[place]
        else:
            number = _FIRST_MADE_UP + place - len(_REAL)
            label = f"99X{place:03d} - Dorp {place} (Straat)"
            latitude = round(49.9 + 1.4 * chance(number, "latitude"), 6)
            longitude = round(3.0 + 2.9 * chance(number, "longitude"), 6)
        kinds = tuple(
            kind
            for kind in _KINDS
            # The first station has everything: a sandbox of any size shows all.
            if place == 0 or chance(number, kind.slot, "has") < kind.share
        )
        station = _Station(number, label, latitude, longitude, kinds)
        first = _SERIES_START + place * _SLOTS
        found += [_Series(str(first + kind.slot), station, kind) for kind in kinds]
    return tuple(found)


class _Irceline:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def _series(self) -> tuple[_Series, ...]:
        return _made_up(self._sandbox.config.stations)

    async def stations(self, request: Request) -> Response:
        if (recorded := self._recorded()) is not None:
            return _json(recorded.stations)
        near = request.query_params.get("near")
        features: dict[int, dict[str, Any]] = {}
        for one in self._series:
            if near is None or _is_near(one.station, json.loads(near)):
                feature = features.setdefault(one.station.station_id, one.station.feature())
                if request.query_params.get("expanded") == "true":
                    series = feature["properties"].setdefault("timeseries", {})
                    series[one.series_id] = one.parameters()
        return _json(list(features.values()))

    async def station(self, request: Request) -> Response:
        asked = request.path_params["station_id"]
        own = [one for one in self._series if str(one.station.station_id) == asked]
        if not own:
            return _refused(404, f"Resource with id '{asked}' could not be found.")
        feature = own[0].station.feature()
        feature["properties"]["timeseries"] = {one.series_id: one.parameters() for one in own}
        return _json(feature)

    async def phenomena(self, _: Request) -> Response:
        found = {kind.phenomenon.phenomenon_id: kind.phenomenon.label for kind in _KINDS}
        return _json([{"id": number, "label": label} for number, label in found.items()])

    async def series(self, request: Request) -> Response:
        if (recorded := self._recorded()) is not None:
            return _json(recorded.series)
        station = request.query_params.get("station")
        phenomenon = request.query_params.get("phenomenon")
        expanded = request.query_params.get("expanded") == "true"
        return _json(
            [
                _entry(one, expanded=expanded)
                for one in self._series
                if station in (None, str(one.station.station_id))
                and phenomenon in (None, one.kind.phenomenon.phenomenon_id)
            ]
        )

    async def data(self, request: Request) -> Response:
        try:
            asked = _questions.decode(await request.body())
        except msgspec.DecodeError as error:
            return _refused(400, f"cannot read the question: {error}")
        return self._answer(asked.timeseries, asked.timespan)

    async def data_of_one(self, request: Request) -> Response:
        series_id = request.path_params["series_id"]
        answer = self._answer([series_id], request.query_params.get("timespan"))
        if answer.status_code != 200 or request.query_params.get("expanded") == "true":
            return answer
        return _json(msgspec.json.decode(bytes(answer.body))[series_id])

    def _answer(self, asked: list[str], timespan: str | None) -> Response:
        now = self._sandbox.clock.now()
        try:
            first, last = span(timespan, now)
        except ValueError as error:
            return _refused(400, f"cannot read the time span: {error}")
        if last - first > _LONGEST:
            return _refused(400, "Requested timespan is too long, please use a period shorter.")
        found: dict[str, msgspec.Raw] = {}
        for series_id in asked:
            values = self._values(series_id, first, last, now)
            if values is None:
                return _refused(404, f"Timeseries with id '{series_id}' could not be found.")
            found[series_id] = values
        return _json(found)

    def _values(
        self, series_id: str, first: datetime, last: datetime, now: datetime
    ) -> msgspec.Raw | None:
        exact = self._sandbox.answers.get(series_id)
        if exact is not None:
            return msgspec.Raw(exact.encode()) if exact else None
        if (recorded := self._recorded()) is not None:
            points = recorded.values.get(series_id)
            if points is None:
                return None
            begin, end = first.timestamp() * 1000, last.timestamp() * 1000
            inside = [point for point in points if begin <= point["timestamp"] <= end]
            return msgspec.Raw(msgspec.json.encode({"values": inside}))
        one = _by_id(self._sandbox.config.stations).get(series_id)
        if one is None:
            return None
        values = one.values(first, last, self._sandbox.config.seed, now)
        return msgspec.Raw(msgspec.json.encode({"values": values}))

    def _recorded(self) -> "_Recorded | None":
        folder = self._sandbox.config.replay
        return None if folder is None else _recorded(folder)


class _Question(msgspec.Struct):
    timeseries: list[str]
    timespan: str | None = None


_questions = msgspec.json.Decoder(_Question)


@lru_cache(maxsize=8)
def _by_id(n: int) -> dict[str, _Series]:
    return {one.series_id: one for one in _made_up(n)}


def span(text: str | None, now: datetime) -> tuple[datetime, datetime]:
    """First and last instant of `START/END`, `PERIOD/END` or `START/PERIOD`.

    A date alone is its midnight in Belgium.
    """
    if text is None:
        return now - _RECENT, now
    start, slash, end = text.partition("/")
    if not slash:
        raise ValueError(text)
    if start[:1] in "Pp":
        last = _moment(end)
        return last - _period(start), last
    first = _moment(start)
    return first, first + _period(end) if end[:1] in "Pp" else _moment(end)


def _moment(text: str) -> datetime:
    # "2024-01-01TZ" is tolerated, and is midnight UTC.
    text = re.sub(r"^(\d{4}-\d{2}-\d{2})TZ$", r"\1T00:00Z", text)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        day = datetime.fromisoformat(text).date()
        return datetime.combine(day, time(), _BELGIUM).astimezone(UTC)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _period(text: str) -> timedelta:
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return timedelta(days=int(match["days"] or 0), hours=int(match["hours"] or 0))


def _is_near(station: _Station, near: Any) -> bool:
    longitude, latitude = near["center"]["coordinates"][:2]
    north = (station.latitude - latitude) * 111.2
    east = (station.longitude - longitude) * 111.2 * math.cos(math.radians(latitude))
    return math.hypot(north, east) <= float(near["radius"])


def _entry(one: _Series, *, expanded: bool) -> dict[str, Any]:
    parameters = one.parameters()
    entry = {
        "id": one.series_id,
        "label": f"{parameters['phenomenon']['label']} {parameters['procedure']['label']}, "
        f"{one.station.label}",
        "uom": one.uom,
        "station": one.station.feature(),
    }
    return {**entry, "parameters": parameters} if expanded else entry


def _refused(status: int, reason: str) -> Response:
    return JSONResponse({"statusCode": status, "reason": "Error", "userMessage": reason}, status)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


# ------------------------------------------------------------------------------- recordings


@dataclass(frozen=True)
class _Recorded:
    """Recorded bodies of a folder, whatever each of them holds."""

    stations: list[Any]
    series: list[Any]
    values: dict[str, list[Any]]


def _recorded(folder: Path) -> _Recorded:
    """The recordings of a folder; read once for as long as no file is changed."""
    paths = sorted(folder_of(folder, "irceline").glob("*.json"))
    return _read(tuple((path, path.stat().st_mtime_ns) for path in paths))


@lru_cache(maxsize=4)
def _read(files: tuple[tuple[Path, int], ...]) -> _Recorded:
    stations: dict[Any, Any] = {}
    series: dict[str, Any] = {}
    values: dict[str, list[Any]] = {}
    for path, _ in files:
        content = json.loads(path.read_bytes())
        for feature in content if isinstance(content, list) else [content]:
            if isinstance(feature, dict) and "geometry" in feature:
                own = feature["properties"]
                stations[own["id"]] = {**feature, "properties": {**own}}
                for series_id, parameters in own.get("timeseries", {}).items():
                    series[series_id] = {
                        "id": series_id,
                        "uom": "µg/m³",
                        "station": {
                            **feature,
                            "properties": {"id": own["id"], "label": own["label"]},
                        },
                        "parameters": parameters,
                    }
        if isinstance(content, dict) and "geometry" not in content:
            values |= {
                name: entry["values"]
                for name, entry in content.items()
                if isinstance(entry, dict) and "values" in entry
            }
    # A series that is listed and was never recorded has no points.
    values |= {name: [] for name in series if name not in values}
    return _Recorded(list(stations.values()), list(series.values()), values)
