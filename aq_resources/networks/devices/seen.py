"""What was seen of devices: which there are, and which of the last hours have readings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from aq_resources.networks.devices.bodies import Body
from aq_resources.spool.home import Shared
from aq_science.device_kinds import OF_THE_AIR
from aq_science.windows import HOUR

_HOURS = 48
# Until its last readings have been handed on, an hour is not over.
GRACE = timedelta(seconds=15)


class Seen(msgspec.Struct):
    """Sensors by station id, and the newest hours with a reading."""

    devices: dict[str, list[str]] = msgspec.field(default_factory=dict)
    hours: list[datetime] = msgspec.field(default_factory=list)


def note_seen(file: Shared[Seen], found: Iterable[tuple[datetime, Body]]) -> None:
    """Note devices and hours.

    Args:
        file: Where; what is lost of it comes again with the next readings.
        found: Readings by their hour.
    """
    hours: set[datetime] = set()
    sensors: dict[str, set[str]] = {}
    for hour, body in found:
        hours.add(hour)
        for fleet, device, sensor in set(zip(body.fleet, body.device_id, body.sensor, strict=True)):
            sensors.setdefault(f"{fleet}.{device}", set()).add(sensor)
    known = file.read()
    if hours <= set(known.hours) and all(
        found <= set(known.devices.get(name, ())) for name, found in sensors.items()
    ):
        return

    def add(seen: Seen) -> None:
        seen.hours = sorted({*seen.hours, *hours})[-_HOURS:]
        for name, new in sensors.items():
            seen.devices[name] = sorted({*seen.devices.get(name, ()), *new})

    file.change(add)


def newest_complete(seen: Seen, now: datetime) -> datetime | None:
    """The newest hour with a reading that is over."""
    over = [hour for hour in seen.hours if hour + HOUR + GRACE <= now]
    return max(over, default=None)


def parameters_of(sensors: Iterable[str]) -> tuple[str, ...]:
    """Those of the sensors that measure the air."""
    return tuple(name for name in OF_THE_AIR if name in set(sensors))
