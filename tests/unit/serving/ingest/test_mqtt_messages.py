"""What a broker hands over, as frames: whose it is, in which form, and nothing without a trace."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aq_resources.spool.frames import Readings, Refusals, decode
from aq_serving.ingest.intake import limits_of
from aq_serving.ingest.mqtt.inbox import Arrived
from aq_serving.ingest.mqtt.intake import Intake
from aq_serving.ingest.mqtt.topics import form_of_payload
from aq_serving.ingest.settings import IngestSettings, MqttSettings
from tests.unit.serving.ingest.ingest_bench import NOW, thermostat

pytestmark = pytest.mark.usefixtures("clean_environment")

encode = msgspec.json.encode


def taken(topic: str, payload: object, **limits: Any) -> list[Readings | Refusals]:
    body = payload if isinstance(payload, bytes) else encode(payload)
    ingest = IngestSettings().model_copy(update=limits)
    intake = Intake(MqttSettings(), limits_of(ingest, 30), ingest.body_bytes, lambda: NOW)
    frames = intake.frames(Arrived(topic, body, 1, 1, 0))
    return [frame for _, data in frames for frame in decode(data)]


@pytest.mark.parametrize(
    ("topic", "devices"),
    [("aq/school-7/1", ["1"]), ("aq/school-7", ["1", "2"]), ("aq/school-7", ["b"])],
)
@pytest.mark.parametrize("form", ["json", "msgpack", "ndjson"])
def test_readings_are_of_the_fleet_of_their_topic(
    topic: str, devices: list[str], form: str
) -> None:
    messages = [thermostat(device_id=device) for device in devices]
    body = {
        "json": encode(messages[0] if len(messages) == 1 else messages),
        "msgpack": msgspec.msgpack.encode(messages),
        "ndjson": b"\n".join(map(encode, messages)),
    }[form]
    [frame] = taken(topic, body)
    assert isinstance(frame, Readings)
    assert (frame.fleet, frame.device) == ("school-7", devices)


def test_a_line_is_told_from_an_object_over_several() -> None:
    pretty = msgspec.json.format(encode(thermostat()))
    assert form_of_payload(pretty) == "json"
    assert form_of_payload(encode(thermostat()) + b"\r\n" + encode(thermostat())) == "ndjson"
    assert form_of_payload(b"not\n{a}\n{form") == "msgpack"


@pytest.mark.parametrize(
    ("topic", "payload", "field"),
    [
        ("aq/school-7/2", thermostat(), "device_id"),
        ("aq/SCHOOL/1", thermostat(), "topic"),
        ("aq/school-7/a b", thermostat(), "topic"),
        ("", thermostat(), "topic"),
        ("aq/school-7/1", b"", "body"),
        ("aq/school-7/1", b"{", "body"),
        ("aq/school-7/1", thermostat(9000), "temperature"),
        ("aq/school-7", [thermostat()] * 4, "body"),
        ("aq/school-7/1", b"[" + b" " * 4096, "body"),
    ],
)
def test_what_cannot_be_taken_is_kept_with_its_reason(
    topic: str, payload: object, field: str
) -> None:
    [frame] = taken(topic, payload, body_bytes=4096, batch_readings=3)
    assert isinstance(frame, Refusals)
    assert (frame.field, frame.index, frame.key) == ([field], [0], "mqtt:aq")
    assert frame.fleet == ("" if field == "topic" else "school-7")


def test_two_refusals_at_one_moment_are_two() -> None:
    ingest = IngestSettings()
    intake = Intake(MqttSettings(), limits_of(ingest, 30), ingest.body_bytes, lambda: NOW)
    frames = [intake.frames(Arrived("aq/x/1", b"", n, 1, 0)) for n in (1, 2)]
    received = [frame.received for one in frames for frame in decode(one[0][1])]
    assert len(set(received)) == 2


@given(topic=st.text(max_size=30), payload=st.binary(max_size=100))
def test_no_message_goes_without_a_trace(topic: str, payload: bytes) -> None:
    assert taken(topic, payload)
    assert taken("aq/school-7/1", payload)
