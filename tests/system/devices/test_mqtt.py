"""The bridge with a real broker: who may publish what, and what kills and restarts cost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from aq_resources.spool.frames import Readings, Refusals
from aq_resources.spool.reader import READY, Spool
from tests.patience import PATIENCE_S
from tests.servers.mosquitto import MISSING, PROGRAM, Broker, mosquitto
from tests.servers.process import HOST

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

ROOT = Path(__file__).parents[3]
ROUNDS = int(os.environ.get("AQ_TEST_KILLS", "4"))
# Messages are a tenth of a second apart, so that none of them lies ahead.
FIRST = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
STEP_US = 100_000


class Bridge:
    """`aq devices mqtt` as a process."""

    def __init__(self) -> None:
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = "from aq_platform.cli import app; app()"
        return subprocess.Popen([sys.executable, "-c", command, "devices", "mqtt"], cwd=ROOT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def restart(self) -> None:
        self.kill()
        self.process = self._start()


@pytest.fixture
def broker(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    monkeypatch.setenv("AQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AQ_INGEST_ROLL_SECONDS", "0.1")
    with mosquitto("school-7", "town") as broker:
        monkeypatch.setenv("AQ_MQTT_URL", broker.url)
        monkeypatch.setenv("AQ_MQTT_USERNAME", "aq")
        monkeypatch.setenv("AQ_MQTT_PASSWORD", "aq")
        yield broker


@contextlib.contextmanager
def publisher(broker: Broker, user: str) -> Iterator[Client]:
    client = Client(
        CallbackAPIVersion.VERSION2,
        f"{user}-device",
        protocol=MQTTProtocolVersion.MQTTv5,
    )
    client.username_pw_set(user, user)
    client.reconnect_delay_set(1, 1)
    client.connect(HOST, broker.port, clean_start=False)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def message(device: str, number: int) -> bytes:
    moment = FIRST + timedelta(microseconds=STEP_US * number)
    return msgspec.json.encode(
        {"device_id": device, "timestamp": moment, "tag": "Thermostat", "temperature": number % 40}
    )


def in_spool(home: Path) -> tuple[set[tuple[str, str, int]], list[tuple[str, str]]]:
    """Fleet, device and number of every reading; fleet and field of every refusal."""
    spool = Spool(home / "spool")
    readings, refused = set(), []
    for day in spool.days(READY, "open"):
        for segment in spool.segments(day, READY, "open"):
            for frame in spool.frames(segment):
                if isinstance(frame, Refusals):
                    refused += [(frame.fleet, field) for field in frame.field]
                    continue
                assert isinstance(frame, Readings)
                first = round(FIRST.timestamp() * 1e6)
                numbers = [(moment - first) // STEP_US for moment in frame.time]
                readings |= {(frame.fleet, *one) for one in zip(frame.device, numbers, strict=True)}
    return readings, refused


def test_a_fleet_publishes_below_its_name_and_bad_messages_stop_nothing(
    broker: Broker, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    bridge = Bridge()
    with (
        contextlib.ExitStack() as stack,
        publisher(broker, "school-7") as school,
        publisher(broker, "town") as town,
    ):
        stack.callback(bridge.kill)
        # The session is there from its first connection on: until then nothing is kept for it.
        while not in_spool(home)[0]:
            school.publish("aq/school-7/1", message("1", 0), 1)
            time.sleep(0.2)
        hostile = [b"", b"\xff" * 5000, b"[" * 3000, b'{"device_id":', b"\xdd\xff\xff\xff\xff\xc0"]
        for body in hostile:
            town.publish("aq/town/9", body, 1)
        school.publish("aq/school-7/other", message("1", 2), 1)
        school.publish("aq/school-7", b"\n".join([message("2", 3), message("3", 4)]), 1)
        town.publish("aq/town/9", message("9", 5), 1).wait_for_publish(PATIENCE_S)
        # This broker closes the connection of who publishes as another fleet.
        town.publish("aq/school-7/1", message("1", 77), 1).wait_for_publish(PATIENCE_S)
        wanted = {("school-7", "2", 3), ("school-7", "3", 4), ("town", "9", 5)}
        deadline = time.monotonic() + PATIENCE_S
        while not wanted <= in_spool(home)[0]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert bridge.stop() == 0
    readings, refused = in_spool(home)
    assert readings == wanted | {("school-7", "1", 0)}
    assert ("school-7", "device_id") in refused
    assert Counter(fleet for fleet, _ in refused) == {"school-7": 1, "town": 5}


class Load(threading.Thread):
    """Publishes without a pause, and knows what the broker acknowledged."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client
        self.ended = threading.Event()
        self.sent = 0
        self.acknowledged = 0
        client.on_publish = self._acknowledged
        self.start()

    def run(self) -> None:
        while not self.ended.is_set():
            # Kept by the client where the broker is away just now.
            self.client.publish("aq/town/9", message("9", self.sent), 1)
            self.sent += 1
            time.sleep(0.002)

    def _acknowledged(self, *_: object) -> None:
        self.acknowledged += 1


def test_what_the_broker_acknowledged_survives_kills_of_the_bridge_and_restarts(
    broker: Broker, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    bridge = Bridge()
    chance = random.Random(7)
    with contextlib.ExitStack() as stack:
        stack.callback(bridge.kill)
        client = stack.enter_context(publisher(broker, "town"))
        while not in_spool(home)[0]:
            client.publish("aq/town/0", message("0", 0), 1)
            time.sleep(0.2)
        load = Load(client)
        stack.callback(load.join)
        stack.callback(load.ended.set)
        for turn in range(ROUNDS):
            before = load.acknowledged
            while load.acknowledged < before + 100:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.3))
            if turn % 2:
                broker.stop()
                broker.start()
            else:
                bridge.restart()
        load.ended.set()
        load.join()
        deadline = time.monotonic() + PATIENCE_S
        while load.acknowledged < load.sent:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        wanted = {("town", "9", number) for number in range(load.sent)}
        while not wanted <= in_spool(home)[0]:
            assert time.monotonic() < deadline, json.dumps(sorted(wanted - in_spool(home)[0])[:20])
            time.sleep(0.2)
        assert bridge.stop() == 0
    print(f"{load.sent} messages, {ROUNDS} kills and restarts, none lost")
