"""Every station's category of three hours, for maps and lists."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import SPATIAL, Answer
from aq_science.current_air import (
    LATEST_FORECASTS_WITHIN,
    current_categories,
    latest,
    still_current,
)
from aq_science.newest_hours import newest_hours
from aq_science.overview import station_overview
from aq_science.tables.current_categories import CURRENT_CATEGORIES
from aq_science.tables.overview import OVERVIEW
from aq_science.windows import DAY, Window
from aq_serving.context import Context
from aq_serving.parsing import instant_text
from aq_serving.published import quarter_of
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

        `now` is the quarter of an hour of the answer: what is older than it says is no longer now.
        """
        return answer_in_form(request, asked.format, SPATIAL, lambda: _overview(context, asked))

    return found


def _overview(context: Context, asked: OverviewQuery) -> Answer:
    present, now = context.present, context.now()
    stations = choose_stations(present, asked)
    published = present.published
    if published is None:
        found = _of_tables(context, stations, asked.station_id, now)
    else:
        parts = (published.newest_hours, still_current(published.category, now), published.latest)
        found = station_overview(stations, *parts, now)
    rows = found.cast(plain_schema(OVERVIEW))
    more = {"now": instant_text(quarter_of(now))}
    return Answer(OVERVIEW, rows, present.directory.credits(rows), more=more)


def _of_tables(
    context: Context, stations: pl.DataFrame, ids: Collection[str], now: datetime
) -> pl.DataFrame:
    networks = sorted(set(stations["network"]))
    readings = recent_hours(context.reader, networks, Window(now - DAY, now), ids)
    forecasts = recent_forecasts(context.reader, networks, now - LATEST_FORECASTS_WITHIN, ids)
    categories = [plain_schema(CURRENT_CATEGORIES).to_frame()]
    for name in networks:
        of_it = pl.col("network") == name
        found = current_categories(readings.filter(of_it), forecasts.filter(of_it), now)
        categories.append(found.cast(categories[0].schema))
    newest = latest(readings, forecasts, stations)
    hours = newest_hours(readings, now)
    return station_overview(stations, hours, pl.concat(categories), newest, now)
