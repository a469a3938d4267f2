"""Spans of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from aq_resources.services import Services
from aq_serving.app import create_app
from aq_serving.settings import ApiSettings
from aq_serving.spans import RequestSpans

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


async def station(request: Request) -> PlainTextResponse:
    if request.path_params["name"] == "broken":
        raise ValueError("broken")
    return PlainTextResponse("x")


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    found = InMemorySpanExporter()
    yield found
    found.shutdown()


def span_of(exporter: InMemorySpanExporter, path: str, **headers: str) -> ReadableSpan:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = RequestSpans(Starlette(routes=[Route("/stations/{name}", station)]), provider)

    async def go() -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.get(path, headers=headers)

    asyncio.run(go())
    [span] = exporter.get_finished_spans()
    return span


def test_a_request_is_a_span_with_route_status_and_time(exporter: InMemorySpanExporter) -> None:
    span = span_of(exporter, "/stations/s1?latitude=5.3")
    assert (span.name, span.kind) == ("GET /stations/{name}", SpanKind.SERVER)
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/stations/{name}",
        "http.response.status_code": 200,
        "url.path": "/stations/s1",
    }
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time >= span.start_time
    assert (span.parent, span.status.is_unset) == (None, True)


def test_it_goes_on_with_the_trace_of_who_asks(exporter: InMemorySpanExporter) -> None:
    span = span_of(exporter, "/stations/s1", traceparent=f"00-{TRACE}-{PARENT}-01")
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT


def test_an_error_is_one_in_the_trace_too(exporter: InMemorySpanExporter) -> None:
    span = span_of(exporter, "/stations/broken")
    assert (span.attributes or {})["http.response.status_code"] == 500
    assert not span.status.is_ok
    assert not span.status.is_unset


@pytest.mark.server
def test_without_the_variable_nothing_is_in_the_way(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layers() -> list[object]:
        return [one.cls for one in create_app(services, ApiSettings()).user_middleware]

    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    assert RequestSpans not in layers()
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    assert RequestSpans in layers()
