"""CityAir's interface: stations and hours behind a key."""

from datetime import UTC, datetime, timedelta

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aq_sandbox.config import SandboxConfig
from aq_sandbox.generator import station_hours
from aq_sandbox.state import Sandbox

KEY = "sandbox+cityair/key"
STATIONS = {"north": (48.21, 16.37), "south": (48.14, 16.3)}
_FIELDS = {"pm25": "PM2.5", "co": "CO"}


def environment(base_url: str, _: SandboxConfig) -> dict[str, str]:
    """The settings that point the platform here."""
    return {"AQ_CITYAIR_URL": f"{base_url}/cityair", "AQ_CITYAIR_KEY": KEY}


def routes(sandbox: Sandbox) -> list[Route]:
    """Routes of the stations and their hours."""

    def stations(request: Request) -> Response:
        places = {name: {"latitude": a, "longitude": b} for name, (a, b) in STATIONS.items()}
        return _with_key(request, [{"id": k, "name": k.title(), **v} for k, v in places.items()])

    def hours(request: Request) -> Response:
        station = request.path_params["station"]
        if station not in STATIONS:
            return JSONResponse({"error": "no such station"}, 404)
        if (exact := sandbox.answers.get(station)) is not None:
            return Response(exact, media_type="application/json")
        start, end = (datetime.fromisoformat(request.query_params[name]) for name in ("from", "to"))
        now = sandbox.clock.now()
        # Both ends count, and stamps mark ends.
        first, last = start - timedelta(hours=1), min(end, now)
        readings = station_hours(station, first, last, sandbox.config.seed, now)
        ends = [datetime.fromtimestamp((h + 1) * 3600, UTC) for h in readings.hours.tolist()]
        columns = {name: readings.values[field] for name, field in _FIELDS.items()}
        return _with_key(
            request,
            [
                {
                    "hour_end": stamp.isoformat(),
                    **{k: None if np.isnan(v[n]) else float(v[n]) for k, v in columns.items()},
                }
                for n, stamp in enumerate(ends)
            ],
        )

    def _with_key(request: Request, body: object) -> Response:
        known = request.headers.get("X-Key") == KEY
        return JSONResponse(body) if known else JSONResponse({"error": "who are you?"}, 401)

    return [Route("/cityair/stations", stations), Route("/cityair/hours/{station}", hours)]
