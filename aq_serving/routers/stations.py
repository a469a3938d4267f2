"""Stations: by network, country, parameter, box, and distance from a point."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import SPATIAL
from aq_science.tables.stations import STATIONS
from aq_serving.context import Context, Present
from aq_serving.cursors import after
from aq_serving.parsing import parse_box
from aq_serving.queries import Around, MeasuredSelection, Page, SpatialForm
from aq_serving.resource import answer_in_form, key_of, page_of, resource
from aq_serving.stations import (
    DISTANCE,
    STATIONS_WITH_DISTANCE,
    of_networks,
    within_box,
    within_distance,
)

Country = Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$")]


class StationFilter(MeasuredSelection, Around, SpatialForm):
    """Which stations, by what they are and where."""

    country: list[Country] = Field([], description="ISO 3166-1 alpha-2 codes", examples=[["CI"]])
    bbox: str | None = Field(
        None,
        max_length=200,
        description="west,south,east,north in degrees; west > east crosses the antimeridian",
        examples=["-5,4,-3,6"],
    )


class StationsQuery(StationFilter, Page):
    """Parameters of `/stations`."""


def router(context: Context) -> APIRouter:
    """The resource `/stations`."""
    found = APIRouter(tags=["stations"])

    @resource(found, "/stations", STATIONS_WITH_DISTANCE, SPATIAL)
    def stations(request: Request, asked: Annotated[StationsQuery, Query()]) -> Response:
        """Stations; with latitude and longitude the nearest first."""
        by_distance = asked.point() is not None
        order = (*([DISTANCE.name] if by_distance else []), *STATIONS.key)
        key = key_of(request, asked, STATIONS_WITH_DISTANCE, order)

        present = context.present

        def rows() -> pl.DataFrame:
            chosen = choose_stations(present, asked)
            return chosen if key is None else chosen.filter(after(order, key))

        return answer_in_form(
            request,
            asked.format,
            SPATIAL,
            lambda: page_of(request, present, STATIONS_WITH_DISTANCE, rows(), order, asked.limit),
        )

    return found


def choose_stations(context: Context | Present, asked: StationFilter) -> pl.DataFrame:
    """`STATIONS_WITH_DISTANCE` rows that are asked for, in order.

    Raises:
        ProblemError: A parameter is wrong, or a station unknown.
    """
    context.directory.networks_with(asked.network, asked.station_id)
    rows = of_networks(context.directory.stations, asked.network)
    if asked.station_id:
        rows = rows.filter(pl.col("station_id").is_in(asked.station_id))
    if asked.country:
        rows = rows.filter(pl.col("country").is_in([code.upper() for code in asked.country]))
    if asked.parameter:
        measured = pl.col("parameters").list
        rows = rows.filter(pl.any_horizontal(measured.contains(name) for name in asked.parameter))
    if asked.bbox is not None:
        rows = within_box(rows, parse_box(asked.bbox))
    if (point := asked.point()) is not None:
        return within_distance(rows, point, asked.within_km)
    return rows.with_columns(pl.lit(None, pl.Float64).alias(DISTANCE.name)).select(
        plain_schema(STATIONS_WITH_DISTANCE).names()
    )
