"""JetStream as the home of pushed readings: on a real server, whoever dies and however full."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from aq_assets.window_averages import PENDING_ONLY
from aq_platform.definitions import build_defs
from aq_resources.networks.devices.bodies import readings_of
from aq_resources.services import Services
from aq_resources.spool.frames import Readings, encode
from aq_resources.spool.home import DONE, READY, STORED
from aq_resources.spool.jetstream import Address
from aq_resources.spool.jetstream_reader import JetStreamSpool
from aq_resources.spool.jetstream_writer import JetStreamWriter
from aq_resources.spool.writer import SpoolUnavailable
from aq_resources.stores.raw_pulls import RawPullStore
from tests.factories import utc
from tests.servers.nats import NatsServer, nats_server
from tests.servers.process import free_ports
from tests.system.devices.drainer import drain
from tests.unit.serving.ingest.ingest_bench import IngestBench, thermostat

pytestmark = pytest.mark.server

DAY, OTHER = date(2026, 3, 10), date(2026, 3, 9)
EIGHT = round(utc(2026, 3, 10, 7).timestamp() * 1e6)
ROOM = 64 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with nats_server() as running:
        yield running


@pytest.fixture
def url(server: NatsServer) -> str:
    """A stream of the test's own."""
    return server.url(f"T{uuid.uuid4().hex}")


def frame(number: int, count: int = 1) -> bytes:
    """Readings of `count` seconds from second `number` on."""
    times = [EIGHT + (number + n) * 1_000_000 for n in range(count)]
    columns = (["1"] * count, ["pm25"] * count, times, [float(number)] * count, [0] * count)
    return encode(Readings("city", times[-1], *columns))


def times(spool: JetStreamSpool, day: date = DAY, *states: str) -> list[int]:
    """The readings of a day, as seconds."""
    return [
        (time - EIGHT) // 1_000_000
        for segment in spool.segments(day, *(states or (READY,)))
        for found in spool.frames(segment)
        if isinstance(found, Readings)
        for time in found.time
    ]


def test_segments_stay_what_they_were_and_go_through_their_states(url: str) -> None:
    spool = JetStreamSpool(Address.of(url, None), segment_bytes=100)
    assert (spool.days(READY), spool.segments(DAY, READY), spool.waiting_bytes()) == ([], [], 0)
    with closing(JetStreamWriter(Address.of(url, None), ROOM)) as writer:
        for number in range(8):
            writer.append([(DAY, frame(number)), (OTHER, frame(number))])
        first = spool.segments(DAY, READY)
        assert len(first) > 2
        writer.append([(DAY, frame(8))])
    # Another process sees the same ones, and what came since as one more.
    other = JetStreamSpool(Address.of(url, None), segment_bytes=1 << 20)
    assert other.segments(DAY, READY)[:-1] == first
    assert times(other) == list(range(9))
    assert other.days(READY) == [OTHER, DAY]
    # The second is done before the first: nothing of the first is deleted over it.
    spool.move_on(first[1:2], STORED)
    spool.move_on(first[1:2], DONE)
    kept = times(spool)
    assert kept == [n for n in range(9) if n not in times(spool, DAY, DONE)]
    spool.move_on(first[:1], STORED)
    # Who is late with a step changes nothing of a later one.
    spool.move_on(first[1:2], STORED)
    assert [segment.name for segment in spool.segments(DAY, STORED)] == [first[0].name]
    for state in (STORED, DONE):
        spool.move_on(spool.segments(DAY, READY, STORED), state)
    assert (spool.days(READY, STORED), list(spool.frames(first[0]))) == ([OTHER], [])


def test_a_long_frame_goes_in_parts_and_a_full_stream_refuses(url: str, tmp_path: Path) -> None:
    address = Address.of(url, None)
    # The bench closes it.
    writer = JetStreamWriter(address, 1 << 20)
    with closing(IngestBench(tmp_path, other=writer)) as bench:
        writer.append([(DAY, frame(0, 20_000))])
        assert times(JetStreamSpool(address)) == list(range(20_000))
        body = [thermostat(timestamp=f"2026-03-10T10:{n % 20:02}:00Z") for n in range(2000)]
        statuses = [bench.push(body).status_code for _ in range(20)]
        assert set(statuses) == {202, 507}
        assert bench.push(body).headers["retry-after"] == "30"
        taken = statuses.count(202) * len(body)
        spool = JetStreamSpool(address)
        assert len(times(spool)) >= 20_000 + taken
        # Its drain needs no room, and makes some.
        for state in (STORED, DONE):
            spool.move_on(spool.segments(DAY, READY, STORED), state)
        assert bench.push(body).status_code == 202


def test_without_a_server_nothing_counts_as_taken(tmp_path: Path) -> None:
    address = Address.of(f"nats://127.0.0.1:{free_ports(1)[0]}", None)
    writer = JetStreamWriter(address, ROOM, patience_seconds=0.5)
    with closing(IngestBench(tmp_path, other=writer)) as bench:
        assert bench.push(thermostat()).status_code == 503
    with pytest.raises(SpoolUnavailable, match=r"127\.0\.0\.1"):
        JetStreamSpool(address).days(READY)


@pytest.fixture
def services(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> Iterator[Services]:
    path = tmp_path / "networks.yaml"
    entry = {"start_date": "2026-03-01", "stations": ["fleet:*"]}
    path.write_text(json.dumps({"networks": {"devices": entry}}))
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AQ_NETWORKS", str(path))
    monkeypatch.setenv("AQ_DEVICES_SPOOL", url)
    with closing(Services.from_environment(lambda: utc(2026, 3, 10, 8))) as made:
        yield made


def found(services: Services) -> pl.DataFrame:
    """All readings in the raw pulls, repetitions included."""
    pulls = RawPullStore(services.object_store, "devices")
    answers = [a for folder in pulls.all_folders() for a in pulls.read(folder)]
    return pl.concat(readings_of(answer) for answer in answers)


def test_two_drains_at_once_take_everything_once(services: Services, url: str) -> None:
    stop = threading.Event()
    errors: list[Exception] = []

    def go_on() -> None:
        try:
            with closing(Services.from_environment(services.now)) as own:
                while not stop.is_set():
                    drain(own)
                drain(own)
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    with closing(JetStreamWriter(Address.of(url, None), ROOM)) as writer:
        for number in range(0, 600, 10):
            writer.append([(DAY, frame(number, 10))])
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    # A segment that both have stored is the same to the byte, and is read once.
    assert found(services)["time"].n_unique() == found(services).height == 600
    client = services.client("devices")
    assert [station.station_id for station in client.stations().stations] == ["city.1"]


def test_a_run_takes_what_waits_into_the_tables(services: Services, url: str) -> None:
    with closing(JetStreamWriter(Address.of(url, None), ROOM)) as writer:
        writer.append([(DAY, frame(0, 30))])
    defs, instance = build_defs(services), dg.DagsterInstance.ephemeral()
    job = defs.resolve_job_def("devices_windows")
    tags = {PENDING_ONLY: "true"}
    assert job.execute_in_process(instance=instance, partition_key=f"{DAY}", tags=tags).success
    rows = services.warehouse.read("SELECT count FROM devices.window_averages")
    assert rows["count"].to_list() == [10, 10, 10]
    assert JetStreamSpool(Address.of(url, None)).waiting_bytes() == 0
