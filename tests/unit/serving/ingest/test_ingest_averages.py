"""What a key may read: windows in pages, and any span as the plain aggregate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import polars as pl
import pytest

from aq_resources.networks.devices.bodies import answers_of, readings_of
from aq_resources.services import Services
from aq_resources.spool.frames import Readings
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.devices.windows import window_averages
from aq_science.tables.window_averages import WINDOW_AVERAGES
from aq_science.windows import DAY, HOUR
from aq_serving.ingest.app import Ingest, create_app
from aq_serving.ingest.averages import Averages
from aq_serving.reader import Reader
from aq_serving.routers.live import newest_windows
from tests.unit.serving.ingest.ingest_bench import NOW, IngestBench

pytestmark = pytest.mark.server

START = NOW.replace(hour=8, minute=0)
COUNT = 400
Get = Callable[..., httpx.Response]


def moment(number: int) -> datetime:
    return START + timedelta(seconds=number * 1.7)


def value(device: str, number: int) -> float:
    return len(device) + (number * 37 % 101) / 7


KEYS: dict[str, dict[str, Any]] = {
    "city": {"fleet": "city"},
    "one": {"fleet": "city", "devices": ("a",)},
    "other": {"fleet": "other"},
    "writer": {"fleet": "city", "read": False},
}


@pytest.fixture(scope="module")
def get(asked: tuple[Get, Reader]) -> Get:
    """Asks the application."""
    return asked[0]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Get, Reader]]:
    """An application over two fleets' readings, with a key by its name, and its reader."""
    folder = tmp_path_factory.mktemp("averages")
    path = folder / "networks.yaml"
    entry = {"start_date": "2026-01-01", "stations": ["fleet:*"]}
    path.write_text(json.dumps({"networks": {"devices": entry}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_HOME", str(folder / "home"))
        patch.setenv("AQ_NETWORKS", str(path))
        services = Services.from_environment(lambda: NOW)
        bench = IngestBench(folder / "spool")
    keys = {name: bench.add_key(**wanted) for name, wanted in KEYS.items()}
    services.warehouse.prepare()
    fill(services)
    reader = Reader(services, 1, 300.0)
    ingest = Ingest(bench.settings, bench.ring, bench.committer, bench.room, 30, lambda: NOW)
    app = create_app(ingest, Averages(ingest, services, reader).routes(), bench.nothing)

    def get(path: str, key: str, **query: Any) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://in") as client:
                named = {"x-api-key": keys.get(key, key)}
                return await client.get(f"/v1{path}", params=query, headers=named)

        return asyncio.run(request())

    yield get, reader
    reader.close()
    services.close()
    bench.close()


def fill(services: Services) -> None:
    """Two fleets' readings as the drain stores them, and the windows of them."""
    frames = [
        Readings(
            fleet,
            round(moment(COUNT).timestamp() * 1e6),
            [device] * COUNT,
            ["pm25"] * COUNT,
            [round(moment(n).timestamp() * 1e6) for n in range(COUNT)],
            [value(device, n) for n in range(COUNT)],
            [0] * COUNT,
        )
        for fleet, device in (("city", "a"), ("city", "bb"), ("other", "a"))
    ]
    answers = list(answers_of("one", frames))
    RawPullStore(services.object_store, "devices").append(answers)
    rows = window_averages(pl.concat(map(readings_of, answers)), 10, 0, "devices")
    day = START.replace(hour=0, minute=0)
    services.warehouse.replace("devices", WINDOW_AVERAGES, rows, (day, day + DAY))


@pytest.mark.parametrize(
    ("first", "last"), [(0.0, 700.0), (3.3, 4.4), (13.05, 555.01), (10.0, 20.0), (650.0, 9999.0)]
)
def test_a_span_is_the_plain_aggregate_of_its_readings(get: Get, first: float, last: float) -> None:
    start, end = START + timedelta(seconds=first), START + timedelta(seconds=last)
    answer = get("/spans", "city", start=start.isoformat(), end=end.isoformat())
    assert answer.status_code == 200
    inside = [n for n in range(COUNT) if start <= moment(n) < end]
    found = {row["device_id"]: row for row in answer.json()["data"]}
    assert set(found) == ({"a", "bb"} if inside else set())
    for device, row in found.items():
        values = [value(device, n) for n in inside]
        assert (row["count"], row["minimum"], row["maximum"]) == (
            len(values),
            min(values),
            max(values),
        )
        assert abs(row["mean"] - sum(values) / len(values)) < 1e-9
        assert row["unit"] == "µg/m³"


def test_windows_come_in_pages(get: Get) -> None:
    start, end = START.isoformat(), (START + HOUR).isoformat()
    whole = get("/windows", "city", start=start, end=end).json()
    assert whole["next"] is None
    assert sum(row["count"] for row in whole["data"]) == 2 * COUNT
    rows: list[Any] = []
    following = start
    while following:
        page = get("/windows", "city", start=following, end=end, limit=7).json()
        rows += page["data"]
        following = page["next"]
    assert rows == whole["data"]
    assert get("/windows", "city", start=start, end=end, limit=1).status_code == 400


@pytest.mark.parametrize("path", ["/windows", "/spans"])
def test_a_key_reads_its_fleet_and_devices_alone(get: Get, path: str) -> None:
    span = {"start": START.isoformat(), "end": (START + HOUR).isoformat()}
    for key, devices in (("city", {"a", "bb"}), ("one", {"a"}), ("other", {"a"})):
        answer = get(path, key, **span).json()
        assert {row["device_id"] for row in answer["data"]} == devices
        assert answer["fleet"] == ("other" if key == "other" else "city")
    assert get(path, "one", device_id="bb", **span).status_code == 403
    assert get(path, "writer", **span).status_code == 403
    assert get(path, "nonsense", **span).status_code == 401
    assert get(f"/fleets/city{path}", "other", **span).status_code == 403
    assert get(f"/fleets/city{path}", "city", **span).status_code == 200
    other = get(path, "other", device_id="bb' OR 1=1 --", **span)
    assert other.json()["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"start": "2026-03-10T08:00:00Z"},
        {"start": "2026-03-10T08:00:00Z", "end": "2026-03-10T08:00:00Z"},
        {"start": "2026-03-10T08:00:00", "end": "2026-03-10T09:00:00Z"},
        {"start": "2026-03-10T08:00:00Z", "end": "2026-03-10T09:00:00Z", "sensor": "x"},
        {"start": "2026-03-10T08:00:00Z", "end": "2026-03-10T09:00:00Z", "limit": "²"},
        {"start": "2026-03-10T08:00:00Z", "end": "2026-03-10T09:00:00Z", "devices": "1"},
    ],
)
def test_what_is_asked_wrongly_is_named(get: Get, query: dict[str, str]) -> None:
    answer = get("/windows", "city", **query)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_listeners_hear_of_the_newest_windows_of_their_devices(asked: tuple[Get, Reader]) -> None:
    read = newest_windows(asked[1], lambda: moment(COUNT))
    [window] = read(["city.a", "city.nothing"])
    last = [n for n in range(COUNT) if moment(n) >= window.window_start]
    assert (window.station_id, window.sensor, window.unit) == ("city.a", "pm25", "µg/m³")
    assert (window.seconds, window.count) == (10, len(last))
    assert abs(window.mean - sum(value("a", n) for n in last) / len(last)) < 1e-9
    # Who has been silent for an hour is not shown as of now.
    assert list(newest_windows(asked[1], lambda: NOW + DAY)(["city.a"])) == []
