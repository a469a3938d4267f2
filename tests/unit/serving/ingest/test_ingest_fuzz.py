"""Whatever comes: no server error, and all that is taken can be read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.serving.ingest.ingest_bench import JSON, MSGPACK, NDJSON, IngestBench, thermostat

FORMS = st.sampled_from([JSON, NDJSON, MSGPACK])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = ("device_id", "timestamp", "tag", "temperature", "pm25", "heart_rate")
MESSAGES = st.dictionaries(st.sampled_from(FIELDS), VALUES).map(lambda got: thermostat() | got)


@pytest.fixture
def taken(bench: IngestBench) -> Callable[[bytes, str], None]:
    def push(body: bytes, kind: str) -> None:
        before = len(bench.stored())
        answer = bench.push(body, kind)
        assert answer.status_code in {202, 207, 413, 422}
        said = answer.json()
        if answer.status_code != 413:
            assert len(bench.stored()) >= before + said["accepted"]
        for path in bench.root.glob("date=*/*"):
            path.unlink()
        bench.writer.close()

    return push


FUZZ = settings(suppress_health_check=list(HealthCheck))


@FUZZ
@given(body=st.binary(max_size=300), kind=FORMS)
@example(b"\xdd\xff\xff\xff\xff\xc0", MSGPACK)
@example(b"[" * 10_000, JSON)
def test_any_bytes(taken: Callable[[bytes, str], None], body: bytes, kind: str) -> None:
    taken(body, kind)


@FUZZ
@given(content=VALUES | MESSAGES | st.lists(MESSAGES | VALUES, max_size=4), kind=FORMS)
def test_any_values(taken: Callable[[bytes, str], None], content: Any, kind: str) -> None:
    body = msgspec.msgpack.encode(content) if kind == MSGPACK else msgspec.json.encode(content)
    taken(body, kind)


@FUZZ
@given(cut=st.integers(0, 200), at=st.integers(0, 200), byte=st.integers(0, 255), kind=FORMS)
def test_damaged_bodies(
    taken: Callable[[bytes, str], None], cut: int, at: int, byte: int, kind: str
) -> None:
    messages = [thermostat(), thermostat(device_id="2")]
    body = msgspec.msgpack.encode(messages) if kind == MSGPACK else msgspec.json.encode(messages)
    damaged = bytearray(body[: len(body) - cut % len(body)])
    damaged[at % len(damaged)] = byte
    taken(bytes(damaged), kind)
