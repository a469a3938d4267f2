"""What OpenAQ's answers hold: their rows, decoded to the fields that matter."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlparse

import httpx
import msgspec

from aq_resources.decoders import converted, decoder_of
from aq_resources.http.json_reader import UNDECODABLE, NotJsonError, read_json
from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import (
    as_dict,
    first_problem,
    note_not_json,
    note_said_error,
)
from aq_resources.networks.openaq.settings import WITHOUT_KEY
from aq_resources.stores.raw_pulls import RawAnswer
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

_REFUSALS = {
    401: "Check AQ_OPENAQ_API_KEY.",
    403: "OpenAQ has blocked this AQ_OPENAQ_API_KEY: write to dev@openaq.org.",
    410: "That version of the interface is retired: AQ_OPENAQ_URL must end in /v3.",
}

# An instant that says its zone.
Aware = Annotated[datetime, msgspec.Meta(tz=True)]
# An id that a column can hold.
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Row = TypeVar("Row")


class Instant(msgspec.Struct, gc=False):
    """A time as OpenAQ writes it, beside the local one."""

    utc: Aware


class LocalInstant(Instant, gc=False):
    """A time with the local one, such as `2026-01-10T05:30:00+05:30`."""

    local: str | None = None

    @property
    def hour_ended(self) -> datetime | None:
        """UTC start of the hour that ends then; None where no full hour of its zone does."""
        clock = self.utc
        if self.local is not None:
            with suppress(ValueError):
                clock = datetime.fromisoformat(self.local)
        return None if clock.minute or clock.second or clock.microsecond else _before(self.utc)


class Period(msgspec.Struct, gc=False, rename="camel"):
    """What a value is the mean of."""

    datetime_from: Instant
    datetime_to: Instant


class _Parameter(msgspec.Struct, gc=False):
    name: str
    units: str
    id: int | None = None


class _Coverage(msgspec.Struct, gc=False, rename="camel"):
    percent_coverage: float | None = None
    percent_complete: float | None = None


class _FlagInfo(msgspec.Struct, gc=False, rename="camel"):
    has_flags: bool = False


class Hour(msgspec.Struct, gc=False):
    """An hour of a sensor."""

    period: Period
    parameter: _Parameter
    # Null where there is no reading, but never left out.
    value: float | None
    coverage: _Coverage | None = None
    flag_info: _FlagInfo | None = msgspec.field(default=None, name="flagInfo")

    @property
    def doubted(self) -> bool:
        """Whether the provider has flagged it."""
        return self.flag_info is not None and self.flag_info.has_flags

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

    datetime: LocalInstant
    sensors_id: Id
    locations_id: Id
    value: float | None = None


class _ListedSensor(msgspec.Struct):
    id: Id
    parameter: _Parameter


class Location(msgspec.Struct):
    """A location with its sensors."""

    id: Id
    name: str | None = None
    locality: str | None = None
    timezone: str | None = None
    country: dict[str, Any] | None = None
    owner: dict[str, Any] | None = None
    provider: dict[str, Any] | None = None
    coordinates: dict[str, Any] | None = None
    licenses: list[dict[str, Any]] | None = None
    sensors: list[_ListedSensor] = []


class _Page(msgspec.Struct, Generic[Row]):
    results: list[Row]


def records_of(answer: RawAnswer, kind: type[Row], problems: Problems) -> list[Row]:
    """The rows of an answer.

    Args:
        answer: A stored answer.
        kind: What each row is.
        problems: Takes those of another form, which are left out.

    Returns:
        The rows that can be read.
    """
    try:
        rows = decoder_of(_Page[kind]).decode(answer.body).results  # type: ignore[valid-type]
    except UNDECODABLE:
        rows = []
    return rows or _one_by_one(answer, kind, problems)


def _one_by_one(answer: RawAnswer, kind: type[Row], problems: Problems) -> list[Row]:
    source = source_of(answer.url)
    try:
        body = read_json(answer.body)
    except NotJsonError as error:
        note_not_json(answer, {source}, problems, error)
        return []
    results = as_dict(body).get("results")
    if not results and note_said_error(body, source, answer.status, problems):
        return []
    if not isinstance(results, list):
        problems.add(source, "no_results", answer.body)
        return []
    rows = []
    for result in results:
        try:
            rows.append(converted(result, kind))
        except (msgspec.ValidationError, RecursionError) as error:
            problems.add(source, "row_form", f"{error}: {result}")
    return rows


def lost_reason(answer: RawAnswer) -> str | None:
    """Why an answer brings no hours of its sensor; None where it does, or says there are none."""
    problems = Problems()
    rows = records_of(answer, Hour, problems)
    if not rows:
        return first_problem(problems)
    start, end = answer.window
    # The end of the hour before the window is an answer too, and that of the last one in it.
    if any(start <= row.period.datetime_to.utc < end + HOUR for row in rows):
        return None
    first, last = (zulu(row.period.datetime_to.utc) for row in (rows[0], rows[-1]))
    return f"hours ending {first} to {last} instead of {zulu(start)} to {zulu(end)}"


def rows_in(body: str) -> list[Any]:
    """The rows of an answer, whatever they are, to be counted and compared."""
    try:
        return decoder_of(_Page[msgspec.Raw]).decode(body).results
    except UNDECODABLE:
        pass
    try:
        results = as_dict(read_json(body)).get("results")
    except NotJsonError:
        return []
    return results if isinstance(results, list) else []


def source_of(url: str) -> str:
    """The id in an address: of a sensor, a location or a parameter."""
    numbers = re.findall(r"(?:/|locationid=)(\d+)", urlparse(url).path)
    return numbers[-1] if numbers else "area"


def hour_of(period: Period) -> datetime | None:
    """UTC start of the hour that a period is; None where it is none.

    Full hours of zones of half and quarter hours end at :15, :30 or :45 UTC.
    """
    ends = period.datetime_to.utc
    if ends.minute % 15 or ends.second or ends.microsecond:
        return None
    start = _before(ends)
    return start if start == period.datetime_from.utc else None


def _before(ends: datetime) -> datetime | None:
    try:
        return ends - HOUR
    except OverflowError:
        # The first hour of the year 1.
        return None


def zulu(moment: datetime) -> str:
    """With its Z: a time without a zone is taken for the station's local one."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def text_at(found: object, key: str) -> str | None:
    """A text in an object that may not be one."""
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) and value else None


def refusal_hint(response: httpx.Response, *, with_key: bool) -> str:
    """What to do about a refusal."""
    if response.status_code == 401 and not with_key:
        return WITHOUT_KEY
    if response.status_code == 404 and "/locations/" in response.url.path:
        station = source_of(str(response.url))
        return f"OpenAQ knows no location {station!r}: correct networks.openaq.stations."
    if response.status_code == 422:
        return f"It says: {_complaint(response.text)}"
    return _REFUSALS.get(response.status_code, "")


def _complaint(body: str) -> str:
    """What a 422 complains of; it comes as a list, as text, and as JSON within text."""
    try:
        decoded = read_json(body)
    except NotJsonError:
        return body[:200]
    detail = decoded.get("detail", decoded) if isinstance(decoded, dict) else decoded
    if isinstance(detail, list):
        said = [text_at(part, "msg") for part in detail]
        detail = "; ".join(part for part in said if part) or detail
    return str(detail)[:200]
