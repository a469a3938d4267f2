"""Sensors for which OpenAQ answers 500 every time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from aq_resources.http.state_file import StateFile
from aq_science.windows import DAY, HOUR

# A sensor that failed so often, for so long, while others answered, is left alone for a while.
BROKEN_TIMES, BROKEN_FOR, SET_ASIDE = 3, 2 * HOUR, DAY
FILE = "broken_sensors.json"


class _Failing(msgspec.Struct):
    """A sensor's failures since it last answered."""

    times: int
    since: datetime
    last: datetime


class BrokenSensors:
    """Sensors that fail every time, in a file: what a run learns spares the next ones the tries."""

    def __init__(self, folder: Path) -> None:
        self._file = StateFile(folder / FILE, dict[int, _Failing], dict)

    def aside(self, now: datetime) -> dict[int, datetime]:
        """The sensors not to be asked now, and until when."""
        return {
            sensor: failing.last + SET_ASIDE
            for sensor, failing in self.known().items()
            if failing.times >= BROKEN_TIMES
            and failing.last - failing.since >= BROKEN_FOR
            and failing.last <= now < failing.last + SET_ASIDE
        }

    def note(self, answered: set[int], failed: set[int], now: datetime) -> None:
        """Take one pull's outcomes in. Where most fail the network fails, not its sensors.

        Args:
            answered: Ids of the sensors that answered.
            failed: Ids of those that did not.
            now: When, UTC.
        """
        if len(failed) >= len(answered):
            failed = set()
        if not failed and not answered & self.known().keys():
            return
        with self._file.updated() as known:
            for sensor in answered:
                known.pop(sensor, None)
            for sensor in failed:
                failing = known.get(sensor, _Failing(0, now, now))
                known[sensor] = _Failing(failing.times + 1, failing.since, now)

    def known(self) -> dict[int, _Failing]:
        """Every sensor that failed since it last answered."""
        return self._file.read()
