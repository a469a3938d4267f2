"""OpenAQ's locations: the stations, whose sensors are, and the file that keeps the answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlparse

import msgspec

from aq_resources.network_settings import Area
from aq_resources.networks._client import Problems, Station
from aq_resources.networks.openaq.bodies import NAMES, Location, read, text
from aq_resources.networks.openaq.settings import ATTRIBUTION
from aq_resources.object_store import MissingObject, ObjectStore
from aq_resources.raw_pulls import RawAnswer
from aq_science.stations import EARTH_KM
from aq_science.windows import DAY

# Locations change rarely; each run is a process of its own, so they are kept in a file.
KEPT_FOR = DAY
FILE = "locations.json"
# The largest radius that the interface takes; a wider area is asked for by its corners.
RADIUS_METRES = 25_000


@dataclass(frozen=True)
class Sensor:
    """One sensor of a location: what its readings are readings of."""

    sensor_id: int
    station: str
    parameter: str
    unit: str
    # OpenAQ's number for the parameter in this unit.
    parameter_id: int | None = None

    @property
    def subject(self) -> str:
        """What messages call it."""
        return f"{self.station} {self.parameter} (sensor {self.sensor_id})"


class _Kept(msgspec.Struct):
    """The file: what was asked, when, and what was answered."""

    question: str
    asked_at: datetime
    answers: list[RawAnswer]


class KeptLocations:
    """Answers about the locations, in a file that every process of an AQ_HOME shares."""

    def __init__(
        self,
        store: ObjectStore,
        now: Callable[[], datetime],
        url: str,
        stations: Sequence[str],
        area: Area | None,
    ) -> None:
        self._store = store
        self._now = now
        # What the kept answers are the answer to.
        self._question = json.dumps([url, stations, area.model_dump() if area else None])

    def fresh(self, within: timedelta = KEPT_FOR) -> list[RawAnswer] | None:
        """The answers, where they are so young and answer the same question."""
        try:
            kept = msgspec.json.decode(self._store.get(FILE), type=_Kept)
        except (MissingObject, msgspec.DecodeError):
            return None
        young = kept.asked_at <= self._now() < kept.asked_at + within
        return kept.answers if young and kept.question == self._question else None

    def keep(self, asked_at: datetime, answers: list[RawAnswer]) -> None:
        """Keep the answers for the next ones who ask."""
        self._store.put(FILE, msgspec.json.encode(_Kept(self._question, asked_at, answers)))


def listed(answer: RawAnswer, problems: Problems) -> list[Location]:
    """Locations of an answer, within the circle that was meant if there was one."""
    locations = read(answer, Location, problems)
    circle = urlparse(answer.url).fragment
    if not circle:
        return locations
    latitude, longitude, radius_km = (float(number) for number in circle.split(","))
    area = Area(latitude=latitude, longitude=longitude, radius_km=radius_km)
    return [one for one in locations if _within(one, area)]


def _within(location: Location, area: Area) -> bool:
    latitude, longitude = _position(location)
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
                    )
    return found


def describe(location: Location) -> Station:
    """The location as a station."""
    latitude, longitude = _position(location)
    names = {NAMES.get(sensor.parameter.name) for sensor in location.sensors}
    return Station(
        str(location.id),
        name=location.name,
        latitude=latitude,
        longitude=longitude,
        country=text(location.country, "code"),
        city=location.locality if location.locality != "N/A" else None,
        timezone=location.timezone,
        parameters=tuple(sorted(name for name in names if name is not None)),
        attribution=_attribution(location),
    )


def _attribution(location: Location) -> str:
    """Whom the licences ask to name: the provider, each licence with its holder, OpenAQ."""
    parts = [text(location.provider, "name")]
    for licence in location.licenses or []:
        holder = text(licence.get("attribution"), "name")
        name = text(licence, "name")
        parts.append(f"{holder} ({name})" if holder and name else holder or name)
    if not location.licenses:
        parts.append(text(location.owner, "name"))
    named = dict.fromkeys(part for part in parts if part)
    return "; ".join([*named, ATTRIBUTION])


def area_path(area: Area) -> str:
    """Where the locations of an area are asked for.

    Corners hold more than the circle. Whoever reads the answer later learns of the circle by a
    fragment, which is not sent.
    """
    return f"/locations#{area.latitude},{area.longitude},{area.radius_km}"


def area_question(area: Area) -> dict[str, str]:
    """The area as the interface can be asked for it."""
    metres = area.radius_km * 1000
    if metres <= RADIUS_METRES:
        return {
            "coordinates": f"{area.latitude:.4f},{area.longitude:.4f}",
            "radius": str(math.ceil(metres)),
        }
    height = math.degrees(area.radius_km / EARTH_KM)
    south, north = max(-90.0, area.latitude - height), min(90.0, area.latitude + height)
    # The widest part of the circle; around a pole every longitude.
    narrowest = math.cos(math.radians(max(abs(south), abs(north))))
    width = min(180.0, height / narrowest) if narrowest > 1e-6 else 180.0
    west, east = max(-180.0, area.longitude - width), min(180.0, area.longitude + width)
    return {"bbox": f"{west:.4f},{south:.4f},{east:.4f},{north:.4f}"}


def _position(location: Location) -> tuple[float | None, float | None]:
    position = location.coordinates or {}
    return _number(position.get("latitude")), _number(position.get("longitude"))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
