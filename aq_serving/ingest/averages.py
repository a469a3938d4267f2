"""What a fleet's key may read: averages over windows, and over any span."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import polars as pl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aq_resources.device_keys import DeviceKey
from aq_resources.networks.devices.bodies import readings_of
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawPullStore, folder_name
from aq_science.device_kinds import SENSORS
from aq_science.devices.readings import READING_SCHEMA
from aq_science.devices.spans import Parts, parts_of, span_statistics
from aq_science.windows import HOUR, Window
from aq_serving.ingest.app import Ingest
from aq_serving.parsing import parse_instant
from aq_serving.problems import ProblemError, bad_request
from aq_serving.reader import Reader

NETWORK = "devices"
_MOST_ROWS, _MOST_DEVICES = 50_000, 100
_HOUR_SECONDS = 3600
_PARAMETERS = {"device_id", "sensor", "start", "end", "limit"}
_COLUMNS = (
    "device_id, sensor, window_start, seconds, count, mean, minimum, maximum, unit, expected, "
    "partial, late"
)


class Averages:
    """The resources, over the tables and raw pulls."""

    def __init__(self, ingest: Ingest, services: Services, reader: Reader) -> None:
        self._ingest, self._reader = ingest, reader
        self._pulls = RawPullStore(services.object_store, NETWORK)

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route(f"{prefix}/{name}", endpoint, methods=["GET"])
            for prefix in ("/v1", "/v1/fleets/{fleet}")
            for name, endpoint in (("windows", self.windows), ("spans", self.spans))
        ]

    def windows(self, request: Request) -> Response:
        """Windows that begin within [start, end), in order; `next` is where to go on."""
        asked = _Asked(request, self._ingest.authorise(request, "read")[1])
        limit = asked.limit
        where, values = asked.condition(asked.span)
        rows = self._reader.query(
            f"SELECT {_COLUMNS} FROM {NETWORK}.window_averages WHERE {where} "
            "ORDER BY window_start, device_id, sensor LIMIT ?",
            [*values, limit + 1],
        )
        following = None
        if rows.height > limit:
            # Windows that begin together stay together.
            following = rows["window_start"][-1]
            rows = rows.filter(pl.col("window_start") < following)
            if rows.is_empty():
                raise bad_request("One window has more rows than limit: name devices.", "limit")
        return JSONResponse(
            {
                "fleet": asked.key.fleet,
                "data": _shown(rows),
                "next": following and _text(following),
            },
            headers={"Cache-Control": "no-store"},
        )

    def spans(self, request: Request) -> Response:
        """Count, mean and extremes of the readings within [start, end), weighted by number."""
        asked = _Asked(request, self._ingest.authorise(request, "read")[1])
        parts = self._parts(asked)
        where, values = asked.condition(parts.whole)
        windows = self._reader.query(
            "SELECT fleet, device_id, sensor, sum(count)::BIGINT AS count, "
            "sum(mean * count) / sum(count) AS mean, min(minimum) AS minimum, "
            f"max(maximum) AS maximum FROM {NETWORK}.window_averages WHERE {where} GROUP BY ALL",
            values,
        )
        with self._reader.turn():
            found = pl.concat([READING_SCHEMA.to_frame(), *self._at_ends(asked, parts.ends)])
        rows = span_statistics(windows, found).drop("fleet")
        units = {name: sensor.unit for name, sensor in SENSORS.items()}
        return JSONResponse(
            {
                "fleet": asked.key.fleet,
                "start": _text(asked.span.start),
                "end": _text(asked.span.end),
                "data": _shown(rows.with_columns(unit=pl.col("sensor").replace_strict(units))),
            },
            headers={"Cache-Control": "no-store"},
        )

    def _parts(self, asked: _Asked) -> Parts:
        """Where to cut: by the windows' length, or by hours where there are several lengths."""
        near = asked.span.padded(before=HOUR)
        where, values = asked.condition(near)
        lengths = self._reader.query(
            f"SELECT DISTINCT seconds FROM {NETWORK}.window_averages WHERE {where}", values
        )["seconds"].to_list()
        return parts_of(asked.span, lengths[0] if len(lengths) == 1 else _HOUR_SECONDS)

    def _at_ends(self, asked: _Asked, ends: Sequence[Window]) -> Iterator[pl.DataFrame]:
        """Readings at the ends of a span, out of the raw pulls."""
        until = time.monotonic() + self._reader.seconds
        for end in ends:
            for day in end.dates:
                folder = folder_name(Window.of_days(day, day))
                for answer in self._pulls.read(folder, since=end.start - HOUR):
                    if time.monotonic() > until:
                        raise self._reader.too_long()
                    if end.overlaps(answer.covers):
                        try:
                            rows = readings_of(answer)
                        except (msgspec.DecodeError, pl.exceptions.PolarsError, ValueError):
                            # As in the tables, which leave it out and name it.
                            continue
                        inside = pl.col("time").is_between(end.start, end.end, closed="left")
                        yield rows.filter(inside & asked.wanted)


class _Asked:
    """What a request asks for, within what its key may read."""

    def __init__(self, request: Request, key: DeviceKey) -> None:
        self.key = key
        query = request.query_params
        if unknown := sorted(set(query) - _PARAMETERS):
            raise bad_request(f"There is no parameter {unknown[0]}.", unknown[0])
        self.span = _span(request)
        self.devices = query.getlist("device_id")
        if len(self.devices) > _MOST_DEVICES:
            raise bad_request(f"At most {_MOST_DEVICES} devices at once.", "device_id")
        if key.devices is not None:
            if not all(map(key.covers, self.devices)):
                raise ProblemError(HTTPStatus.FORBIDDEN, "This key is for other devices.")
            self.devices = self.devices or list(key.devices)
        self.sensors = query.getlist("sensor")
        for sensor in self.sensors:
            if sensor not in SENSORS:
                raise bad_request(f"sensor is one of {', '.join(SENSORS)}.", "sensor")
        limit = query.get("limit", "1000")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MOST_ROWS):
            raise bad_request(f"limit is a number from 1 to {_MOST_ROWS}.", "limit")
        self.limit = int(limit)

    def condition(self, span: Window) -> tuple[str, list[Any]]:
        """What rows of `window_averages` have to fulfil, with the values to bind."""
        parts = ["fleet = ?", "window_start >= ?", "window_start < ?"]
        values: list[Any] = [self.key.fleet, span.start, span.end]
        for column, wanted in (("device_id", self.devices), ("sensor", self.sensors)):
            if wanted:
                parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values += wanted
        return " AND ".join(parts), values

    @property
    def wanted(self) -> pl.Expr:
        """The same of readings."""
        found = pl.col("fleet").cast(pl.String) == self.key.fleet
        for column, wanted in (("device_id", self.devices), ("sensor", self.sensors)):
            if wanted:
                found &= pl.col(column).cast(pl.String).is_in(wanted)
        return found


def _span(request: Request) -> Window:
    bounds = []
    for name in ("start", "end"):
        text = request.query_params.get(name)
        if text is None:
            raise bad_request(f"{name} is required.", name)
        bounds.append(parse_instant(text, name))
    if bounds[0] >= bounds[1]:
        raise bad_request("end has to be later than start.", "end")
    return Window(*bounds)


def _shown(rows: pl.DataFrame) -> list[dict[str, Any]]:
    times = [name for name, kind in rows.schema.items() if kind == pl.Datetime]
    return rows.with_columns(
        pl.col(name).dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in times
    ).to_dicts()


def _text(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")
