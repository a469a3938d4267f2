"""Forecasts of a range of issue times."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import TABULAR
from aq_science.tables.forecasts import FORECASTS
from aq_serving.context import Context
from aq_serving.queries import Instants, TableQuery
from aq_serving.ranges import instants_of, order_of
from aq_serving.resource import resource
from aq_serving.table_page import table_page

ORDER = order_of(FORECASTS, "issued_for")


class ForecastsQuery(TableQuery, Instants):
    """Parameters of `/forecasts`."""

    horizon: int | None = Field(None, ge=1, le=2, description="1 or 2; both without")
    mode: Literal["live", "hindcast"] | None = Field(None, description="Both without")


def router(context: Context) -> APIRouter:
    """The resource `/forecasts`."""
    found = APIRouter(tags=["forecasts"])

    @resource(found, "/forecasts", FORECASTS, TABULAR)
    def forecasts(request: Request, asked: Annotated[ForecastsQuery, Query()]) -> Response:
        """Forecasts by issue time.

        A month for all stations, a year for those that are named.
        """
        bounds = instants_of(asked, known_stations=bool(asked.station_id))
        return table_page(
            context,
            request,
            asked,
            FORECASTS,
            ORDER,
            bounds,
            (
                "horizon",
                "mode",
            ),
        )

    return found
