"""What IRCELINE's bodies say: points by series, and why it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import httpx
import msgspec

from aq_resources.http.json_reader import UNDECODABLE, NotJsonError, read_json
from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import (
    as_number,
    first_problem,
    is_refusal,
    note_not_json,
    value_at,
    value_of,
)
from aq_resources.stores.raw_pulls import RawAnswer

LAST_MS = 4_102_444_800_000  # 2100-01-01

# Phenomenon -> parameter. Ids are not relied on: they differ between sources.
PHENOMENA = {
    "particulate matter < 10 µm": "pm10",
    "particulate matter < 2.5 µm": "pm25",
    "particulate matter < 1 µm": "pm1",
    "black carbon": "bc",
    "nitrogen monoxide": "no",
    "nitrogen dioxide": "no2",
    "ozone": "o3",
    "sulphur dioxide": "so2",
    "sulfur dioxide": "so2",
    "carbon monoxide": "co",
    "carbon dioxide": "co2",
    "temperature": "temperature",
    "relative humidity": "humidity",
    "atmospheric pressure": "pressure",
}


class SeriesMeaning(msgspec.Struct, frozen=True):
    """What a series measures, in the network's own words; stored beside every answer.

    An answer names its series by id alone, and the list of series changes over the years.
    """

    station: str
    phenomenon: str
    uom: str = ""
    procedure: str = ""


Meanings = Mapping[str, SeriesMeaning]


class Point(msgspec.Struct, gc=False):
    """One hour of a series, by its end in epoch milliseconds."""

    timestamp: Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]
    value: float | None = None


class Values(msgspec.Struct):
    """A series' points."""

    values: list[Point]


# Points by series; None for a series without one that can be read.
Series = Mapping[str, Values | None]

_strict_body = msgspec.json.Decoder(dict[str, Values])
_meanings = msgspec.json.Decoder(dict[str, SeriesMeaning])


def refusal_hint(response: httpx.Response) -> str:
    """What the interface says about a refusal, in its own words."""
    try:
        body = read_json(response.content)
    except NotJsonError:
        return ""
    said = text_of(value_at(body, "userMessage")) or text_of(value_at(body, "reason"))
    return f"It says: {said[:200]}" if said else ""


def parameter_of(phenomenon: str) -> str | None:
    """The parameter that a phenomenon's label names."""
    label = " ".join(phenomenon.casefold().replace("μ", "µ").split())
    return PHENOMENA.get(label, PHENOMENA.get(label.replace(" um", " µm")))


def meanings_of(answer: RawAnswer, problems: Problems) -> Meanings | None:
    """What the series of an answer measure; None, and noted, where it does not say."""
    try:
        return _meanings.decode(answer.params.get("series", ""))
    except UNDECODABLE:
        problems.add("unknown", "series_not_described", answer.url)
        return None


def series_of(
    answer: RawAnswer, meanings: Meanings, problems: Problems, unreadable: set[str]
) -> Series | None:
    """An answer's points by series; those that are bad are noted.

    Args:
        answer: A stored answer.
        meanings: What was asked for.
        problems: Takes what is wrong.
        unreadable: Takes the stations where the body is no JSON.

    Returns:
        The points; None for an answer that holds none at all.
    """
    stations = {meaning.station for meaning in meanings.values()}
    if is_refusal(answer, stations, problems):
        return None
    try:
        return _strict_body.decode(answer.body)
    except UNDECODABLE:
        # Some value or record is not of the known form: read the others one by one.
        pass
    try:
        return _one_by_one(read_json(answer.body), meanings, problems)
    except NotJsonError as error:
        note_not_json(answer, stations, problems, error)
        unreadable |= stations
        return None


def lost_stations(answer: RawAnswer) -> Iterator[tuple[str, str]]:
    """Stations of which a 200 brings nothing though it does not say that there is nothing.

    Args:
        answer: An answer to a question about some series.

    Returns:
        Each with the reason.
    """
    problems = Problems()
    meanings = meanings_of(answer, problems) or {}
    found = series_of(answer, meanings, problems, set()) or {}
    start, end = (round(at.timestamp() * 1000) for at in answer.window)
    by_station: dict[str, list[Values]] = {meaning.station: [] for meaning in meanings.values()}
    for series_id, values in found.items():
        if series_id in meanings and values is not None:
            by_station[meanings[series_id].station].append(values)
    for station, series in by_station.items():
        stamps = [point.timestamp for values in series for point in values.values]
        if not series:
            yield station, first_problem(problems) or "none of its series is in the answer"
        # Both ends count.
        elif stamps and not any(start <= stamp <= end for stamp in stamps):
            yield station, f"all stamps lie outside the time asked for, such as {stamps[0]}"


def _one_by_one(decoded: Any, meanings: Meanings, problems: Problems) -> Series:
    if not isinstance(decoded, dict):
        for station in {meaning.station for meaning in meanings.values()}:
            problems.add(station, "no_series", str(decoded))
        return dict.fromkeys(meanings)
    read: dict[str, Values | None] = {}
    for series_id, entry in decoded.items():
        meaning = meanings.get(series_id)
        station = meaning.station if meaning else "unknown"
        rows = entry.get("values") if isinstance(entry, dict) else None
        if not isinstance(rows, list):
            problems.add(station, "no_values_list", f"{series_id}: {entry}")
            read[series_id] = None
            continue
        found = (_point(row, station, series_id, problems) for row in rows)
        points = [point for point in found if point is not None]
        read[series_id] = Values(points) if points or not rows else None
    return read


def _point(row: Any, station: str, series_id: str, problems: Problems) -> Point | None:
    stamp = row.get("timestamp") if isinstance(row, dict) else None
    if isinstance(stamp, bool) or not isinstance(stamp, int):
        problems.add(station, "no_timestamp", f"{series_id}: {row}")
        return None
    if not 0 <= stamp <= LAST_MS:
        problems.add(station, "timestamp_out_of_range", f"{series_id}: {stamp}")
        return None
    given = row.get("value")
    if given == "NaN":
        return Point(stamp)
    return Point(stamp, value_of(given, station, f"{series_id} {stamp}", problems, finite=True))


def text_of(value: Any) -> str:
    """A text, or a whole number as one; "" where it is neither."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def position_of(feature: Any) -> tuple[float | None, float | None]:
    """Latitude and longitude out of `[longitude, latitude, "NaN"]`."""
    given = value_at(feature, "geometry", "coordinates")
    if not isinstance(given, list) or len(given) < 2:
        return None, None
    longitude, latitude = (as_number(one, text=True, finite=True) for one in given[:2])
    return (None, None) if latitude is None or longitude is None else (latitude, longitude)
