"""What a day's work costs in requests, known before it starts."""

from __future__ import annotations

# With more sensors an hourly refresh asks for the latest values, parameter by parameter.
LATEST_FROM = 100
# Pages that the latest values of a parameter are taken to fill, the whole world's being in them.
LATEST_PAGES = 25
# Stations that are asked which hour is newest.
NEWEST_STATIONS = 3


def requests_a_day(sensors: int, parameters: int, stations: int, revisits: int) -> int:
    """Requests of an ordinary day: refreshes, questions for the newest hour, revisited days."""
    refresh = sensors if sensors <= LATEST_FROM else parameters * LATEST_PAGES
    return 24 * (refresh + NEWEST_STATIONS) + stations + revisits * sensors
