"""The newest of everything, in one call."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import SPATIAL, Answer
from aq_science.current_air import (
    LATEST_FORECASTS_WITHIN,
    LATEST_READINGS_WITHIN,
    latest,
)
from aq_science.tables.latest import LATEST
from aq_science.windows import Window
from aq_serving.context import Context
from aq_serving.recent import recent_forecasts, recent_hours
from aq_serving.resource import answer_in_form, resource
from aq_serving.routers.stations import StationFilter, choose_stations


class LatestQuery(StationFilter):
    """Parameters of `/latest`."""


def router(context: Context) -> APIRouter:
    """The resource `/latest`."""
    found = APIRouter(tags=["now"])

    @resource(found, "/latest", LATEST, SPATIAL)
    def newest(request: Request, asked: Annotated[LatestQuery, Query()]) -> Response:
        """Newest valid reading and newest forecast of every station and parameter, on one page."""
        return answer_in_form(request, asked.format, SPATIAL, lambda: _newest(context, asked))

    return found


def _newest(context: Context, asked: LatestQuery) -> Answer:
    stations = choose_stations(context, asked)
    networks = sorted(set(stations["network"]))
    now = context.now()
    readings = recent_hours(context.reader, networks, Window(now - LATEST_READINGS_WITHIN, now))
    forecasts = recent_forecasts(context.reader, networks, now - LATEST_FORECASTS_WITHIN)
    rows = latest(readings, forecasts, stations).cast(plain_schema(LATEST))
    rows = rows.join(stations, on=["network", "station_id"], how="semi")
    if asked.parameter:
        rows = rows.filter(pl.col("parameter").is_in(asked.parameter))
    return Answer(LATEST, rows, context.directory.credits(rows))
