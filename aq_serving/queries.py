"""Parameters of the resources: their models, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request

from aq_resources.documents.forms import SPATIAL, TABULAR
from aq_resources.networks import known_networks
from aq_science.parameters import PARAMETERS
from aq_serving.cursors import LONGEST, Scope
from aq_serving.problems import bad_request

MOST_ROWS = 50_000
MOST_STATIONS = 50
# Parameters that say which part of a result is wanted and in what form, not which result.
_OF_THE_PAGE = {"cursor", "limit", "format"}

# What may be named is known when the program starts, and stands in the OpenAPI document.
Network: Any = Literal[known_networks()]
ParameterName: Any = Literal[tuple(PARAMETERS)]
StationId = Annotated[str, StringConstraints(min_length=1, max_length=200)]

_INSTANT = "ISO 8601 with an offset"
_START: dict[str, Any] = {
    "description": f"First instant: {_INSTANT}",
    "examples": ["2026-01-31T00:00:00Z"],
    "max_length": 40,
}
_END: dict[str, Any] = {
    "description": f"Instant before which the range ends: {_INSTANT}",
    "examples": ["2026-02-01T00:00:00Z"],
    "max_length": 40,
}


class Parameters(BaseModel):
    """Parameters of a request; one that is not known is refused, since it would go unheard."""

    model_config = ConfigDict(extra="forbid")


class Selection(Parameters):
    """Which stations and parameters; all that are not named."""

    network: list[Network] = Field([], description="Networks")
    station_id: list[StationId] = Field(
        [], max_length=MOST_STATIONS, description="Stations, by the networks' own ids"
    )


class MeasuredSelection(Selection):
    """As `Selection`, of measured parameters."""

    parameter: list[ParameterName] = Field([], description="Canonical parameters")


class Form(Parameters):
    """The form of the answer."""

    format: Literal[TABULAR] | None = Field(  # type: ignore[valid-type]
        None, description="Form of the answer; else by the path's extension, else by `Accept`"
    )


class SpatialForm(Parameters):
    """The form of the answer, GeoJSON among them."""

    format: Literal[SPATIAL] | None = Field(  # type: ignore[valid-type]
        None, description="Form of the answer; else by the path's extension, else by `Accept`"
    )


class Page(Parameters):
    """Which part of the rows."""

    limit: int = Field(1000, ge=1, le=MOST_ROWS, description="Most rows of a page")
    cursor: str | None = Field(
        None, max_length=LONGEST, description="From the link `next` of the page before"
    )


class TableQuery(MeasuredSelection, Page, Form):
    """What is asked for of any table."""


class Instants(Parameters):
    """A half-open range of instants."""

    start: str = Field(**_START)
    end: str = Field(**_END)


class Days(Parameters):
    """A half-open range of days."""

    start: str = Field(description="First day, YYYY-MM-DD", examples=["2026-01-01"], max_length=40)
    end: str = Field(
        description="Day before which the range ends", examples=["2026-02-01"], max_length=40
    )


class Around(Parameters):
    """A point and how far around it."""

    latitude: float | None = Field(None, ge=-90, le=90, description="Degrees north of the point")
    longitude: float | None = Field(None, ge=-180, le=180, description="Degrees east of the point")
    within_km: float = Field(
        25.0, gt=0, le=500, description="With a point: the greatest distance from it"
    )

    def point(self) -> tuple[float, float] | None:
        """Latitude and longitude; None without them.

        Raises:
            ProblemError: There is only one of the two.
        """
        if self.latitude is None and self.longitude is None:
            return None
        if self.latitude is None or self.longitude is None:
            raise bad_request("latitude and longitude go together: give both, or neither.")
        return self.latitude, self.longitude


def scope(request: Request) -> Scope:
    """What a cursor belongs to: the resource and its parameters but those of the page."""
    path = request.url.path.partition(".")[0]
    asked = [pair for pair in request.query_params.multi_items() if pair[0] not in _OF_THE_PAGE]
    return [("", path), *asked]


def address_of_next(request: Request, cursor: str) -> str:
    """Path and query of the next page, in the same form."""
    url = request.url.include_query_params(cursor=cursor)
    return f"{url.path}?{url.query}"


def equalities(asked: Parameters, columns: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    """Columns that have to have one of some values, with these."""
    for column in columns:
        values = getattr(asked, column)
        if values not in (None, []):
            yield column, values if isinstance(values, list) else [values]
