"""IRCELINE's list of series: which ones belong to the configured stations, and the stations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from aq_resources.failures import PermanentFailure
from aq_resources.http.client import HttpClient
from aq_resources.network_client import Failure, Station
from aq_resources.network_settings import Area, NetworkConfig
from aq_resources.network_toolkit.bodies import value_at
from aq_resources.network_toolkit.turns import Turn
from aq_resources.networks.irceline.bodies import (
    SeriesMeaning,
    parameter_of,
    position_of,
    text_of,
)
from aq_resources.networks.irceline.settings import ATTRIBUTION, TITLE
from aq_science.sensor_choice import by_number
from aq_science.windows import HOUR, Window

COUNTRY, TIMEZONE = "BE", "Europe/Brussels"
LIST_LIFE = timedelta(hours=6)
# No limit is documented. A series of a year took 1.4 s, so twenty stay within a time-out of 30 s.
POINTS_PER_REQUEST = 20 * 365 * 24

# Client, path and parameters -> decoded body. Raises `TransientFailure` or `PermanentFailure`.
Get = Callable[[HttpClient, str, dict[str, str]], Any]


@dataclass(frozen=True)
class ListedSeries:
    """One series of the network's list that has a parameter here."""

    series_id: str
    meaning: SeriesMeaning
    parameter: str
    label: str
    latitude: float | None
    longitude: float | None


class SeriesList:
    """The network's list of series, asked for again after some hours."""

    def __init__(self, config: NetworkConfig, get: Get, now: Callable[[], datetime]) -> None:
        self._config = config
        self._get = get
        self._now = now
        self._turn = Turn()
        self._listed: tuple[datetime, list[ListedSeries]] | None = None

    def wanted(self, http: HttpClient) -> tuple[list[ListedSeries], dict[str, Failure]]:
        """Series of the configured stations, and a failure for each station that has none.

        Raises `TransientFailure` or `PermanentFailure`.
        """
        listed = self.listed(http)
        stations, area = self._config.stations, self._config.area
        if not stations and area is not None:
            found = [one for one in listed if _within(one, area)]
            if not found:
                raise PermanentFailure(
                    f"{TITLE} has no station within {area.radius_km:g} km of {area.latitude:g}, "
                    f"{area.longitude:g}: correct networks.irceline.area."
                )
            return found, {}
        known = {one.meaning.station for one in listed}
        unknown: dict[str, Failure] = {
            station: PermanentFailure(
                f"{TITLE} has no series of station {station!r}: correct networks.irceline.stations."
            )
            for station in stations
            if station not in known
        }
        return [one for one in listed if one.meaning.station in stations], unknown

    def listed(self, http: HttpClient) -> list[ListedSeries]:
        """Every series with a parameter here, by station."""
        with self._turn.taken():
            now = self._now()
            if self._listed is not None and abs(now - self._listed[0]) < LIST_LIFE:
                return self._listed[1]
            entries = _entries(self._get(http, "timeseries", {"expanded": "true"}))
            read = [one for entry in entries if (one := _listed_series(entry)) is not None]
            if entries and not any(_phenomenon(entry) for entry in entries):
                example = str(entries[0])[:120]
                raise PermanentFailure(
                    f"{TITLE}'s list of series no longer has the known form: {example}"
                )
            if any(one.latitude is None for one in read):
                read = self._placed(read, http)
            read.sort(key=_order)
            self._listed = (now, read)
            return read

    def forget(self) -> None:
        """Ask for the list again next time."""
        with self._turn.taken():
            self._listed = None

    def _placed(self, listed: list[ListedSeries], http: HttpClient) -> list[ListedSeries]:
        """Positions from the list of stations, for a list of series that gives none."""
        positions = {}
        for entry in _entries(self._get(http, "stations", {})):
            positions[text_of(value_at(entry, "properties", "id"))] = position_of(entry)

        def placed(one: ListedSeries) -> ListedSeries:
            if one.latitude is not None:
                return one
            latitude, longitude = positions.get(one.meaning.station, (None, None))
            return replace(one, latitude=latitude, longitude=longitude)

        return [placed(one) for one in listed]


def batches(series: Sequence[ListedSeries], window: Window) -> Iterator[Sequence[ListedSeries]]:
    """Series cut into questions whose answers stay within `POINTS_PER_REQUEST`.

    Series of one station and parameter stay together, so that what is chosen between was received
    in the same instant. `series` is sorted by station and parameter.
    """
    room = max(1, int(POINTS_PER_REQUEST / max(1.0, (window.end - window.start) / HOUR)))
    batch: list[ListedSeries] = []
    for _, members in groupby(series, lambda one: (one.meaning.station, one.parameter)):
        group = list(members)
        if batch and len(batch) + len(group) > room:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def describe(station: str, series: Sequence[ListedSeries]) -> Station:
    """A station by its series."""
    first = series[0]
    return Station(
        station,
        name=first.label or None,
        latitude=first.latitude,
        longitude=first.longitude,
        country=COUNTRY,
        city=city_of(first.label),
        timezone=TIMEZONE,
        parameters=tuple(sorted({one.parameter for one in series})),
        attribution=ATTRIBUTION,
    )


def city_of(label: str) -> str | None:
    """The place in "CODE - Name (street)"; an airport's number is none."""
    _, dash, name = label.partition(" - ")
    city = name.split("(")[0].strip()
    return city if dash and city and not city.casefold().startswith("aeroport") else None


def _listed_series(entry: Any) -> ListedSeries | None:
    phenomenon = _phenomenon(entry)
    parameter = parameter_of(phenomenon)
    # The feature is the station under another name, and its id is the same.
    station = text_of(value_at(entry, "station", "properties", "id")) or text_of(
        value_at(entry, "parameters", "feature", "id")
    )
    series_id = text_of(value_at(entry, "id"))
    if parameter is None or not station or not series_id:
        return None
    return ListedSeries(
        series_id,
        SeriesMeaning(
            station,
            phenomenon,
            text_of(value_at(entry, "uom")),
            text_of(value_at(entry, "parameters", "procedure", "label")),
        ),
        parameter,
        text_of(value_at(entry, "station", "properties", "label"))
        or text_of(value_at(entry, "parameters", "feature", "label")),
        *position_of(value_at(entry, "station")),
    )


def _phenomenon(entry: Any) -> str:
    return text_of(value_at(entry, "parameters", "phenomenon", "label"))


def _order(one: ListedSeries) -> tuple[Any, ...]:
    """By station and parameter; ids that are numbers by number."""
    return by_number(one.meaning.station), one.parameter, by_number(one.series_id)


def _within(one: ListedSeries, area: Area) -> bool:
    if one.latitude is None or one.longitude is None:
        return False
    return area.km_to(one.latitude, one.longitude) <= area.radius_km


def _entries(decoded: Any) -> list[Any]:
    if not isinstance(decoded, list):
        raise PermanentFailure(f"{TITLE} answered no list: {str(decoded)[:120]}")
    return decoded
