"""Scores of the forecasts of a range of days of issue."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import TABULAR
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_serving.context import Context
from aq_serving.queries import Days, TableQuery
from aq_serving.ranges import days_of, order_of
from aq_serving.resource import resource
from aq_serving.table_page import table_page

ORDER = order_of(FORECAST_SCORES, "date")


class ScoresQuery(TableQuery, Days):
    """Parameters of `/scores`."""

    horizon: int | None = Field(None, ge=1, le=2, description="1 or 2; both without")
    mode: Literal["live", "hindcast"] | None = Field(None, description="Both without")


def router(context: Context) -> APIRouter:
    """The resource `/scores`."""
    found = APIRouter(tags=["forecasts"])

    @resource(found, "/scores", FORECAST_SCORES, TABULAR)
    def scores(request: Request, asked: Annotated[ScoresQuery, Query()]) -> Response:
        """How good forecasts were, by UTC day of issue.

        A year for all stations, ten for those that are named.
        """
        bounds = days_of(asked, known_stations=bool(asked.station_id))
        return table_page(
            context,
            request,
            asked,
            FORECAST_SCORES,
            ORDER,
            bounds,
            (
                "horizon",
                "mode",
            ),
        )

    return found
