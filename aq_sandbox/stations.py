"""The AirQino stations of the sandbox: ids, names, and positions true and false."""

import re
from dataclasses import dataclass
from functools import lru_cache

from aq_sandbox.noise import chance

_FIRST_MADE_UP = 900_000_001
_FIRST_MADE_UP_NAME = 194
_REAL_NAMES = {"283164601": "SMART188", "283181971": "SMART189", "283249436": "SMART193"}
# What the network's header says, digit for digit; both lie far from Abidjan.
_REAL_HEADERS = {
    "283164601": (5.369345664978027, 0.05000000074505806),
    "283181971": (5.365333557128906, 3.957688093185425),
}
_ABIDJAN = (5.3357, -3.9782)


@dataclass(frozen=True)
class Station:
    """One station of the sandbox."""

    station_id: str
    name: str
    latitude: float
    longitude: float
    header_latitude: float
    header_longitude: float


def station_ids(n: int) -> list[str]:
    """The first `n` stations: three real ones, then made-up ones without end."""
    real = list(_REAL_NAMES)[:n]
    return real + [str(_FIRST_MADE_UP + number) for number in range(n - len(real))]


def is_known(station_id: str, n: int) -> bool:
    """Whether `station_id` is among the first `n`."""
    if station_id in _REAL_NAMES:
        return station_id in station_ids(min(n, len(_REAL_NAMES)))
    if not re.fullmatch(r"9\d{8}", station_id):
        return False
    return 0 <= int(station_id) - _FIRST_MADE_UP < n - len(_REAL_NAMES)


@lru_cache(maxsize=4096)
def station(station_id: str) -> Station:
    """A station of the list, or of a recording.

    Where the real header is not known, its longitude loses the sign.
    """
    number = int(station_id) - _FIRST_MADE_UP
    made_up_name = f"SMART{_FIRST_MADE_UP_NAME + number if number >= 0 else station_id}"
    name = _REAL_NAMES.get(station_id, made_up_name)
    latitude = round(_ABIDJAN[0] + 0.12 * (chance(station_id, "latitude") - 0.5), 6)
    longitude = round(_ABIDJAN[1] + 0.12 * (chance(station_id, "longitude") - 0.5), 6)
    header = _REAL_HEADERS.get(station_id, (latitude, -longitude))
    return Station(station_id, name, latitude, longitude, *header)
