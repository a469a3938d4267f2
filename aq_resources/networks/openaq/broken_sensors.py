"""Sensors for which OpenAQ answers 500 every time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from filelock import FileLock

from aq_resources.object_store import LocalObjectStore, MissingObject
from aq_science.windows import DAY, HOUR

# A sensor that failed so often, for so long, while others answered, is left alone for a while.
BROKEN_TIMES, BROKEN_FOR, SET_ASIDE = 3, 2 * HOUR, DAY
FILE = "broken_sensors.json"


class _Ill(msgspec.Struct):
    """A sensor's failures since it last answered."""

    times: int
    since: datetime
    last: datetime


class BrokenSensors:
    """Sensors that fail every time, in a file: what a run learns spares the next ones the tries."""

    def __init__(self, folder: Path) -> None:
        self._store = LocalObjectStore(folder)
        self._lock = FileLock(folder / f"{FILE}.lock")

    def aside(self, now: datetime) -> dict[int, datetime]:
        """The sensors not to be asked now, and until when."""
        return {
            sensor: ill.last + SET_ASIDE
            for sensor, ill in self.known().items()
            if ill.times >= BROKEN_TIMES
            and ill.last - ill.since >= BROKEN_FOR
            and ill.last <= now < ill.last + SET_ASIDE
        }

    def note(self, answered: set[int], failed: set[int], now: datetime) -> None:
        """Take one pull's outcomes in. Where most fail the network is ill, not its sensors."""
        if len(failed) >= len(answered):
            failed = set()
        if not failed and not answered & self.known().keys():
            return
        self._store.root.mkdir(parents=True, exist_ok=True)
        with self._lock:
            known = self.known()
            for sensor in answered:
                known.pop(sensor, None)
            for sensor in failed:
                ill = known.get(sensor, _Ill(0, now, now))
                known[sensor] = _Ill(ill.times + 1, ill.since, now)
            self._store.put(FILE, msgspec.json.encode(known))

    def known(self) -> dict[int, _Ill]:
        """Every sensor that failed since it last answered."""
        try:
            return msgspec.json.decode(self._store.get(FILE), type=dict[int, _Ill])
        except (MissingObject, msgspec.DecodeError):
            return {}
