"""`kill -9` of ingest, drain and broker under load: what was acknowledged is found once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from aq_resources.device_keys import DeviceKey, create_key, keys_file
from aq_resources.networks.devices.bodies import readings_of
from aq_resources.services import Services
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawPullStore
from aq_science.devices.readings import one_of_each
from tests.servers.nats import NatsServer, nats_server
from tests.servers.process import free_ports
from tests.system.devices.drainer import drain

ROOT = Path(__file__).parents[3]
KILLS = int(os.environ.get("AQ_TEST_KILLS", "4"))
# Beside the present, and beyond midnight: readings of two days.
FIRST = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)


class Processes:
    """The processes of one kind, killed and started again."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *self.command], cwd=ROOT, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.process = self.start()


class Load:
    """A client that goes on whatever happens, and knows what was acknowledged."""

    def __init__(self, urls: list[str], key: str, device: str) -> None:
        self.urls, self.device = urls, device
        self.headers = {"authorization": f"Bearer {key}"}
        self.acknowledged: set[tuple[str, datetime]] = set()
        self.answers = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        number = 0
        with httpx.Client(headers=self.headers, timeout=60) as client:
            while not self.stop.is_set():
                times = [FIRST + timedelta(seconds=30 * (number + n)) for n in range(20)]
                batch = [
                    {
                        "device_id": self.device,
                        "timestamp": moment.isoformat(),
                        "tag": "Thermostat",
                        "temperature": (number + n) % 40,
                    }
                    for n, moment in enumerate(times)
                ]
                url = self.urls[number // 20 % len(self.urls)]
                try:
                    answer = client.post(f"{url}/v1/readings", json=batch)
                except httpx.TransportError:
                    # Not acknowledged; sent again by no one, so that a lost one would show.
                    time.sleep(0.3)
                    continue
                if answer.status_code == 503:
                    # Its broker is away: not acknowledged either.
                    continue
                assert answer.status_code == 202, answer.text
                self.answers += 1
                self.acknowledged |= {(self.device, moment) for moment in times}
                # Twenty hours back are a while: then the same again, which are no new readings.
                number = (number + 20) % 2000


@pytest.fixture(params=["files", "jetstream"])
def broker(
    request: pytest.FixtureRequest, clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NatsServer | None]:
    """The broker, where readings wait in one."""
    if request.param == "files":
        yield None
        return
    with nats_server() as server:
        monkeypatch.setenv("AQ_DEVICES_SPOOL", server.url())
        yield server


@pytest.fixture
def environment(broker: NatsServer | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "networks.yaml"
    entry = {"start_date": "2026-01-01", "stations": ["fleet:*"]}
    path.write_text(json.dumps({"networks": {"devices": entry}}))
    for name, value in {
        "AQ_HOME": str(tmp_path / "home"),
        "AQ_NETWORKS": str(path),
        "AQ_INGEST_ROLL_SECONDS": "0.1",
        "AQ_INGEST_READINGS_PER_SECOND": "1000000",
        "AQ_INGEST_FREE_BYTES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    with keys_file(Settings()).updated() as keys:
        key = create_key(keys, DeviceKey("city", "", datetime.now(UTC)))
    # Not before the file is written.
    return key  # noqa: RET504


def wait_for(urls: list[str]) -> None:
    """Until each process answers."""
    with httpx.Client(timeout=60, transport=httpx.HTTPTransport(retries=0)) as client:
        for url in urls:
            while True:
                try:
                    assert client.get(f"{url}/healthz").status_code == 200
                    break
                except httpx.TransportError:
                    time.sleep(0.3)


def test_every_acknowledged_reading_is_found_once(
    environment: str, broker: NatsServer | None
) -> None:
    ports = free_ports(2)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    command = ["-c", "from aq_platform.cli import app; app()", "ingest", "--port"]
    chance = random.Random(7)
    with contextlib.ExitStack() as stack:
        ingests = [Processes([*command, str(port)]) for port in ports]
        drainer = Processes(["-m", "tests.system.devices.drainer"])
        for one in (*ingests, drainer):
            stack.callback(one.kill)
        wait_for(urls)
        loads = [Load(urls, environment, str(number)) for number in range(3)]
        for load in loads:
            stack.callback(load.thread.join)
            stack.callback(load.stop.set)
        for _ in range(KILLS):
            # Under load: until more was acknowledged since the last kill, and a random time.
            counts = [load.answers for load in loads]
            while any(load.answers <= count for load, count in zip(loads, counts, strict=True)):
                assert all(load.thread.is_alive() for load in loads)
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.5))
            # The other process goes on meanwhile.
            victims: list[Processes | NatsServer] = [*ingests, drainer]
            chance.choice([*victims, *([broker] if broker else [])]).restart()
        for load in loads:
            load.stop.set()
            load.thread.join()
        for one in (*ingests, drainer):
            one.kill()
    services = Services.from_environment()
    drain(services)
    pulls = RawPullStore(services.object_store, "devices")
    parts = [
        readings_of(answer)
        for folder in pulls.all_folders()
        for answer in pulls.read(folder)
        if answer.status == 200
    ]
    services.close()
    rows = one_of_each(pl.concat(parts)).select(pl.col("device_id").cast(pl.String), "time")
    assert rows.is_duplicated().sum() == 0
    acknowledged: set[tuple[str, datetime]] = set()
    acknowledged.update(*(load.acknowledged for load in loads))
    assert len(acknowledged) >= 20 * KILLS
    missing = acknowledged - set(rows.iter_rows())
    assert not missing, f"{len(missing)} of {len(acknowledged)} lost"
