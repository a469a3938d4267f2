"""From a reading back to the bytes that it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from aq_resources.reading_origin import Conversion, Origin, origin_of
from aq_serving.context import Context
from aq_serving.parsing import parse_instant
from aq_serving.problems import bad_request, not_found
from aq_serving.queries import Network, ParameterName, StationId
from aq_serving.resource import problem_responses

_INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


class AppliedConversion(BaseModel):
    """From the network's unit to the canonical one: value_native * scale + offset."""

    scale: float
    offset: float
    reference_celsius: float | None = Field(
        description="Temperature at which a gas's volume became a mass, at 101.325 kPa; null of "
        "what is no gas"
    )

    @classmethod
    def of(cls, applied: Conversion | None) -> AppliedConversion | None:
        """As it was applied; None where none was."""
        if applied is None:
            return None
        return cls(
            scale=applied.scale, offset=applied.offset, reference_celsius=applied.reference_c
        )


class FiredTest(BaseModel):
    """A quality test that fired."""

    test: str = Field(examples=["gross_range"])
    version: int = Field(examples=[1])
    flag: str = Field(examples=["invalid"])
    observed: float | None = Field(description="What it compared")
    limit: float | None = Field(description="With what")


class RawPull(BaseModel):
    """An answer of the network that the reading was made of."""

    key: str = Field(
        description="Its file in the object store",
        examples=["airqino/raw_pulls/date=2026-01-31/20260131T061500000000Z.jsonl.zst"],
    )
    line: int = Field(description="Its line in the file, from 1")
    sha256: str = Field(description="SHA-256 of the line")
    url: str = Field(description="What was asked for; credentials are never stored")
    params: dict[str, str] = Field(description="Parameters of the request")
    received: str = Field(description="When it was received")


class Explanation(BaseModel):
    """Where a reading came from."""

    network: str
    station_id: str
    parameter: str
    hour: str = Field(description="Start of the hour")
    value: float | None
    unit: str
    flag: str
    reasons: list[str] = Field(description="Names of the quality tests that fired")
    sensor_id: str | None
    value_native: float | None = Field(description="Value as the network reported it")
    unit_native: str | None
    conversion: AppliedConversion | None = Field(
        description="null without a value, or where its unit cannot be converted"
    )
    revision: int = Field(description="0 for the first value seen")
    received: str = Field(description="When this value was first received")
    tests: list[FiredTest]
    raw_pulls: list[RawPull] = Field(
        description="Empty where they are no longer stored, or the reading was made of older ones"
    )


def router(context: Context) -> APIRouter:
    """The resource `/explain`."""
    found = APIRouter(tags=["readings"])

    @found.get("/explain/{network}/{station_id}/{parameter}/{hour}", responses=problem_responses())
    def explain(
        network: Network,
        station_id: StationId,
        parameter: ParameterName,
        hour: Annotated[
            str,
            Path(
                description="Start of the hour, ISO 8601 with an offset",
                examples=["2026-01-31T05:00Z"],
                max_length=40,
            ),
        ],
        response: Response,
    ) -> Explanation:
        """From an hour's reading back to the answer that it came from: the network's value, its
        conversion, the tests that fired with what they saw, and the stored bytes.
        """
        began = parse_instant(hour, "hour")
        if began.second or began.microsecond:
            raise bad_request("hour is the start of one, such as 2026-01-31T05:00Z.", "hour")
        context.directory.networks_with([network], [station_id])
        stations = context.directory.stations
        with context.reader.turn():
            sources = context.reader.sources(network, stations)
            origin = origin_of(sources, station_id, parameter, began)
        if origin is None:
            raise not_found(
                f"There is no reading of {network} {station_id} {parameter} in the hour from "
                f"{began:%Y-%m-%dT%H:%MZ}; /v1/gaps has the causes of missing hours."
            )
        response.headers["Cache-Control"] = "public, max-age=60"
        return _explanation(origin, context.reader.object_key)

    return found


def _explanation(origin: Origin, key_of: Callable[[str], str]) -> Explanation:
    row = origin.reading
    return Explanation(
        **{
            name: row[name]
            for name in (
                "network",
                "station_id",
                "parameter",
                "value",
                "unit",
                "flag",
                "reasons",
                "sensor_id",
                "value_native",
                "unit_native",
                "revision",
            )
        },
        hour=f"{row['hour']:%Y-%m-%dT%H:%M:%SZ}",
        received=row["pulled_at"].strftime(_INSTANT),
        conversion=AppliedConversion.of(origin.conversion),
        tests=[FiredTest(**fired) for fired in origin.tests],
        raw_pulls=[
            RawPull(
                key=key_of(one.uri),
                line=one.line,
                sha256=one.sha256,
                url=one.answer.url,
                params=dict(one.answer.params),
                received=one.answer.pulled_at.strftime(_INSTANT),
            )
            for one in origin.answers
        ],
    )
