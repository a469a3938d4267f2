"""What OpenAQ's answers hold: their rows, decoded to the fields that matter."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlparse

import msgspec

from aq_resources.networks._client import Problems
from aq_resources.raw_pulls import RawAnswer
from aq_science.windows import HOUR

# OpenAQ's name -> parameter. Units come with each sensor: the same pollutant has several.
NAMES = {
    "pm1": "pm1",
    "pm25": "pm25",
    "pm10": "pm10",
    "bc": "bc",
    "no": "no",
    "no2": "no2",
    "o3": "o3",
    "so2": "so2",
    "co": "co",
    "co2": "co2",
    "temperature": "temperature",
    "humidity": "humidity",
    "relativehumidity": "humidity",
    "rh": "humidity",
    "pressure": "pressure",
}

# An instant that says its zone.
_Aware = Annotated[datetime, msgspec.Meta(tz=True)]
Row = TypeVar("Row")


class _Instant(msgspec.Struct, gc=False):
    utc: _Aware


class _Period(msgspec.Struct, gc=False, rename="camel"):
    datetime_from: _Instant
    datetime_to: _Instant


class _Parameter(msgspec.Struct, gc=False):
    name: str
    units: str
    id: int | None = None


class _Coverage(msgspec.Struct, gc=False, rename="camel"):
    percent_coverage: float | None = None
    percent_complete: float | None = None


class Hour(msgspec.Struct, gc=False):
    """An hour of a sensor."""

    period: _Period
    parameter: _Parameter
    # Null where there is no reading, but never left out.
    value: float | None
    coverage: _Coverage | None = None

    @property
    def share(self) -> float | None:
        """Part of the hour that was measured; None where the number can be no share."""
        if self.coverage is None:
            return None
        percent = self.coverage.percent_coverage
        if percent is None:
            percent = self.coverage.percent_complete
        return percent / 100 if percent is not None and 0 <= percent <= 100 else None


class Latest(msgspec.Struct, rename="camel"):
    """A sensor's newest value."""

    datetime: _Instant
    sensors_id: int
    locations_id: int
    value: float | None = None


class _ListedSensor(msgspec.Struct):
    id: int
    parameter: _Parameter


class Location(msgspec.Struct):
    """A location with its sensors."""

    id: int
    name: str | None = None
    locality: str | None = None
    timezone: str | None = None
    country: dict[str, Any] | None = None
    owner: dict[str, Any] | None = None
    provider: dict[str, Any] | None = None
    coordinates: dict[str, Any] | None = None
    licenses: list[dict[str, Any]] | None = None
    sensors: list[_ListedSensor] = []


class ListedParameter(msgspec.Struct, rename="camel"):
    """A parameter in one of its units."""

    id: int
    name: str
    units: str
    display_name: str | None = None
    description: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        """Its row in the table of parameters."""
        return {
            "parameter_id": self.id,
            "name": self.name,
            "unit": self.units,
            "display_name": self.display_name,
            "description": self.description,
            "parameter": NAMES.get(self.name),
        }


class Country(msgspec.Struct, rename="camel"):
    """A country with readings."""

    id: int
    code: str | None = None
    name: str | None = None
    # Plain text here, an object of two times elsewhere.
    datetime_first: _Aware | _Instant | None = None
    datetime_last: _Aware | _Instant | None = None
    parameters: list[ListedParameter] = []

    @property
    def row(self) -> dict[str, Any]:
        """Its row in the table of countries."""
        first, last = (
            one.utc if isinstance(one, _Instant) else one
            for one in (self.datetime_first, self.datetime_last)
        )
        names = {NAMES.get(one.name) for one in self.parameters}
        return {
            "country_id": self.id,
            "code": self.code,
            "name": self.name,
            "first_reading": first,
            "last_reading": last,
            "parameters": sorted(name for name in names if name is not None),
        }


class _Page(msgspec.Struct, Generic[Row]):
    results: list[Row]


def read(answer: RawAnswer, kind: type[Row], problems: Problems) -> list[Row]:
    """Rows of an answer; those of another form are counted and left out."""
    try:
        return msgspec.json.decode(answer.body, type=_Page[kind]).results  # type: ignore[valid-type]
    except msgspec.DecodeError:
        return _read_leniently(answer, kind, problems)


def _read_leniently(answer: RawAnswer, kind: type[Row], problems: Problems) -> list[Row]:
    try:
        body = msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        problems.add(subject(answer.url), "not_json", f"{error}: {answer.body[:60]}")
        return []
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list):
        problems.add(subject(answer.url), "no_results", answer.body)
        return []
    rows = []
    for result in results:
        try:
            rows.append(msgspec.convert(result, kind))
        except msgspec.ValidationError as error:
            problems.add(subject(answer.url), "row_form", f"{error}: {result}")
    return rows


def rows_in(body: str) -> int:
    """How many rows an answer has, whatever they are."""
    try:
        return len(msgspec.json.decode(body, type=_Page[msgspec.Raw]).results)
    except msgspec.DecodeError:
        return 0


def subject(url: str) -> str:
    """The id in an address: of a sensor, a location or a parameter."""
    numbers = re.findall(r"(?:/|locationid=)(\d+)", urlparse(url).path)
    return numbers[-1] if numbers else "area"


def hour_ending(ends: datetime) -> datetime | None:
    """Start of the hour that ends then; None where no hour does."""
    whole = ends.minute == ends.second == ends.microsecond == 0
    return ends - HOUR if whole else None


def zulu(moment: datetime) -> str:
    """With its Z: a time without a zone is taken for the station's local one."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def text(found: object, key: str) -> str | None:
    """A text in an object that may not be one."""
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) and value else None
