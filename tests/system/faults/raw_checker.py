"""What raw pulls say, read by nobody's code but this: a second opinion on `hourly_readings`.

It knows the form of the stored files, of the four networks' bodies, and that the newest answer
wins. It imports nothing of the platform.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

# Station, sensor (where a station has several for a parameter), the network's own name, hour.
Key = tuple[str, str | None, str, datetime]
Reading = tuple[Key, float]
Row = dict[str, Any]

_AIRQINO = {
    "CO": "co",
    "NO2": "no2",
    "O3": "o3",
    "PM10": "pm10",
    "PM2.5": "pm25",
    "T": "temperature",
    "RH": "humidity",
}
_AIRQO = {"pm2_5": "pm25", "pm10": "pm10", "temperature": "temperature", "humidity": "humidity"}


def differences(folder: Path, network: str, table: pl.DataFrame) -> list[str]:
    """Where a table of hourly readings is not what the raw pulls say.

    Args:
        folder: Of the network in the object store.
        network: Its name.
        table: Its `hourly_readings`.

    Returns:
        A line each; none where they agree.
    """
    said: dict[Key, float] = {}
    for answer in sorted(_answers(folder / "raw_pulls"), key=lambda one: one["pulled_at"]):
        if answer["status"] == 200:
            said.update(_READERS[network](answer))
    found = []
    seen = set()
    for row in table.iter_rows(named=True):
        series = row["station_id"], row["parameter"], row["hour"]
        if series in seen:
            found.append(f"twice: {series}")
        seen.add(series)
        key = row["station_id"], row["sensor_id"], row["parameter"], row["hour"]
        if said.get(key) != row["value_native"]:
            found.append(f"{key}: {row['value_native']} instead of {said.get(key)}")
    missing = {(key[0], key[2], key[3]) for key in said} - seen
    return found + [f"missing: {series}" for series in sorted(missing)]


def _answers(folder: Path) -> Iterator[Row]:
    for path in sorted(folder.glob("*/*.jsonl.zst")):
        for line in zstandard.ZstdDecompressor().decompress(path.read_bytes()).splitlines():
            yield json.loads(line)


def _airqino(answer: Row) -> Iterator[Reading]:
    station = answer["url"].rsplit("/", 1)[1]
    for row in _body(answer).get("data", []):
        hour = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
        for name, parameter in _AIRQINO.items():
            yield from _within(answer, (station, None, parameter, hour), row.get(name))


def _airqo(answer: Row) -> Iterator[Reading]:
    for row in _body(answer).get("data", []):
        hour = datetime.fromisoformat(row["datetime"])
        for name, parameter in _AIRQO.items():
            key = row["device_name"], None, parameter, hour
            # A weather sensor that said nothing is written as 0.
            absent = name in ("temperature", "humidity") and row.get(name) == 0
            yield from _within(answer, key, None if absent else row.get(name))


_IRCELINE = {
    "Black Carbon": "bc",
    "Carbon Monoxide": "co",
    "Nitrogen dioxide": "no2",
    "Ozone": "o3",
    "Particulate Matter < 10 µm": "pm10",
    "Particulate Matter < 2.5 µm": "pm25",
}


def _irceline(answer: Row) -> Iterator[Reading]:
    known = json.loads(answer["params"].get("series", "{}"))
    for sensor, series in _body(answer).items():
        parameter = _IRCELINE.get(known.get(sensor, {}).get("phenomenon", ""))
        if parameter is None or not isinstance(series, dict):
            continue
        for point in series.get("values", []):
            # The network's stamp is an hour's end.
            hour = datetime.fromtimestamp(point["timestamp"] / 1000 - 3600, UTC)
            key = known[sensor]["station"], sensor, parameter, hour
            yield from _within(answer, key, point["value"])


_OPENAQ = {"relativehumidity": "humidity"}


def _openaq(answer: Row) -> Iterator[Reading]:
    rows = _body(answer).get("results", [])
    if "/sensors/" not in answer["url"]:
        return
    sensor = answer["url"].split("/sensors/")[1].split("/")[0]
    for row in rows:
        hour = datetime.fromisoformat(row["period"]["datetimeFrom"]["utc"])
        # The sandbox numbers a location's sensors by its own number and a figure.
        name = row["parameter"]["name"]
        key = sensor[:-1], sensor, _OPENAQ.get(name, name), hour
        yield from _within(answer, key, row["value"])


_READERS: dict[str, Callable[[Row], Iterator[Reading]]] = {
    "airqino": _airqino,
    "airqo": _airqo,
    "irceline": _irceline,
    "openaq": _openaq,
}


def _body(answer: Row) -> Row:
    try:
        body = json.loads(answer["body"])
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _within(answer: Row, key: Key, value: float | None) -> Iterator[Reading]:
    start, end = (datetime.fromisoformat(text) for text in answer["window"])
    if value is not None and start <= key[3] < end:
        yield key, float(value)
