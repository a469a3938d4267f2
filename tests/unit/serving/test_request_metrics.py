"""What is counted of requests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from aq_serving import metrics
from aq_serving.metrics import RequestMetrics
from tests.unit.serving.conftest import Ask


@pytest.fixture
def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    found.register(metrics._COUNT)
    return found


def counted(registry: CollectorRegistry, route: str, status: int, method: str = "GET") -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return registry.get_sample_value("aq_http_requests_total", labels) or 0.0


def test_requests_count_by_their_routes_pattern(ask: Ask, registry: CollectorRegistry) -> None:
    before = counted(registry, "/v1/stations", 200), counted(registry, "/v1/stations", 400)
    ask("/v1/stations")
    ask("/v1/stations?limit=x")
    assert counted(registry, "/v1/stations", 200) == before[0] + 1
    assert counted(registry, "/v1/stations", 400) == before[1] + 1


def test_made_up_paths_and_methods_make_no_series(ask: Ask, registry: CollectorRegistry) -> None:
    before = counted(registry, "none", 404)
    for number in range(3):
        ask(f"/v1/made-up/{number}")
    assert counted(registry, "none", 404) == before + 3
    routes = {
        sample.labels["route"]
        for family in registry.collect()
        for sample in family.samples
        if "route" in sample.labels
    }
    assert not [route for route in routes if "made-up" in route]


def asked(app: Any, path: str) -> None:
    async def go() -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.get(path)

    asyncio.run(go())


def test_what_is_mounted_counts_by_its_place(registry: CollectorRegistry) -> None:
    app = RequestMetrics(Starlette(routes=[Mount("/files", app=PlainTextResponse("x"))]))
    asked(app, "/files/a.js")
    asked(app, "/files/b.js")
    assert counted(registry, "/files", 200) == 2


def test_a_request_that_ends_in_an_error_counts_as_one_of_500(registry: CollectorRegistry) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("broken")

    before = counted(registry, "none", 500)
    asked(RequestMetrics(broken), "/anything")
    assert counted(registry, "none", 500) == before + 1


@pytest.mark.server
def test_workers_are_added_up() -> None:
    """Two processes count into one folder, and a third one reads the sum."""
    code = """
import os, subprocess, sys
from aq_serving.metrics import _requests
from prometheus_client import generate_latest
count = "from aq_serving import metrics; metrics._COUNT.labels('GET', '/a', '200').inc()"
with _requests(2) as registry:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", count], check=True)
    text = generate_latest(registry).decode()
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
assert 'aq_http_requests_total{method="GET",route="/a",status="200"} 2.0' in text, text
assert not os.path.exists(folder)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
