"""OpenAQ's archive from a real S3 server: pulled and parsed, against DuckDB's `read_csv`.

DuckDB reads the same files over the same HTTP into nothing: one aggregate a column. It is given
their names, columns and types, so that it need neither list nor sniff.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from aq_resources.network_settings import NetworkConfig
from aq_resources.networks.openaq import OpenAQClient, create
from aq_resources.networks.openaq.archive import WORKERS
from aq_resources.networks.openaq.locations import KeptLocations
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_resources.warehouse.connection import extension_path
from aq_science.windows import DAY, HOUR, Window
from benchmarks.common import machine
from tests.servers.s3 import S3Server, s3_server

AIM = 1.0
BUCKET = "archive"
FIRST = date(2024, 1, 1)
ZONES = ("America/Denver", "Asia/Kolkata", "UTC", "Africa/Abidjan", "Asia/Ho_Chi_Minh")
# Name, unit; seven sensors a location.
SENSORS = (
    *(("pm25", "µg/m³"), ("pm10", "µg/m³"), ("co", "µg/m³"), ("no2", "ppm"), ("o3", "ppm")),
    *(("temperature", "c"), ("relativehumidity", "%")),
)
TYPES = {
    "location_id": "BIGINT",
    "sensors_id": "BIGINT",
    "location": "VARCHAR",
    "datetime": "TIMESTAMPTZ",
    "lat": "DOUBLE",
    "lon": "DOUBLE",
    "parameter": "VARCHAR",
    "units": "VARCHAR",
    "value": "DOUBLE",
}
HEADER = ",".join(f'"{name}"' for name in TYPES)


@dataclass(frozen=True)
class Taken:
    """What a client takes in: station -> time zone, and when; and its AQ_HOME."""

    stations: dict[int, str]
    window: Window
    home: Path


def file_of(station: int, zone: str, day: date, chance: random.Random) -> bytes:
    """A local day's file as OpenAQ writes it: hours by their end, 01:00 to the next midnight."""
    midnight = datetime.combine(day, datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
    stamps = [(midnight + n * HOUR).astimezone(ZoneInfo(zone)).isoformat() for n in range(1, 25)]
    rows = [HEADER]
    for place, (name, unit) in enumerate(SENSORS):
        start = f'{station},{station * 10 + place},"Station {station}-{station}","'
        middle = f'",{5 + place},{station / 1e3:.4f},"{name}","{unit}",'
        rows += [f"{start}{stamp}{middle}{chance.lognormvariate(2, 1):.6g}" for stamp in stamps]
    return gzip.compress("\r\n".join([*rows, ""]).encode(), mtime=0)


def key_of(station: int, day: date) -> str:
    """Where the bucket has the file."""
    return (
        f"records/csv.gz/locationid={station}/year={day:%Y}/month={day:%m}/"
        f"location-{station}-{day:%Y%m%d}.csv.gz"
    )


def write(folder: Path, stations: dict[int, str], days: list[date]) -> list[str]:
    """Files in the bucket's layout; their keys."""
    chance = random.Random(1)  # noqa: S311
    keys = []
    for station, zone in stations.items():
        for day in days:
            keys.append(key_of(station, day))
            path = folder / keys[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file_of(station, zone, day, chance))
    return keys


def upload(server: S3Server, folder: Path, keys: list[str]) -> None:
    """The same files in a public bucket."""
    server.create_bucket(BUCKET, public=True)

    def put(key: str) -> None:
        client.put_object(Bucket=BUCKET, Key=key, Body=(folder / key).read_bytes())

    with closing(server.client()) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(put, keys))


def location(station: int, zone: str) -> dict[str, Any]:
    """What the interface says of a location, as far as it matters."""
    sensors = [
        {"id": station * 10 + place, "parameter": {"name": name, "units": unit}}
        for place, (name, unit) in enumerate(SENSORS)
    ]
    return {"id": station, "timezone": zone, "sensors": sensors}


def open_client(archive: str, taken: Taken) -> OpenAQClient:
    """A client with a key, whose locations are known, so that the archive alone is asked."""
    url = "http://127.0.0.1:9/v3"
    os.environ.update(
        AQ_HOME=str(taken.home),
        AQ_OPENAQ_API_KEY="asks-for-nothing",
        AQ_OPENAQ_URL=url,
        AQ_OPENAQ_ARCHIVE=archive,
    )
    now = taken.window.end + 30 * DAY
    names = tuple(str(station) for station in taken.stations)
    page = json.dumps({"results": [location(*one) for one in taken.stations.items()]})
    answer = RawAnswer(f"{url}/locations", {}, (now, now + HOUR), now, 200, page)
    KeptLocations(taken.home / "openaq", lambda: now, url, names, None).keep(now, [answer])
    config = NetworkConfig(name="openaq", start_date=FIRST, stations=names)
    return create(config, Settings(), lambda: now)


def ours(client: OpenAQClient, window: Window) -> int:
    """Pull and parse, span by span as a backfill does; the readings found."""
    found = 0
    for part in window.chunks(client.span):
        answers = []
        for pull in client.pull(part):
            if pull.failure is not None:
                raise pull.failure
            if pull.answer is not None:
                answers.append(pull.answer)
        parsed = client.parse(answers)
        if parsed.problems.total:
            raise SystemExit(f"not every row was read: {parsed.problems.rows()}")
        found += len(parsed.versions)
    return found


def bare_duckdb(files: list[str], endpoint_url: str) -> int:
    """An aggregate of every column of every file; their rows."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        connection.execute(f"LOAD '{extension_path('httpfs')}'")
        # It waits for the server as well: as many files at once as the client has.
        connection.execute(f"SET threads = {WORKERS}")
        host = endpoint_url.removeprefix("http://")
        connection.execute(
            f"CREATE SECRET s (TYPE s3, ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)"
        )
        [(rows, *_)] = connection.execute(
            "SELECT count(*), max(COLUMNS(*)) FROM read_csv($files, columns = $types, "
            "header = true, auto_detect = false, quote = '\"', hive_partitioning = false)",
            {"files": files, "types": TYPES},
        ).fetchall()
    return int(rows)


def fastest(what: str, repeat: int, work: Callable[[], int]) -> float:
    """Best rows a second of `repeat`, printed."""
    best = 0.0
    for _ in range(repeat):
        began = time.perf_counter()
        rows = work()
        best = max(best, rows / (time.perf_counter() - began))
    print(f"{what:28}{rows:12,} rows {best:12,.0f} rows/s")
    return best


def compare(archive: str, files: list[str], endpoint_url: str, repeat: int, taken: Taken) -> float:
    """Ours over DuckDB's rows a second, of files that lie in one place."""
    place = "disk" if archive.startswith("/") else "S3"
    with closing(open_client(archive, taken)) as client:
        speed = fastest(f"pull and parse, {place}", repeat, lambda: ours(client, taken.window))
    if place == "S3":
        # DuckDB has not begun yet.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak:28,.0f} MiB")
    baseline = fastest(
        f"DuckDB read_csv, {place}", repeat, lambda: bare_duckdb(files, endpoint_url)
    )
    return speed / baseline


def main() -> None:
    """Measure, print the table and the ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--locations", type=int, default=20)
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    days = [FIRST + n * DAY for n in range(given.days)]
    stations = {2000 + n: ZONES[n % len(ZONES)] for n in range(given.locations)}
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as temporary, s3_server() as server:
        folder = Path(temporary) / "archive"
        # Every local day over these days has its file.
        taken = Taken(stations, Window.of_days(days[1], days[-2]), Path(temporary) / "home")
        keys = write(folder, stations, days)
        upload(server, folder, keys)
        print(f"{given.locations} locations, {len(keys):,} files ({machine()})")
        url = server.endpoint_url
        on_s3 = [f"s3://{BUCKET}/{key}" for key in keys]
        s3 = compare(f"{url}/{BUCKET}", on_s3, url, given.repeat, taken)
        on_disk = [str(folder / key) for key in keys]
        disk = compare(str(folder), on_disk, url, given.repeat, taken)
    print(f"pull and parse / DuckDB read_csv, S3  {s3:8.2f}   aim >= {AIM:.0f}")
    print(f"pull and parse / DuckDB read_csv, disk{disk:8.2f}")


if __name__ == "__main__":
    main()
