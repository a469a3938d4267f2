"""The endpoint as its own document has it, and as a socket: no server error, whatever comes."""

from __future__ import annotations

import asyncio
import contextlib
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
    max_examples=settings().max_examples // 4,
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
def test_every_answer_is_as_the_document_says(bench: IngestBench, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_asgi("/v1/openapi.json", bench.app)
    operation = document["/v1/readings"]["POST"]

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

    def __init__(self, bench: IngestBench) -> None:
        self.bench = bench
        self.statuses: list[int] = []
        config = uvicorn.Config(
            self.recorded,
            interface="asgi3",
            host=HOST,
            port=0,
            log_level="critical",
            lifespan="off",
        )
        self.server = uvicorn.Server(config)
        self.runner = asyncio.Runner()
        self.runner.run(self._start())

    async def recorded(self, scope: Any, receive: Any, send: Any) -> None:
        """The client may be gone before its answer."""

        async def note(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
            await send(message)

        await self.bench.app(scope, receive, note)

    async def _start(self) -> None:
        self.server.config.load()
        self.server.lifespan = self.server.config.lifespan_class(self.server.config)
        await self.server.startup()

    def send(self, data: bytes) -> None:
        """Until the server has nothing more to do for it."""

        async def exchange() -> None:
            port = self.server.servers[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(data)
            writer.write_eof()
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
            while self.server.server_state.tasks:
                await asyncio.sleep(0)

        self.runner.run(exchange())

    def close(self) -> None:
        self.runner.run(self.server.shutdown())
        self.runner.close()


@pytest.fixture
def socket(bench: IngestBench) -> Iterator[Socket]:
    made = Socket(bench)
    yield made
    assert made.statuses
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
    socket.send((b"" if bare else head.encode("latin-1")) + body)
    assert all(status < 500 for status in socket.statuses)
    assert bench.room.under_way == 0


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b"[" + b"0," * 100_000 + b"0]"),
        (JSON, b"[" * 200_000),
        (NDJSON, b"0\n" * 100_000),
        (MSGPACK, b"\xdd\x00\x01\x86\xa0" + b"\xc0" * 100_000),
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
