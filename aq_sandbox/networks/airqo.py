"""AirQo: v2 measurements in pages, the analytics download with its cursor, and the metadata.

Where the sources disagree the sandbox does what asks most of a client: pages of 80 records, records
newest first, a window that counts both its ends, and the limit of historical calls on the download
as well. The readings are the generator's, but for what AirQo's sensors do not measure.
"""

import base64
import hashlib
import math
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aq_sandbox.config import SandboxConfig
from aq_sandbox.generator import SENTINEL, station_hours
from aq_sandbox.noise import chance
from aq_sandbox.replay import folder_of
from aq_sandbox.state import Sandbox

TOKEN = "sandbox-airqo-token"
COHORT, GRID = "c0" * 12, "9d" * 12
# The project's networks.yaml names it, so the demo has to find it; it has four devices.
LISTED_COHORT = "6981ab03fcc8e8001510aedf"
PAGE, DEFAULT_PAGE = 80, 30
DOWNLOAD_PAGE = 2000
METADATA_PAGE = 1000
LONGEST_DOWNLOAD = timedelta(days=62)
OLDEST = timedelta(days=31)
LAG = timedelta(minutes=90)
HISTORICAL_PER_MINUTE = 6000
"""AirQo's own is 3; with that a rehearsal of a year would take hours."""
BLOCK_SECONDS = 900.0

_MEASUREMENTS = "/api/v2/devices/measurements"
_TWINS, _NO_SITE, _ZERO_WEATHER = 0.004, 0.01, 0.15


def environment(base_url: str, _: SandboxConfig) -> dict[str, str]:
    """The settings that point the platform here."""
    return {
        "AQ_AIRQO_URL": base_url,
        "AQ_AIRQO_TOKEN": TOKEN,
        "AQ_AIRQO_HISTORICAL_PER_MINUTE": str(HISTORICAL_PER_MINUTE),
    }


def device_name(number: int) -> str:
    """Name of the device of that number, from 0; both spellings of the real ones."""
    return f"airqo-g{5001 + number}" if number % 3 == 0 else f"airqo_g{5001 + number}"


def device_id(name: str) -> str:
    """The id that v2 knows a device by."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:24]


def site_id(name: str) -> str:
    """The site where a device stands."""
    return device_id(f"site of {name}")


def routes(sandbox: Sandbox) -> list[Route]:
    """Routes of AirQo's measurements, download and metadata."""
    server = _AirQo(sandbox)
    one = f"{_MEASUREMENTS}/{{kind}}/{{id}}"
    return [
        Route(f"{_MEASUREMENTS}/recent", server.recent),
        Route(f"{one}/historical", server.historical),
        Route(one, server.measurements),
        Route("/api/v3/public/analytics/data-download", server.download, methods=["POST"]),
        Route("/api/v2/devices/metadata/{what}", server.metadata),
        Route("/api/v2/devices/{kind}/{id}/generate", server.generate),
    ]


class _Limiter:
    """So many calls a minute, then nothing for a quarter of an hour. Counts in real time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[float] = deque()
        self._blocked_until = 0.0

    def refuses(self) -> Response | None:
        with self._lock:
            now = monotonic()
            while self._calls and self._calls[0] <= now - 60.0:
                self._calls.popleft()
            if now >= self._blocked_until:
                if len(self._calls) < HISTORICAL_PER_MINUTE:
                    self._calls.append(now)
                    return None
                self._blocked_until = now + BLOCK_SECONDS
            wait = math.ceil(self._blocked_until - now)
        errors = {"message": "limit exceeded", "blocked_for_seconds": wait}
        return JSONResponse(
            {"success": False, "message": "Too many requests", "errors": errors}, 429
        )


class _AirQo:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._limiter = _Limiter()

    async def measurements(self, request: Request) -> Response:
        return self._refusal(request) or self._measured(request)

    async def historical(self, request: Request) -> Response:
        return self._refusal(request) or self._limiter.refuses() or self._measured(request)

    async def recent(self, request: Request) -> Response:
        """The newest record of each device of the network."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        now = self._sandbox.clock.now()
        newest: dict[str, dict[str, Any]] = {}
        for record in self._records(self._devices(), now - timedelta(hours=12), now):
            newest.setdefault(record["device_name"], record)
        return _page(request, [_measurement(record) for record in newest.values()], now, now)

    def _measured(self, request: Request) -> Response:
        override = self._sandbox.answers.get(request.path_params["id"])
        if override is not None:
            return Response(override, media_type="application/json")
        devices = self._of(request.path_params["kind"], request.path_params["id"])
        if devices is None:
            return JSONResponse({"success": False, "message": "invalid id", "errors": {}}, 400)
        now = self._sandbox.clock.now()
        try:
            start, end = _instant(request, "startTime"), _instant(request, "endTime")
        except ValueError:
            return JSONResponse({"success": False, "message": "bad request errors"}, 400)
        if start < now - OLDEST:
            errors = {
                "oldest_supported": (now - OLDEST).isoformat(),
                "query_age_days": (now - start).days,
            }
            return JSONResponse(
                {"success": False, "message": "Query too old", "errors": errors}, 400
            )
        if (folder := self._sandbox.config.replay) is not None:
            records = [
                record
                for record in _recorded(folder).measurements
                if record["device"] in devices and start <= _parsed(record["time"]) <= end
            ]
        else:
            records = [_measurement(record) for record in self._records(devices, start, end)]
        return _page(request, records, start, end)

    async def download(self, request: Request) -> Response:
        """Rows of the analytics download, ascending, in pages that a cursor links."""
        refusal = self._refusal(request) or self._limiter.refuses()
        if refusal is not None:
            return refusal
        override = self._sandbox.answers.get("download")
        if override is not None:
            return Response(override, media_type="application/json")
        try:
            asked = msgspec.json.decode(await request.body())
            start, end = (_parsed(asked[f"{which}DateTime"]) for which in ("start", "end"))
            wanted = {*asked.get("device_names", ()), *asked.get("sites", ())}
            place = int(base64.b64decode(asked["cursor"])) if "cursor" in asked else 0
        except (ValueError, KeyError, TypeError, msgspec.DecodeError):
            return JSONResponse({"status": "error", "message": "Bad request", "code": "BAD"}, 400)
        if end - start > LONGEST_DOWNLOAD:
            body = {"status": "error", "message": "Range too long", "code": "RANGE_TOO_LONG"}
            return JSONResponse(body, 400)
        devices = tuple(
            name for name in self._devices() if name in wanted or site_id(name) in wanted
        )
        rows = self._records(devices, start, end)[::-1]
        if not rows:
            body = {
                "status": "error",
                "message": "No data found for the requested device(s) or time range",
                "code": "NOT_FOUND",
            }
            return JSONResponse(body, 404)
        return _download_page(rows, place)

    async def metadata(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        what = request.path_params["what"]
        rows: list[dict[str, Any]]
        if what == "devices":
            rows = [
                {
                    "_id": device_id(name),
                    "name": name,
                    "category": "lowcost",
                    "status": "deployed",
                    "site_id": site_id(name),
                    "network": "airqo",
                    "isOnline": True,
                }
                for name in self._devices()
            ]
        elif what == "sites":
            rows = [_site(name) for name in self._devices()]
        else:
            return JSONResponse({"success": False, "message": "not found", "errors": {}}, 404)
        skip = int(request.query_params.get("skip", 0))
        limit = min(int(request.query_params.get("limit", METADATA_PAGE)), METADATA_PAGE)
        meta = _meta(len(rows), skip, limit)
        return JSONResponse({"success": True, what: rows[skip : skip + limit], "meta": meta})

    async def generate(self, request: Request) -> Response:
        """The sites and devices of a grid or cohort."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        devices = self._of(request.path_params["kind"], request.path_params["id"])
        if devices is None:
            return JSONResponse({"success": False, "message": "not found", "errors": {}}, 404)
        sites = [
            {
                "site_id": site_id(name),
                "site_name": _site(name)["name"],
                "devices": [{"device_id": device_id(name), "device_name": name}],
            }
            for name in devices
        ]
        return JSONResponse({"success": True, "sites": sites})

    def _refusal(self, request: Request) -> Response | None:
        if request.query_params.get("token") == TOKEN:
            return None
        body = {"success": False, "message": "Invalid authentication", "error": "Unauthorized"}
        return JSONResponse(body, 401)

    def _devices(self) -> tuple[str, ...]:
        if (folder := self._sandbox.config.replay) is not None:
            return _recorded(folder).devices
        return tuple(device_name(number) for number in range(self._sandbox.config.stations))

    def _of(self, kind: str, given: str) -> tuple[str, ...] | None:
        """Devices of a device, site, grid or cohort; None for an id that is unknown."""
        if kind == "cohorts" and (folder := self._sandbox.config.replay) is not None:
            return _recorded(folder).cohorts.get(given)
        if (kind, given) in (("cohorts", COHORT), ("grids", GRID)):
            return self._devices()
        if (kind, given) == ("cohorts", LISTED_COHORT):
            return self._devices()[:4]
        known = {"devices": device_id, "sites": site_id}.get(kind)
        return next(
            ((name,) for name in self._devices() if known is not None and known(name) == given),
            None,
        )

    def _records(
        self, devices: tuple[str, ...], start: datetime, end: datetime
    ) -> tuple[dict[str, Any], ...]:
        if (folder := self._sandbox.config.replay) is not None:
            return tuple(
                row
                for row in _recorded(folder).rows
                if row["device_name"] in devices and start <= _parsed(row["datetime"]) <= end
            )
        now = self._sandbox.clock.now()
        # To the minute, so that the pages of one question are made once.
        moment = now.replace(second=0, microsecond=0)
        return _records(devices, start, end, self._sandbox.config.seed, moment)


@dataclass(frozen=True)
class _Recording:
    """Bodies of a folder, each newest first: v2's records, the download's rows, and its cohorts."""

    measurements: tuple[dict[str, Any], ...]
    rows: tuple[dict[str, Any], ...]
    cohorts: dict[str, tuple[str, ...]]

    @property
    def devices(self) -> tuple[str, ...]:
        names = {record["device"] for record in self.measurements}
        return tuple(sorted(names | {row["device_name"] for row in self.rows}))


@lru_cache(maxsize=2)
def _recorded(folder: Path) -> _Recording:
    """The newest by name of `measurements_v2_*.json` and of `analytics_fetch*.json`, whose rows
    stand below cohorts and devices.
    """

    def newest(pattern: str) -> dict[str, Any]:
        paths = sorted(folder_of(folder, "airqo").glob(pattern))
        body: dict[str, Any] = msgspec.json.decode(paths[-1].read_bytes()) if paths else {}
        return body

    records = newest("measurements_v2_*.json").get("measurements", [])
    cohorts = newest("analytics_fetch*.json").get("cohorts", [])
    rows = [row for cohort in cohorts for device in cohort["devices"] for row in device["data"]]
    return _Recording(
        tuple(sorted(records, key=lambda record: record["time"], reverse=True)),
        tuple(sorted(rows, key=lambda row: row["datetime"], reverse=True)),
        {
            cohort["_id"]: tuple(device["name"] for device in cohort["devices"])
            for cohort in cohorts
        },
    )


@lru_cache(maxsize=8)
def _records(
    devices: tuple[str, ...], start: datetime, end: datetime, seed: int, now: datetime
) -> tuple[dict[str, Any], ...]:
    """The download's rows of [start, end], newest first, as they are shown at `now`."""
    last = min(end + timedelta(seconds=1), now - LAG + timedelta(seconds=1))
    rows: list[dict[str, Any]] = []
    for name in devices:
        for row in _device_rows(name, start, max(start, last), seed, now):
            rows.append(row)
            if chance(name, row["datetime"], "twin") < _TWINS:
                rows.append({**row, "site_name": None})
    return tuple(sorted(rows, key=lambda row: row["datetime"], reverse=True))


def _device_rows(
    name: str, start: datetime, end: datetime, seed: int, now: datetime
) -> list[dict[str, Any]]:
    found = station_hours(name, start, end, seed, now)
    site = _site(name)
    reference = _is_reference(name)
    # The raw channels stand as far from the calibrated value as they really do.
    raw = 0.4 + 3.0 * chance(name, "raw")
    unplaced = chance(name, "unplaced") < 0.6
    rows = []
    for hour, fine, coarse, warmth, damp in zip(
        found.hours.tolist(),
        *(found.values[field].tolist() for field in ("PM2.5", "PM10", "T", "RH")),
        strict=True,
    ):
        if fine == SENTINEL or math.isnan(fine):
            continue
        stamp = datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        dry = chance(name, stamp, "weather") < _ZERO_WEATHER
        rows.append(
            {
                "site_name": site["name"],
                "device_name": name,
                "datetime": stamp,
                "frequency": "hourly",
                "network": "airqo",
                "pm2_5": round(fine, 2),
                "pm10": None if reference or coarse == SENTINEL else round(coarse, 2),
                "s1_pm2_5": round(fine * raw, 2),
                "s2_pm2_5": round(fine * raw * 1.02, 2),
                "s1_pm10": round(coarse * raw, 2),
                "s2_pm10": round(coarse * raw * 1.02, 2),
                "temperature": 0.0 if dry else _said(warmth),
                "humidity": 0.0 if dry else _said(damp),
                "latitude": 0.0 if unplaced else site["latitude"],
                "longitude": 0.0 if unplaced else site["longitude"],
            }
        )
    return rows


def _said(value: float) -> float | None:
    return None if value == SENTINEL or math.isnan(value) else round(value, 2)


def _is_reference(name: str) -> bool:
    """A monitor of somebody else's among AirQo's own: it has no PM10."""
    return name.endswith("02")


def _measurement(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the download as v2 writes it."""
    name, stamp = row["device_name"], row["datetime"]
    record: dict[str, Any] = {
        "site_id": site_id(name),
        "time": stamp.replace(" ", "T").replace("Z", ".000Z"),
        "device": name,
        "device_id": device_id(name),
        "frequency": "hourly",
        "no2": {} if chance(name, stamp, "no2") < 0.5 else {"value": None},
        "pm10": {"value": row["pm10"]},
        "pm2_5": {"value": row["pm2_5"]},
        "siteDetails": {
            "_id": site_id(name),
            "name": row["site_name"],
            "data_provider": "US Embassy" if _is_reference(name) else "AirQo",
        },
    }
    if row["site_name"] is None or chance(name, stamp, "no site") < _NO_SITE:
        del record["site_id"], record["siteDetails"]
    return record


@lru_cache(maxsize=4096)
def _site(name: str) -> dict[str, Any]:
    return {
        "_id": site_id(name),
        "name": f"Site of {name}",
        "long_name": f"Site of {name}, Kampala",
        "latitude": round(0.3476 + 0.2 * (chance(name, "latitude") - 0.5), 6),
        "longitude": round(32.5825 + 0.2 * (chance(name, "longitude") - 0.5), 6),
        "city": "Kampala",
        "country": "Uganda",
        "network": "airqo",
        "data_provider": "US Embassy" if _is_reference(name) else "AirQo",
    }


def _page(
    request: Request, records: list[dict[str, Any]], start: datetime, end: datetime
) -> Response:
    skip = int(request.query_params.get("skip", 0))
    limit = min(int(request.query_params.get("limit", DEFAULT_PAGE)), PAGE)
    meta = _meta(len(records), skip, limit) | {
        "startTime": start.isoformat(),
        "endTime": end.isoformat(),
        "optimized": True,
    }
    body = {
        "success": True,
        "isCache": False,
        "message": "successfully returned the measurements",
        "meta": meta,
        "measurements": records[skip : skip + limit],
    }
    return Response(msgspec.json.encode(body), media_type="application/json")


def _download_page(rows: tuple[dict[str, Any], ...], place: int) -> Response:
    page = rows[place : place + DOWNLOAD_PAGE]
    more = place + len(page) < len(rows)
    following = base64.b64encode(str(place + len(page)).encode()).decode() if more else None
    answer = {
        "status": "success",
        "message": "Data downloaded successfully",
        "data": page,
        "metadata": {"total_count": len(rows), "has_more": more, "next": following},
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _meta(total: int, skip: int, limit: int) -> dict[str, object]:
    pages = max(1, math.ceil(total / limit))
    return {
        "total": total,
        "skip": skip,
        "limit": limit,
        "page": skip // limit + 1,
        "pages": pages,
    }


def _instant(request: Request, name: str) -> datetime:
    return _parsed(request.query_params.get(name, ""))


def _parsed(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)
