"""Daily averages of a range of the stations' local days."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import TABULAR
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_serving.context import Context
from aq_serving.queries import Days, TableQuery
from aq_serving.ranges import days_of, order_of
from aq_serving.resource import resource
from aq_serving.table_page import table_page

ORDER = order_of(DAILY_AVERAGES, "date")


class DailyAveragesQuery(TableQuery, Days):
    """Parameters of `/daily-averages`."""

    valid: bool | None = Field(None, description="Only days that do, or do not, meet the rule")


def router(context: Context) -> APIRouter:
    """The resource `/daily-averages`."""
    found = APIRouter(tags=["readings"])

    @resource(found, "/daily-averages", DAILY_AVERAGES, TABULAR)
    def daily_averages(request: Request, asked: Annotated[DailyAveragesQuery, Query()]) -> Response:
        """Daily averages, by the station's local day.

        A year for all stations, ten for those that are named.
        """
        bounds = days_of(asked, known_stations=bool(asked.station_id))
        return table_page(context, request, asked, DAILY_AVERAGES, ORDER, bounds, ("valid",))

    return found
