"""Every station's category of three hours, for maps and lists."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import SPATIAL, Answer
from aq_science.overview import station_overview
from aq_science.tables.overview import OVERVIEW
from aq_science.windows import DAY, Window
from aq_serving.context import Context
from aq_serving.parsing import instant_text
from aq_serving.recent import recent_forecasts, recent_hours
from aq_serving.resource import answer_in_form, resource
from aq_serving.routers.stations import StationFilter, choose_stations


class OverviewQuery(StationFilter):
    """Parameters of `/overview`."""


def router(context: Context) -> APIRouter:
    """The resource `/overview`."""
    found = APIRouter(tags=["now"])
    more: dict[str, Any] = {"now": (str, ...)}

    @resource(found, "/overview", OVERVIEW, SPATIAL, more)
    def overview(request: Request, asked: Annotated[OverviewQuery, Query()]) -> Response:
        """Worst US EPA category of every station, now and in the next two hours, on one page.

        `now` is the time of the answer: what is older than it says is no longer now.
        """
        return answer_in_form(request, asked.format, SPATIAL, lambda: _overview(context, asked))

    return found


def _overview(context: Context, asked: OverviewQuery) -> Answer:
    stations = choose_stations(context, asked)
    networks = sorted(set(stations["network"]))
    ids = asked.station_id
    now = context.now()
    readings = recent_hours(context.reader, networks, Window(now - DAY, now), ids)
    forecasts = recent_forecasts(context.reader, networks, now - DAY, ids)
    rows = station_overview(stations, readings, forecasts, now).cast(plain_schema(OVERVIEW))
    return Answer(OVERVIEW, rows, context.directory.credits(rows), more={"now": instant_text(now)})
