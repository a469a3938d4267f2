"""What a day's work costs in requests, known before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aq_resources.failures import PermanentFailure
from aq_resources.networks.openaq.locations import Sensor
from aq_resources.networks.openaq.settings import TITLE

# With more sensors an hourly refresh asks for the latest values, parameter by parameter.
LATEST_FROM = 100
# Pages that the latest values of a parameter are taken to fill, the whole world's being in them.
LATEST_PAGES = 25
# Stations that are asked which hour is newest.
NEWEST_STATIONS = 3


def requests_a_day(sensors: int, parameters: int, stations: int, revisits: int) -> int:
    """Requests of an ordinary day: refreshes, questions for the newest hour, revisited days.

    Args:
        sensors: How many there are.
        parameters: How many different ones they measure, each unit counted.
        stations: How many locations they belong to.
        revisits: How many past days are pulled again each day.

    Returns:
        The number of requests.
    """
    refresh = sensors if sensors <= LATEST_FROM else parameters * LATEST_PAGES
    return 24 * (refresh + NEWEST_STATIONS) + stations + revisits * sensors


@dataclass(frozen=True)
class Budget:
    """What OpenAQ allows in an hour, and how many past days are pulled again each day."""

    requests_an_hour: int
    revisits: int

    def refuse_too_many(self, known: Sequence[Sensor]) -> None:
        """Raise `PermanentFailure` where a day's requests for these sensors are not allowed."""
        parameters = {sensor.parameter_id for sensor in known}
        stations = {sensor.station for sensor in known}
        allowed = 24 * self.requests_an_hour
        needed = requests_a_day(len(known), len(parameters), len(stations), self.revisits)
        if needed > allowed:
            raise PermanentFailure(
                f"{len(known)} sensors at {len(stations)} locations take about {needed} requests "
                f"a day, and {TITLE} allows {allowed}: take in fewer stations "
                "(networks.openaq), revisit fewer days (AQ_REVISIT_DAYS), or ask OpenAQ for more "
                "and say so in AQ_OPENAQ_REQUESTS_PER_HOUR."
            )

    def affords_each(self, known: Sequence[Sensor]) -> bool:
        """Whether half an hour's requests are enough to ask each sensor once."""
        return len(known) <= self.requests_an_hour / 2
