"""Hours without a valid value, and why, of a range of days."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import TABULAR
from aq_science.tables.gaps import CAUSES, GAPS
from aq_serving.context import Context
from aq_serving.queries import Days, TableQuery
from aq_serving.ranges import days_of, order_of
from aq_serving.resource import resource
from aq_serving.table_page import table_page

ORDER = order_of(GAPS, "date")

Cause: Any = Literal[CAUSES]


class GapsQuery(TableQuery, Days):
    """Parameters of `/gaps`."""

    cause: list[Cause] = Field([], description="Causes; all without")


def router(context: Context) -> APIRouter:
    """The resource `/gaps`."""
    found = APIRouter(tags=["readings"])

    @resource(found, "/gaps", GAPS, TABULAR)
    def gaps(request: Request, asked: Annotated[GapsQuery, Query()]) -> Response:
        """Runs of hours without a valid value, by UTC day, with the cause.

        A year for all stations, ten for those that are named.
        """
        bounds = days_of(asked, known_stations=bool(asked.station_id))
        return table_page(context, request, asked, GAPS, ORDER, bounds, ("cause",))

    return found
