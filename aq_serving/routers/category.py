"""The US EPA category of a station or point, now and for the next two hours."""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import TABULAR, Answer
from aq_science.current_air import (
    HOURS_FOR_NOWCAST,
    LATEST_FORECASTS_WITHIN,
    current_categories,
    still_current,
    worst_categories,
)
from aq_science.tables.current_categories import CURRENT_CATEGORIES
from aq_science.windows import Window
from aq_serving.context import Context, Present
from aq_serving.problems import bad_request, not_found
from aq_serving.queries import Around, Form, Network, Parameters, StationId
from aq_serving.recent import recent_forecasts, recent_hours
from aq_serving.resource import answer_in_form, resource
from aq_serving.stations import DISTANCE, of_networks, within_distance

# Stations around a point that are looked at until one has something to say.
_NEAREST = 20


class NearestStation(BaseModel):
    """The station that an answer is of."""

    network: str = Field(examples=["airqino"])
    station_id: str = Field(examples=["283164601"])
    name: str | None = Field(examples=["SMART188"])
    latitude: float | None = Field(examples=[5.3357])
    longitude: float | None = Field(examples=[-3.9782])
    distance_km: float | None = Field(
        description="From the point asked for; null where a station was named"
    )


class Overall(BaseModel):
    """The worst category of an hour, which is the station's."""

    horizon: int = Field(description="0: now; 1 and 2: the hours forecast")
    hour: str = Field(description="Start of the hour", examples=["2026-01-31T05:00:00Z"])
    category: str = Field(examples=["Moderate"])
    rank: int = Field(description="1 for the best category, 6 for the worst")
    colour: str = Field(examples=["#FFFF00"])
    advice: str
    parameter: str = Field(description="Which parameter it follows from", examples=["pm25"])


class CategoryQuery(Around, Form, Parameters):
    """Parameters of `/category`."""

    network: Network | None = Field(None, description="Network")
    station_id: StationId | None = Field(None, description="A station; or a point in its place")


def router(context: Context) -> APIRouter:
    """The resource `/category`."""
    found = APIRouter(tags=["now"])
    more: dict[str, Any] = {"station": (NearestStation, ...), "overall": (list[Overall], ...)}

    @resource(found, "/category", CURRENT_CATEGORIES, TABULAR, more)
    def category(request: Request, asked: Annotated[CategoryQuery, Query()]) -> Response:
        """US EPA category now (NowCast of PM2.5 and PM10) and for the next two hours (forecasts of
        PM2.5 and CO), of a station, or of the nearest one to a point that has any.
        """
        return answer_in_form(request, asked.format, TABULAR, lambda: _current(context, asked))

    return found


def _current(context: Context, asked: CategoryQuery) -> Answer:
    present = context.present
    stations = _candidates(present, asked)
    if present.published is None:
        rows = _of_tables(context, stations)
    else:
        rows = still_current(
            present.published.category.filter(
                pl.col("station_id").is_in(stations["station_id"].to_list())
            ).join(stations, on=["network", "station_id"], how="semi", maintain_order="left"),
            context.now(),
        )
    with_rows = stations.join(rows, on=["network", "station_id"], how="semi", maintain_order="left")
    if with_rows.is_empty():
        raise not_found(
            "No category is known now: no station there has readings of PM2.5 or PM10 of the last "
            "hours, or forecasts of the next. Ask for another station, or a greater within_km."
        )
    station = NearestStation.model_validate(with_rows.row(0, named=True))
    chosen = (pl.col("network") == station.network) & (pl.col("station_id") == station.station_id)
    of_it = rows.filter(chosen)
    overall = [
        Overall(horizon=horizon, **{**worst, "hour": f"{worst['hour']:%Y-%m-%dT%H:%M:%SZ}"})
        for horizon, worst in worst_categories(of_it).items()
    ]
    more = {"station": station.model_dump(), "overall": [one.model_dump() for one in overall]}
    return Answer(CURRENT_CATEGORIES, of_it, present.directory.credits(of_it), more=more)


def _of_tables(context: Context, stations: pl.DataFrame) -> pl.DataFrame:
    now = context.now()
    parts = [CURRENT_CATEGORIES.schema.to_frame().cast(plain_schema(CURRENT_CATEGORIES))]
    for (network,), group in stations.group_by("network", maintain_order=True):
        ids = group["station_id"].to_list()
        window = Window(now - HOURS_FOR_NOWCAST, now)
        readings = recent_hours(context.reader, [str(network)], window, ids)
        forecasts = recent_forecasts(
            context.reader, [str(network)], now - LATEST_FORECASTS_WITHIN, ids
        )
        parts.append(current_categories(readings, forecasts, now).cast(parts[0].schema))
    return pl.concat(parts)


def _candidates(present: Present, asked: CategoryQuery) -> pl.DataFrame:
    """The station that is named, or those around the point, the nearest first.

    Raises:
        ProblemError: Neither or both are given, or there is no station.
    """
    point = asked.point()
    networks = [] if asked.network is None else [asked.network]
    if (point is None) == (asked.station_id is None):
        raise bad_request("Give either station_id, or latitude and longitude of a point.")
    if asked.station_id is not None:
        found = present.directory.networks_with(networks, [asked.station_id])
        if len(found) > 1:
            raise bad_request(
                f"Several networks have this station: {', '.join(found)}. Add network.", "network"
            )
        of_network = of_networks(present.directory.stations, found)
        return of_network.filter(pl.col("station_id") == asked.station_id).with_columns(
            pl.lit(None, pl.Float64).alias(DISTANCE.name)
        )
    around = of_networks(present.directory.stations, networks)
    near = within_distance(around, point or (0.0, 0.0), asked.within_km)
    if near.is_empty():
        raise not_found(
            f"No station within {asked.within_km:g} km of the point. within_km may be up to 500."
        )
    return near.head(_NEAREST)
