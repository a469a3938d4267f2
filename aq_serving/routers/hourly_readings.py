"""Hourly readings of a range."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import TABULAR, Answer
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.types import FLAGS
from aq_serving.context import Context
from aq_serving.hours import ORDER, read_hours
from aq_serving.queries import Instants, TableQuery, equalities
from aq_serving.ranges import Wanted, instants_of
from aq_serving.resource import answer_in_form, key_of, page_of, resource

Flag: Any = Literal[FLAGS]


class HourlyReadingsQuery(TableQuery, Instants):
    """Parameters of `/hourly-readings`."""

    flag: list[Flag] = Field([], description="Quality flags; all without", examples=[["valid"]])


def router(context: Context) -> APIRouter:
    """The resource `/hourly-readings`."""
    found = APIRouter(tags=["readings"])

    @resource(found, "/hourly-readings", HOURLY_READINGS, TABULAR)
    def hourly_readings(
        request: Request, asked: Annotated[HourlyReadingsQuery, Query()]
    ) -> Response:
        """Hourly readings that begin within a range, by hour.

        A month for all stations, a year for those that are named.
        """
        wanted = Wanted(
            ORDER,
            list(equalities(asked, ("station_id", "parameter", "flag"))),
            instants_of(asked, known_stations=bool(asked.station_id)),
            key_of(request, asked, HOURLY_READINGS, ORDER),
            asked.limit,
        )

        def answer() -> Answer:
            networks = context.directory.networks_with(asked.network, asked.station_id)
            rows = read_hours(context.reader, networks, wanted)
            return page_of(request, context, HOURLY_READINGS, rows, ORDER, asked.limit)

        return answer_in_form(request, asked.format, TABULAR, answer)

    return found
