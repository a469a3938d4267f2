"""What AirQino's bodies say: rows of hours, and why it refuses."""

from __future__ import annotations

import math
from contextlib import suppress
from operator import attrgetter
from typing import Any

import httpx
import msgspec

from aq_resources.http.json_reader import UNDECODABLE, NotJsonError, read_json
from aq_resources.network_client import Problems
from aq_resources.network_toolkit.bodies import (
    as_dict,
    first_problem,
    note_not_json,
    note_said_error,
    value_of,
)
from aq_resources.networks.airqino.settings import CHECK_LOGIN
from aq_resources.stores.raw_pulls import RawAnswer

# AirQino's key -> (parameter, unit). "T. int." is a raw count of the board, not a reading.
FIELDS = {
    "CO": ("co", "mg/m³"),
    "NO2": ("no2", "µg/m³"),
    "O3": ("o3", "µg/m³"),
    "PM10": ("pm10", "µg/m³"),
    "PM2.5": ("pm25", "µg/m³"),
    "RH": ("humidity", "%"),
    "T": ("temperature", "°C"),
}
STAMP = "%Y-%m-%d %H:%M:%S"
# Stamps of rows, and the values of each of `FIELDS`.
Columns = tuple[list[str], dict[str, list[float | None]]]

_Row = msgspec.defstruct(
    "_Row",
    [("timestamp", str), *((f"f{i}", float | None, None) for i in range(len(FIELDS)))],
    rename={f"f{i}": key for i, key in enumerate(FIELDS)},
    gc=False,
)


class _Stamp(msgspec.Struct, gc=False):
    timestamp: str


class _Stamps(msgspec.Struct):
    data: list[_Stamp]
    header: dict[str, Any] = {}


class _Body(msgspec.Struct):
    data: list[_Row]  # type: ignore[valid-type]
    header: dict[str, Any] = {}


# An expression a row would take five times as long.
_VALUES = {key: attrgetter(f"f{i}") for i, key in enumerate(FIELDS)}

_strict_body = msgspec.json.Decoder(_Body)
# Asked of every answer that comes: the values are not needed for it.
_strict_stamps = msgspec.json.Decoder(_Stamps)


def refusal_hint(response: httpx.Response, *, logged_in: bool) -> str:
    """What to fix where AirQino refuses."""
    if response.status_code in (401, 403):
        if logged_in:
            return CHECK_LOGIN
        return (
            "AirQino wants a login: set AQ_AIRQINO_USERNAME, AQ_AIRQINO_PASSWORD, "
            "AQ_AIRQINO_CLIENT_ID and AQ_AIRQINO_CLIENT_SECRET (info@airqino.it gives them out)."
        )
    if response.status_code == 404:
        station = response.url.path.rsplit("/", 1)[-1]
        return f"AirQino knows no station {station!r}: correct networks.airqino.stations."
    return ""


def station_of(answer: RawAnswer) -> str:
    """The station that an answer is about."""
    return answer.url.rsplit("/", 1)[-1]


def rows_of(answer: RawAnswer, problems: Problems, unreadable: set[str]) -> Columns | None:
    """The rows of a body, column by column; those that are bad are noted.

    Args:
        answer: A stored answer.
        problems: Takes what is wrong.
        unreadable: Takes the station where the body has not the known form, or is another's.

    Returns:
        The columns; None for an answer that holds none at all.
    """
    try:
        body = _strict_body.decode(answer.body)
    except UNDECODABLE:
        # Some value or record is not of the known form: read the others one by one.
        return _rows_one_by_one(answer, problems, unreadable)
    rows: list[Any] = body.data
    if not rows:
        return _rows_one_by_one(answer, problems, unreadable)
    if _is_of_another(body.header, answer, problems, unreadable):
        return None
    stamps = [row.timestamp for row in rows]
    return stamps, {key: list(map(value, rows)) for key, value in _VALUES.items()}


def lost_reason(answer: RawAnswer) -> str | None:
    """Why a 200 brings nothing of its station; None where it does, or says that there is none."""
    # Both ends count. As text, since that is how they sort as well.
    start, end = (at.strftime(STAMP) for at in answer.window)
    with suppress(*UNDECODABLE):
        body = _strict_stamps.decode(answer.body)
        within = any(start <= row.timestamp <= end for row in body.data)
        if within and not _is_of_another(body.header, answer, Problems(), set()):
            return None
    problems = Problems()
    columns = rows_of(answer, problems, set())
    if columns is None or not columns[0]:
        return first_problem(problems)
    stamps = columns[0]
    if any(start <= stamp <= end for stamp in stamps):
        return None
    return f"it gives {stamps[0]} to {stamps[-1]} instead of {start} to {end}"


def _is_of_another(
    header: dict[str, Any], answer: RawAnswer, problems: Problems, unreadable: set[str]
) -> bool:
    """Whether the header names another station than the one asked: its rows are not ours."""
    station, named = station_of(answer), header.get("station_id")
    if named in (None, "") or str(named) == station:
        return False
    problems.add(station, "another_station", f"the header names station {named}")
    unreadable.add(station)
    return True


def _rows_one_by_one(answer: RawAnswer, problems: Problems, unreadable: set[str]) -> Columns | None:
    station = station_of(answer)
    stamps: list[str] = []
    columns: dict[str, list[float | None]] = {key: [] for key in FIELDS}
    try:
        body = read_json(answer.body)
    except NotJsonError as error:
        note_not_json(answer, {station}, problems, error)
        unreadable.add(station)
        return None
    rows = as_dict(body).get("data")
    if not rows and note_said_error(body, station, answer.status, problems):
        return None
    if not isinstance(rows, list):
        problems.add(station, "no_data_list", answer.body)
        unreadable.add(station)
        return None
    if _is_of_another(as_dict(body.get("header")), answer, problems, unreadable):
        return None
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("timestamp"), str):
            problems.add(station, "no_timestamp", str(row))
            continue
        stamps.append(row["timestamp"])
        for key, values in columns.items():
            given = row.get(key)
            # Most values are good, and a call for each would double the time.
            good = given is None or (type(given) is float and math.isfinite(given))
            values.append(
                given if good else value_of(given, station, f"{row['timestamp']} {key}", problems)
            )
    return stamps, columns
