"""AirQino's stations: by its catalogue, and by the header of an answer where that lacks one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aq_resources.http.json_reader import NotJsonError, read_json
from aq_resources.network_client import Station
from aq_resources.network_toolkit.bodies import as_dict, as_number, dicts_in
from aq_resources.networks.airqino.bodies import FIELDS
from aq_resources.networks.airqino.settings import ATTRIBUTION
from aq_resources.stores.raw_pulls import RawAnswer


def listed(station: str, entry: dict[str, Any]) -> Station:
    """A station by the catalogue, which does not say what is measured: all boards are alike."""
    return _station(station, entry, "name", "lat", "lon", (name for name, _ in FIELDS.values()))


def described(station: str, answer: RawAnswer) -> Station:
    """A station by the header and the rows of an answer."""
    try:
        body = as_dict(read_json(answer.body))
    except NotJsonError:
        body = {}
    seen = {key for row in dicts_in(body.get("data")) for key in row}
    return _station(
        station,
        as_dict(body.get("header")),
        *("station_name", "station_lat", "station_lon"),
        (FIELDS[key][0] for key in seen & FIELDS.keys()),
    )


def _station(
    station: str, said: dict[str, Any], name: str, lat: str, lon: str, parameters: Iterable[str]
) -> Station:
    called = said.get(name)
    return Station(
        station,
        name=None if called in (None, "") else str(called),
        latitude=as_number(said.get(lat), text=True),
        longitude=as_number(said.get(lon), text=True),
        parameters=tuple(sorted(parameters)),
        attribution=ATTRIBUTION,
    )
