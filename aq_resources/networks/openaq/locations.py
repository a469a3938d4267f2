"""OpenAQ's locations: the stations, whose sensors are whose, and the file of their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlparse
from zoneinfo import ZoneInfo

import msgspec

from aq_resources.http.state_file import StateFile
from aq_resources.network_client import Problems, Station
from aq_resources.network_settings import Area
from aq_resources.network_toolkit.bodies import as_number
from aq_resources.networks.openaq.bodies import NAMES, Location, records_of, text_at
from aq_resources.networks.openaq.settings import ATTRIBUTION
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.stations import usable_zone
from aq_science.windows import DAY, HOUR

# Locations change rarely; each run is a process of its own, so they are kept in a file.
KEPT_FOR = DAY
FILE = "locations.json"


@dataclass(frozen=True)
class Sensor:
    """One sensor of a location: what its readings are readings of."""

    sensor_id: int
    station: str
    parameter: str
    unit: str
    # OpenAQ's number for the parameter in this unit.
    parameter_id: int | None = None
    # As the location gives it.
    timezone: str | None = None

    @property
    def source(self) -> str:
        """What messages call it."""
        return f"{self.station} {self.parameter} (sensor {self.sensor_id})"

    def beyond_full_hours(self, moment: datetime) -> timedelta:
        """How much later than those of UTC the hours of its zone end; at most where none is known.

        The last one that begins in a window ends so long after it.
        """
        zone = usable_zone(self.timezone)
        if zone is None:
            return timedelta(minutes=45)
        return -(moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()) % HOUR


class _Kept(msgspec.Struct):
    """The file: what was asked, when, and what was answered."""

    question: str
    asked_at: datetime
    answers: list[RawAnswer]


class KeptLocations:
    """Answers about the locations, in a file that every process of an AQ_HOME shares."""

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime],
        url: str,
        stations: Sequence[str],
        area: Area | None,
    ) -> None:
        self._file = StateFile[_Kept | None](folder / FILE, _Kept, lambda: None)
        self._now = now
        # What the kept answers are the answer to.
        self._question = json.dumps([url, stations, area.model_dump() if area else None])

    def fresh(self, within: timedelta = KEPT_FOR) -> list[RawAnswer] | None:
        """The answers, where they are so young and answer the same question."""
        kept = self._file.read()
        if kept is None:
            return None
        young = kept.asked_at <= self._now() < kept.asked_at + within
        return kept.answers if young and kept.question == self._question else None

    def keep(self, asked_at: datetime, answers: list[RawAnswer]) -> None:
        """Keep the answers for the next ones who ask."""
        self._file.write(_Kept(self._question, asked_at, answers))


def listed(answer: RawAnswer, problems: Problems) -> list[Location]:
    """Locations of an answer, within the circle that was meant if there was one."""
    locations = records_of(answer, Location, problems)
    circle = urlparse(answer.url).fragment
    if not circle:
        return locations
    latitude, longitude, radius_km = (float(number) for number in circle.split(","))
    area = Area(latitude=latitude, longitude=longitude, radius_km=radius_km)
    return [one for one in locations if _within(one, area)]


def _within(location: Location, area: Area) -> bool:
    latitude, longitude = position_of(location)
    if latitude is None or longitude is None:
        return False
    # Coordinates are cut to four decimals on the way: ten metres to spare.
    return area.km_to(latitude, longitude) <= area.radius_km + 0.01


def sensors(answers: Iterable[RawAnswer], problems: Problems) -> dict[int, Sensor]:
    """Sensors of the locations that measure something we know; a newer answer wins."""
    found: dict[int, Sensor] = {}
    for answer in sorted(answers, key=lambda one: one.pulled_at):
        for location in listed(answer, problems):
            for sensor in location.sensors:
                parameter = NAMES.get(sensor.parameter.name)
                if parameter is not None:
                    found[sensor.id] = Sensor(
                        sensor.id,
                        str(location.id),
                        parameter,
                        sensor.parameter.units,
                        sensor.parameter.id,
                        location.timezone,
                    )
    return found


def describe(location: Location) -> Station:
    """The location as a station."""
    latitude, longitude = position_of(location)
    names = {NAMES.get(sensor.parameter.name) for sensor in location.sensors}
    return Station(
        str(location.id),
        name=location.name,
        latitude=latitude,
        longitude=longitude,
        country=text_at(location.country, "code"),
        city=location.locality if location.locality != "N/A" else None,
        timezone=location.timezone,
        parameters=tuple(sorted(name for name in names if name is not None)),
        attribution=_attribution(location),
    )


def _attribution(location: Location) -> str:
    """Credit as the licences ask for it: the provider, each licence with its holder, OpenAQ."""
    parts = [text_at(location.provider, "name")]
    for licence in location.licenses or []:
        holder = text_at(licence.get("attribution"), "name")
        name = text_at(licence, "name")
        parts.append(f"{holder} ({name})" if holder and name else holder or name)
    if not location.licenses:
        parts.append(text_at(location.owner, "name"))
    named = dict.fromkeys(part for part in parts if part)
    return "; ".join([*named, ATTRIBUTION])


def position_of(location: Location) -> tuple[float | None, float | None]:
    """Latitude and longitude."""
    position = location.coordinates or {}
    return as_number(position.get("latitude")), as_number(position.get("longitude"))
