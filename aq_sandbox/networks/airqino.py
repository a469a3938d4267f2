"""AirQino: hourly averages, the catalogue and the token endpoint, quirks included.

Where the real interface is not known, the sandbox does what asks most of a client: a window counts
both its ends, the catalogue's ids are numbers, and its positions are the true ones that the
headers of the readings contradict.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aq_sandbox.config import SandboxConfig
from aq_sandbox.generator import FIELDS, Readings, station_hours
from aq_sandbox.keycloak import TokenDesk
from aq_sandbox.noise import chance
from aq_sandbox.replay import folder_of, read_recording, recordings
from aq_sandbox.state import Sandbox
from aq_sandbox.stations import Station, is_known, station, station_ids

_TOKEN_PATH = "/realms/airqino/protocol/openid-connect/token"
_CATALOGUE_PATH = "/api/station"
_DEFAULT_WINDOW = timedelta(days=365)
_NETWORK_BEGAN = datetime(1990, 1, 1, tzinfo=UTC)
"""No reading is older: a window from the year 1 must not cost two thousand years of them."""
_DATE = re.compile(r"\d{8}-\d{4}")


class _Row(msgspec.Struct):
    """A row in the network's own names and order; a silent sensor's key is left out."""

    timestamp: str
    co: float | msgspec.UnsetType = msgspec.field(name="CO")
    t: float | msgspec.UnsetType = msgspec.field(name="T")
    t_int: float | msgspec.UnsetType = msgspec.field(name="T. int.")
    no2: float | msgspec.UnsetType = msgspec.field(name="NO2")
    o3: float | msgspec.UnsetType = msgspec.field(name="O3")
    pm10: float | msgspec.UnsetType = msgspec.field(name="PM10")
    pm25: float | msgspec.UnsetType = msgspec.field(name="PM2.5")
    rh: float | msgspec.UnsetType = msgspec.field(name="RH")


def environment(base_url: str, config: SandboxConfig) -> dict[str, str]:
    """The settings that point the platform here; credentials only where they are asked for."""
    settings = {
        "AQ_AIRQINO_URL": base_url,
        "AQ_AIRQINO_TOKEN_URL": base_url + _TOKEN_PATH,
        "AQ_AIRQINO_CATALOGUE_URL": base_url + _CATALOGUE_PATH,
    }
    if config.auth:
        settings |= {
            "AQ_AIRQINO_USERNAME": config.username,
            "AQ_AIRQINO_PASSWORD": config.password,
            "AQ_AIRQINO_CLIENT_ID": config.client_id,
            "AQ_AIRQINO_CLIENT_SECRET": config.client_secret,
        }
    return settings


def routes(sandbox: Sandbox) -> list[Route]:
    """Routes of AirQino's data, catalogue and login."""
    server = _AirQino(sandbox)
    return [
        Route("/v3/getStationHourlyAvg/{station_id}", server.hourly_averages),
        Route(_CATALOGUE_PATH, server.catalogue),
        Route(_TOKEN_PATH, server.desk.token, methods=["POST"]),
    ]


class _AirQino:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.desk = TokenDesk(sandbox.config, sandbox.clock)

    async def hourly_averages(self, request: Request) -> Response:
        if not self.desk.admits(request):
            return JSONResponse({}, 401)
        station_id = request.path_params["station_id"]
        override = self._sandbox.answers.get(station_id)
        if override is not None:
            return Response(override, media_type="application/json")
        now = self._sandbox.clock.now()
        try:
            start, end = _window(request, now)
        except (ValueError, OverflowError):
            return JSONResponse({"error": "dates must be written YYYYmmdd-HHMM"}, 400)
        config = self._sandbox.config
        if config.replay is not None:
            recording = self._recordings(config.replay).get(station_id)
            body = None if recording is None else read_recording(recording).answer(start, end)
        elif is_known(station_id, config.stations):
            body = generated_answer(station_id, start, end, config.seed, now)
        else:
            body = None
        if body is None:
            return JSONResponse({"error": f"station {station_id} not found"}, 404)
        return Response(body, media_type="application/json")

    async def catalogue(self, request: Request) -> Response:
        if not self.desk.admits(request):
            return JSONResponse({}, 401)
        return JSONResponse([_catalogue_entry(one) for one in self._stations()])

    def _stations(self) -> list[Station]:
        config = self._sandbox.config
        if config.replay is None:
            ids = station_ids(config.stations)
        else:
            ids = list(self._recordings(config.replay))
        return [station(station_id) for station_id in ids]

    def _recordings(self, replay: Path) -> dict[str, Path]:
        return recordings(folder_of(replay, "airqino"), self._sandbox.config.fetched_by)


def _window(request: Request, now: datetime) -> tuple[datetime, datetime]:
    asked = request.query_params
    end = _date(asked["end_date"]) if "end_date" in asked else now
    start = _date(asked["start_date"]) if "start_date" in asked else end - _DEFAULT_WINDOW
    return start, end


def _date(text: str) -> datetime:
    # strptime alone would also take "2024011-0000".
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return datetime.strptime(text, "%Y%m%d-%H%M").replace(tzinfo=UTC)


def generated_answer(
    station_id: str, start: datetime, end: datetime, seed: int, now: datetime
) -> bytes:
    """Body of an answer as it would be given at `now`.

    Args:
        station_id: the station that is asked.
        start: first hour, UTC.
        end: last hour, UTC, itself included as the network does.
        seed: the generator's.
        now: the network's time, UTC.

    Returns:
        JSON of header and rows.
    """
    # A second past the end: the window counts both its ends.
    first, last = max(start, _NETWORK_BEGAN), min(end, now) + timedelta(seconds=1)
    readings = station_hours(station_id, first, last, seed, now)
    header = _header(station(station_id), f"{start:%Y%m%d%H}-{end:%Y%m%d%H}")
    return msgspec.json.encode({"header": header, "data": _rows(readings)})


def _header(one: Station, window: str) -> dict[str, object]:
    header: dict[str, object] = {
        "station_name": one.name,
        "station_lat": one.header_latitude,
        "station_lon": one.header_longitude,
    }
    # In some answers only, by the question, so that asking again changes nothing.
    if chance(one.station_id, window) < 0.3:
        header["station_id"] = int(one.station_id)
    return header


def _rows(readings: Readings) -> list[_Row]:
    stamps = np.datetime_as_string(readings.hours.astype("datetime64[h]"), unit="s").tolist()
    columns: list[list[object]] = [[stamp.replace("T", " ") for stamp in stamps]]
    for field in FIELDS:
        values = readings.values[field]
        column: list[object] = values.tolist()
        for silent in np.flatnonzero(np.isnan(values)).tolist():
            column[silent] = msgspec.UNSET
        columns.append(column)
    return list(map(_Row, *columns))


def _catalogue_entry(one: Station) -> dict[str, object]:
    return {
        "id": int(one.station_id),
        "name": one.name,
        "lat": one.latitude,
        "lon": one.longitude,
        "projects": ["AQ54"],
    }
