"""Kinds of devices, what each of them sends, and what a value of it can be."""

from __future__ import annotations

from typing import NamedTuple

from aq_science.parameters import PARAMETERS


class Sensor(NamedTuple):
    """One quantity: its unit, and the inclusive bounds of what a value can be."""

    unit: str
    least: float
    most: float


def _as_of_stations(name: str) -> Sensor:
    parameter = PARAMETERS[name]
    return Sensor(parameter.unit, *parameter.fail)


# The air's quantities have the bounds of the stations' ones, so that what is taken here is not
# thrown out there.
SENSORS: dict[str, Sensor] = {
    "temperature": Sensor("°C", -60, 85),
    "humidity": Sensor("%", 0, 100),
    "pressure": Sensor("hPa", 900, 1100),
    "heart_rate": Sensor("beats/min", 20, 250),
    **{name: _as_of_stations(name) for name in ("pm25", "pm10", "co", "no2", "o3")},
}

# What a device of each kind sends, by the tag in its messages.
KINDS: dict[str, tuple[str, ...]] = {
    "Thermostat": ("temperature",),
    "Barometer": ("pressure",),
    "Hygrometer": ("humidity",),
    "HeartRateMeter": ("heart_rate",),
    "AirQuality": ("pm25", "pm10", "co", "no2", "o3", "temperature", "humidity"),
}

# Those that join the stations' readings; what else there is stays among the devices' own tables.
OF_THE_AIR = tuple(name for name in SENSORS if name in PARAMETERS)
