"""What CityAir's bodies say: records of hours and stations, and why it refuses."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import httpx
import msgspec

from aq_resources.decoders import converted
from aq_resources.http.json_reader import NotJsonError, read_json
from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import note_not_json
from aq_resources.stores.raw_pulls import RawAnswer

# CityAir's key -> (parameter, unit).
FIELDS = {"pm25": ("pm25", "µg/m³"), "co": ("co", "mg/m³")}


class Record(msgspec.Struct):
    """One hour, by its end."""

    hour_end: Annotated[datetime, msgspec.Meta(tz=True)]
    pm25: float | None = None
    co: float | None = None


class ListedStation(msgspec.Struct):
    """One station of the list."""

    id: str
    name: str
    latitude: float
    longitude: float


def refusal_hint(response: httpx.Response) -> str:
    """What to fix where CityAir refuses."""
    return "Check AQ_CITYAIR_KEY." if response.status_code == 401 else ""


def station_of(answer: RawAnswer) -> str:
    """The station that an answer is about."""
    return answer.url.rsplit("/", 1)[-1]


def records_of(answer: RawAnswer, problems: Problems) -> list[Record] | None:
    """The records of a body, those that are bad noted; None where none of it can be read."""
    station = station_of(answer)
    try:
        rows = read_json(answer.body)
    except NotJsonError as error:
        note_not_json(answer, {station}, problems, error)
        return None
    records = []
    for row in rows if isinstance(rows, list) else [rows]:
        try:
            records.append(converted(row, Record))
        except msgspec.ValidationError as error:
            problems.add(station, "record_form", str(error))
    return records if records or not rows else None
