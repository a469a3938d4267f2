"""Measurements of the API: its requests, and what it can say of the data.

They are served on a port of their own by the process that `aq serve` starts, whatever the number of
its workers: these write their counts to files, and that process adds them up.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aq_resources.metrics.air import forecasts_and_quality, freshness
from aq_resources.metrics.collector import BackgroundCollector
from aq_resources.metrics.endpoint import metrics_endpoint
from aq_resources.metrics.settings import MetricsSettings
from aq_resources.services import Services
from aq_serving.reader import Reader

# prometheus_client's own name, which it looks for when it is imported.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# No one waits for these reads.
QUERY_SECONDS = 60.0
# A path that is no route's: as one value, or every scanner would make series of its own.
NO_ROUTE = "none"
# A stream takes as long as someone listens.
LIVE = "/v1/live"

_COUNT = Counter(
    "aq_http_requests",
    "Requests answered, by route and status",
    ["method", "route", "status"],
    registry=None,
)
_SECONDS = Histogram(
    "aq_http_request_duration_seconds",
    "From a request's head to the last byte of its answer, by route",
    ["method", "route"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=None,
)
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class Answering:
    """Sends an answer, and knows its status then."""

    def __init__(self, send: Send) -> None:
        self._send = send
        # What ends without an answer is one of 500 to whoever asked.
        self.status = 500

    async def __call__(self, message: Message) -> None:
        """Send."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class RequestMetrics:
    """Counts requests and their time, by route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = Answering(send)
        begun = time.perf_counter()
        try:
            await self._app(scope, receive, answer)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = route_of(scope)
            _COUNT.labels(method, route, str(answer.status)).inc()
            if route != LIVE:
                _SECONDS.labels(method, route).observe(time.perf_counter() - begun)


@dataclass
class Tally:
    """How many answers of a kind came from memory, where a look at the clock would be dear.

    One thread counts, and another one adds what is new to the metrics.
    """

    route: str
    status: int
    count: int = 0
    _reported: int = 0

    def report(self) -> None:
        """Add what is new to the metrics."""
        new = self.count - self._reported
        if new:
            _COUNT.labels("GET", self.route, str(self.status)).inc(new)
            self._reported += new


def route_of(scope: Scope) -> str:
    """The route's pattern, which has few values; a mounted application's is its place."""
    route = scope.get("route")
    pattern = getattr(route, "path", None)
    if pattern is None or isinstance(route, Mount):
        return str(scope.get("root_path") or NO_ROUTE)
    # A router that is included under a prefix knows its routes without it.
    missing = scope["path"].count("/") - pattern.count("/")
    if missing > 0 and ":path}" not in pattern:
        return "/".join([*str(scope["path"]).split("/")[: missing + 1], pattern[1:]])
    return str(pattern)


@contextmanager
def api_metrics(settings: MetricsSettings, workers: int) -> Iterator[None]:
    """Serve the API's measurements until the block ends, where the settings say so.

    Args:
        settings: Where, and how often the data is measured.
        workers: Processes of the API; several of them count in files.

    Yields:
        Nothing. Workers are to be started within the block.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    if settings.api_port is None:
        yield
        return
    services = Services.from_environment()
    reader = Reader(services, 1, QUERY_SECONDS)
    collector = BackgroundCollector(
        {
            "freshness": freshness(services),
            "forecasts": forecasts_and_quality(services, reader.query),
        },
        settings.seconds,
    )
    with (
        _requests(workers) as registry,
        metrics_endpoint(registry, settings.host, settings.api_port),
    ):
        registry.register(collector)
        ProcessCollector(registry=registry)
        collector.start()
        try:
            yield
        finally:
            collector.stop()
            reader.close()
            services.close()


@contextmanager
def _requests(workers: int) -> Iterator[CollectorRegistry]:
    """The registry of the requests of this process, or of all workers that are started."""
    if workers == 1:
        registry = CollectorRegistry()
        registry.register(_COUNT)
        registry.register(_SECONDS)
        yield registry
        return
    with tempfile.TemporaryDirectory(prefix="aq-metrics-") as folder:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        os.environ[SHARED_FOLDER] = folder
        try:
            yield registry
        finally:
            del os.environ[SHARED_FOLDER]
