"""How the years of stations compare with the limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import TABULAR
from aq_science.tables.exceedances import EXCEEDANCES, STANDARDS
from aq_serving.context import Context
from aq_serving.queries import TableQuery
from aq_serving.ranges import order_of
from aq_serving.resource import resource
from aq_serving.table_page import table_page

ORDER = order_of(EXCEEDANCES, None)

Standard: Any = Literal[STANDARDS]


class ExceedancesQuery(TableQuery):
    """Parameters of `/exceedances`."""

    year: int | None = Field(None, ge=1900, le=2200, description="Year of the local dates")
    standard: list[Standard] = Field([], description="Standards; all without")
    exceeded: bool | None = Field(None, description="Only limits that were, or were not, exceeded")


def router(context: Context) -> APIRouter:
    """The resource `/exceedances`."""
    found = APIRouter(tags=["readings"])

    @resource(found, "/exceedances", EXCEEDANCES, TABULAR)
    def exceedances(request: Request, asked: Annotated[ExceedancesQuery, Query()]) -> Response:
        """Days and annual means above the levels of WHO and EU, by station and year."""
        columns = ("year", "standard", "exceeded")
        return table_page(context, request, asked, EXCEEDANCES, ORDER, None, columns)

    return found
