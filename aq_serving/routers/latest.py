"""The newest of everything, in one call."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import SPATIAL, Answer, Format
from aq_science.current_air import (
    LATEST_FORECASTS_WITHIN,
    LATEST_READINGS_WITHIN,
    latest,
)
from aq_science.tables.latest import LATEST
from aq_science.windows import Window
from aq_serving.answers import respond
from aq_serving.context import Context, Present
from aq_serving.published import ReadyBytes
from aq_serving.recent import recent_forecasts, recent_hours
from aq_serving.resource import form_of, resource
from aq_serving.routers.stations import StationFilter, choose_stations


class LatestQuery(StationFilter):
    """Parameters of `/latest`."""


def router(context: Context) -> APIRouter:
    """The resource `/latest`."""
    found = APIRouter(tags=["now"])

    @resource(found, "/latest", LATEST, SPATIAL)
    def newest(request: Request, asked: Annotated[LatestQuery, Query()]) -> Response:
        """Newest valid reading and newest forecast of every station and parameter, on one page."""
        form = form_of(request, asked.format, SPATIAL)
        # What was published is answered as it is, in every byte.
        present = context.present
        ready = _as_published(present, asked, form)
        return respond(request, _newest(context, present, asked), form, ready)

    return found


def _as_published(present: Present, asked: LatestQuery, form: Format) -> ReadyBytes | None:
    """The published file that answers the request, if one does."""
    of_networks = LatestQuery(network=asked.network, format=asked.format)
    if present.published is None or asked != of_networks or len(asked.network) > 1:
        return None
    network = asked.network[0] if asked.network else ""
    return present.published.ready.get((network, form))


def _newest(context: Context, present: Present, asked: LatestQuery) -> Answer:
    stations = choose_stations(present, asked)
    published = present.published
    rows = _of_tables(context, stations) if published is None else published.latest
    rows = rows.join(stations, on=["network", "station_id"], how="semi", maintain_order="left")
    if asked.parameter:
        rows = rows.filter(pl.col("parameter").is_in(asked.parameter))
    return Answer(LATEST, rows, present.directory.credits(rows))


def _of_tables(context: Context, stations: pl.DataFrame) -> pl.DataFrame:
    networks = sorted(set(stations["network"]))
    now = context.now()
    readings = recent_hours(context.reader, networks, Window(now - LATEST_READINGS_WITHIN, now))
    forecasts = recent_forecasts(context.reader, networks, now - LATEST_FORECASTS_WITHIN)
    return latest(readings, forecasts, stations).cast(plain_schema(LATEST))
