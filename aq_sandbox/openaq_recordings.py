"""Recorded bodies of OpenAQ, served row by row as they were recorded.

A folder's `*.json` files are known by what is in them: locations, or a sensor's readings in
a file `sensor_<id>….json`, where a file whose name sorts later wins. `*.csv` and `*.csv.gz`
files in and below it that begin as the archive's do are its files, whatever they are called.
"""

import csv
import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

_SENSOR = re.compile(r"sensor_(\d+)")


class _Instant(msgspec.Struct):
    utc: datetime
    local: str | None = None


class _Period(msgspec.Struct, rename="camel"):
    datetime_to: _Instant


class _Reading(msgspec.Struct):
    period: _Period
    value: float | None = None


class _Page(msgspec.Struct):
    results: list[msgspec.Raw]


_readings = msgspec.json.Decoder(_Reading)
_pages = msgspec.json.Decoder(_Page)


@dataclass(frozen=True)
class Recordings:
    """What a folder holds: locations, rows of sensors by the hour's end, files of the archive."""

    locations: dict[int, dict[str, Any]]
    rows: dict[int, Sequence[tuple[_Reading, msgspec.Raw]]]
    files: dict[tuple[int, str], bytes]

    def ids(self) -> list[int]:
        """Every recorded location."""
        return list(self.locations)

    def location(self, number: int) -> dict[str, Any] | None:
        """A location's body."""
        return self.locations.get(number)

    def location_of(self, sensor: int) -> dict[str, Any] | None:
        """Body of the location that lists a sensor."""
        return next(
            (
                location
                for location in self.locations.values()
                if any(one["id"] == sensor for one in location["sensors"])
            ),
            None,
        )

    def hours(self, sensor: int, start: datetime, end: datetime) -> list[msgspec.Raw]:
        """Rows that end in `(start, end]`.

        Args:
            sensor: its id; one without a recording has no rows.
            start: UTC, excluded.
            end: UTC, included.

        Returns:
            The recorded rows as they came, by time.
        """
        return [
            raw
            for reading, raw in self.rows.get(sensor, ())
            if start < reading.period.datetime_to.utc <= end
        ]

    def newest(self, location: dict[str, Any], now: datetime) -> Iterator[dict[str, Any]]:
        """Each sensor's newest value by then, as `latest` has it."""
        for sensor in location["sensors"]:
            ended = [
                reading
                for reading, _ in self.rows.get(sensor["id"], ())
                if reading.period.datetime_to.utc <= now and reading.value is not None
            ]
            if ended:
                newest = max(ended, key=lambda one: one.period.datetime_to.utc)
                stamp = newest.period.datetime_to
                yield {
                    "datetime": {"utc": f"{stamp.utc:%Y-%m-%dT%H:%M:%SZ}", "local": stamp.local},
                    "value": newest.value,
                    "coordinates": location["coordinates"],
                    "sensorsId": sensor["id"],
                    "locationsId": location["id"],
                }

    def parameters(self) -> list[dict[str, Any]]:
        """What the recorded sensors measure."""
        found = {
            sensor["parameter"]["id"]: {**sensor["parameter"], "description": None}
            for location in self.locations.values()
            for sensor in location["sensors"]
        }
        return [found[number] for number in sorted(found)]

    def countries(self) -> list[dict[str, Any]]:
        """Where the recorded locations are."""
        found = {one["country"]["id"]: one["country"] for one in self.locations.values()}
        return [found[number] for number in sorted(found)]

    def file(self, location: int, day: str) -> bytes | None:
        """The archive's file of a local day (`YYYYMMDD`)."""
        return self.files.get((location, day))


def read_recordings(folder: Path) -> Recordings:
    """The recordings of a folder; read once for as long as no file is changed."""
    kinds = ("*.json", "**/*.csv", "**/*.csv.gz")
    paths = sorted(path for kind in kinds for path in folder.glob(kind))
    return _read(tuple((path, path.stat().st_mtime_ns) for path in paths))


@lru_cache(maxsize=4)
def _read(files: tuple[tuple[Path, int], ...]) -> Recordings:
    recorded = Recordings({}, {}, {})
    for path, _ in files:
        if path.suffix == ".json":
            _read_page(path, recorded)
        else:
            _read_file(path, recorded)
    return recorded


def _read_page(path: Path, recorded: Recordings) -> None:
    try:
        results = _pages.decode(path.read_bytes()).results
    except msgspec.DecodeError:
        return
    if name := _SENSOR.match(path.name):
        recorded.rows[int(name[1])] = [(_readings.decode(raw), raw) for raw in results]
        return
    for body in map(msgspec.json.decode, results):
        if isinstance(body, dict) and "sensors" in body:
            recorded.locations[body["id"]] = body


def _read_file(path: Path, recorded: Recordings) -> None:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    head = content.decode(errors="replace").splitlines()[:2]
    first = next(csv.DictReader(head), {})
    if {"location_id", "datetime"} <= first.keys():
        # A day's last stamp is the next one's midnight.
        ends = datetime.fromisoformat(first["datetime"])
        day = f"{ends - timedelta(microseconds=1):%Y%m%d}"
        recorded.files[int(first["location_id"]), day] = gzip.compress(content, mtime=0)
