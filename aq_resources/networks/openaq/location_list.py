"""The configured locations, asked for: once a day by all processes, out of a file in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import concurrently
from aq_resources.network_client import Problems, Pull
from aq_resources.network_settings import Area, NetworkConfig
from aq_resources.network_toolkit.bodies import first_problem
from aq_resources.networks.openaq.api import Api
from aq_resources.networks.openaq.bodies import source_of
from aq_resources.networks.openaq.locations import KEPT_FOR, KeptLocations, listed
from aq_resources.networks.openaq.settings import TITLE
from aq_science.stations import EARTH_KM
from aq_science.windows import HOUR, Window

# The largest radius that the interface takes; a wider area is asked for by its corners.
RADIUS_METRES = 25_000


class LocationList:
    """Answers about the configured locations."""

    def __init__(
        self,
        config: NetworkConfig,
        api: Api,
        folder: Path,
        now: Callable[[], datetime],
        workers: int,
    ) -> None:
        self._config = config
        self._api = api
        self._kept = KeptLocations(folder, now, api.url, config.stations, config.area)
        self._now = now
        self._workers = workers
        self._has_asked = False

    def pulls(self, within: timedelta = KEPT_FOR) -> Iterator[Pull]:
        """The locations, from the file while it is so young."""
        known = self._kept.fresh(within)
        if known is None:
            yield from self._ask()
        else:
            yield from (Pull(source_of(answer.url), answer) for answer in known)

    def current(self) -> Iterator[Pull]:
        """The locations as they are now; what the same run has just asked is not asked again."""
        return self.pulls(HOUR) if self._has_asked else self._ask()

    def stations(self) -> list[str]:
        """Ids of the locations, from the entry or else by asking.

        Raises `TransientFailure` or `PermanentFailure`.
        """
        if self._config.stations:
            return list(self._config.stations)
        names = []
        for pull in self.pulls():
            if pull.failure is not None:
                raise pull.failure
            if pull.answer is not None:
                names += [str(location.id) for location in listed(pull.answer, Problems())]
        return names

    def _ask(self) -> Iterator[Pull]:
        """Kept in the file where all of them answered."""
        now = self._now()
        window = Window(now - HOUR, now)
        pulls = list(
            concurrently(
                lambda station: self._api.ask(station, f"/locations/{station}", {}, window),
                self._config.stations,
                self._workers,
            )
        )
        if (area := self._config.area) is not None:
            pulls += self._api.pages("area", area_path(area), area_question(area), window)
        pulls = [_legible(pull) for pull in pulls]
        if all(pull.failure is None for pull in pulls):
            self._kept.keep(now, [pull.answer for pull in pulls if pull.answer is not None])
            self._has_asked = True
        yield from pulls


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


def _legible(pull: Pull) -> Pull:
    """An answer about locations of which not one can be read, or about others, is a failure.

    It would pass for a network without sensors, and be kept as such for a day.
    """
    problems = Problems()
    if pull.failure or pull.answer is None:
        return pull
    locations = listed(pull.answer, problems)
    if not locations and problems.total:
        changed = f"{TITLE}'s locations no longer have the known form: {first_problem(problems)}"
        return replace(pull, failure=PermanentFailure(changed))
    asked = source_of(pull.answer.url)
    if asked.isdecimal() and int(asked) not in {location.id for location in locations}:
        named = ", ".join(str(location.id) for location in locations[:3]) or "none"
        other = f"{TITLE} was asked for location {asked} and described {named}"
        return replace(pull, failure=TransientFailure(other))
    return pull
