"""The endpoint as its own document has it, and as a socket: no server error, whatever comes."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.servers.process import HOST
from tests.unit.serving.ingest.conftest import Make
from tests.unit.serving.ingest.ingest_bench import JSON, MSGPACK, NDJSON, IngestBench, thermostat

pytestmark = [
    pytest.mark.server,
    # Of the client by which schemathesis asks an application.
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FUZZ = settings(
    max_examples=settings().max_examples // 2,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@schemathesis.serializer(MSGPACK)
def packed(_: object, value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        # MessagePack has no such number or text.
        return msgspec.json.encode(repr(value).encode("utf-8", "replace"))


@schemathesis.serializer(NDJSON)
def lines(_: object, value: Any) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", ["/v1/readings", "/v1/fleets/{fleet}/readings"])
def test_every_answer_is_as_the_document_says(
    bench: IngestBench, path: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_asgi("/v1/openapi.json", bench.app)[path]["POST"]

    statuses = set()

    @given(operation.as_strategy(generation_mode=mode))
    @FUZZ
    def ask(case: schemathesis.Case) -> None:
        named = {"authorization": f"Bearer {bench.key}"}
        statuses.add(case.call_and_validate(checks=CHECKS, headers=named).status_code)

    ask()
    # Most have the key, and are read.
    assert statuses - {401, 403}
    assert bench.room.under_way == 0


class Socket:
    """The application behind uvicorn, and bytes sent to it as they are."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(app, host=HOST, port=0, log_level="critical", lifespan="off")
        self.server = uvicorn.Server(config)
        self.runner = asyncio.Runner()
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.server.config.load()
        self.server.lifespan = self.server.config.lifespan_class(self.server.config)
        await self.server.startup()

    def exchange(self, data: bytes) -> bytes:
        async def exchange() -> bytes:
            port = self.server.servers[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(data)
            writer.write_eof()
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                writer.close()

        return self.runner.run(exchange())

    def close(self) -> None:
        self.runner.run(self.server.shutdown())
        self.runner.close()


@pytest.fixture
def socket(bench: IngestBench) -> Iterator[Socket]:
    made = Socket(bench.app)
    yield made
    made.close()


HEAD = "POST /v1/readings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
LINES = st.lists(
    st.sampled_from(
        [
            *("content-length: 5", "content-length: -1", "content-length: 99999999999999999999"),
            *("content-length: 0x10", "transfer-encoding: chunked", "content-type: \x80"),
            *("content-type: application/msgpack", "expect: 100-continue", "date: yesterday"),
            *("x-api-key: aqd_", "content-encoding: gzip", "connection: upgrade", "\x00: \x00"),
        ]
    ),
    max_size=4,
)


@FUZZ
@given(fields=LINES, body=st.binary(max_size=60), bare=st.booleans())
@example(fields=["transfer-encoding: chunked"], body=b"5\r\n[{}]\n\r\n0\r\n\r\n", bare=False)
@example(fields=[], body=b"\x16\x03\x01", bare=True)
def test_any_bytes_at_the_socket(
    bench: IngestBench, socket: Socket, fields: list[str], body: bytes, bare: bool
) -> None:
    head = HEAD.format(key=bench.key) + "".join(f"{line}\r\n" for line in fields) + "\r\n"
    answer = socket.exchange((b"" if bare else head.encode("latin-1")) + body)
    statuses = re.findall(rb"^HTTP/1\.1 (\d)", answer, re.MULTILINE)
    assert b"5" not in statuses, answer
    assert bench.room.under_way == 0


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b"[" + b"0," * 500_000 + b"0]"),
        (JSON, b"[" * 1_000_000),
        (NDJSON, b"0\n" * 500_000),
        (MSGPACK, b"\xdd\x00\x0f\x42\x40" + b"\xc0" * 1_000_000),
        (JSON, msgspec.json.encode([thermostat()] * 10_000)),
    ],
)
def test_a_body_takes_a_bounded_multiple_of_its_length(make: Make, kind: str, body: bytes) -> None:
    bench = make(free_bytes=0)
    tracemalloc.start()
    try:
        assert bench.push(body, kind).status_code in {202, 413, 422}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 128 * len(body)
