"""A sandbox with a fixed clock, and AirQino's client pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest

from aq_resources.network_client import Parsed, Pull
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.networks.airqino import AirQinoClient
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.windows import Window

NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
STATIONS = ("283164601", "283181971", "283249436", "900000001")


def time_limit(fault: str | None) -> str:
    """AQ_HTTP_TIMEOUT_SECONDS for a fault: what answers is waited for however busy the machine."""
    return "1.5" if fault == "timeout" else "60"


@dataclass
class Bench:
    """A client, what it waited (without waiting), and every request it sent."""

    client: AirQinoClient
    waits: list[float] = field(default_factory=list)
    sent: list[httpx.Request] = field(default_factory=list)

    def pull(self, window: Window) -> dict[str, Pull]:
        pulls = list(self.client.pull(window))
        by_station = {pull.source: pull for pull in pulls}
        assert len(by_station) == len(pulls)
        return by_station

    def grants(self) -> list[dict[str, str]]:
        """Forms sent to the login."""
        return [
            dict(httpx.QueryParams(request.content.decode()))
            for request in self.sent
            if request.method == "POST"
        ]


MakeBench = Callable[..., Bench]


@pytest.fixture(scope="session")
def _open_server() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(stations=5, now=NOW)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _closed_server() -> Iterator[RunningSandbox]:
    config = SandboxConfig(stations=5, now=NOW, auth=True, token_seconds=300)
    with running_sandbox(config) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_open_server: RunningSandbox) -> RunningSandbox:
    _open_server.reset()
    return _open_server


@pytest.fixture
def guarded(_closed_server: RunningSandbox) -> RunningSandbox:
    """A sandbox that wants a login."""
    _closed_server.reset()
    return _closed_server


@pytest.fixture
def bench(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBench]:
    """Makes clients of a sandbox; keyword arguments are settings (`AQ_…`)."""
    with ExitStack() as stack:

        def make(
            sandbox: RunningSandbox,
            stations: tuple[str, ...] = STATIONS[:1],
            *,
            now: Callable[[], datetime] = lambda: NOW,
            config: dict[str, Any] | None = None,
            **settings: str,
        ) -> Bench:
            for name, value in {**sandbox.environment, **settings}.items():
                monkeypatch.setenv(name, value)
            entry = NetworkConfig(
                name="airqino", start_date=date(2020, 1, 1), stations=stations, **(config or {})
            )
            client = create_client(entry, Settings(), now)
            assert isinstance(client, AirQinoClient)
            stack.callback(client.close)
            made = Bench(client)
            for http in (client._http, client._catalogue_http):
                http._retrying.sleep = made.waits.append
            client._http._client.event_hooks = {"request": [made.sent.append]}
            return made

        yield make


def recorded_answer(
    body: object,
    *,
    window: Window | None = None,
    station: str = "1",
    status: int = 200,
    pulled_at: datetime = NOW,
) -> RawAnswer:
    """An answer with `body`: text as it is, anything else as JSON."""
    window = window or Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
    return RawAnswer(
        f"https://airqino.example/v3/getStationHourlyAvg/{station}",
        {},
        (window.start, window.end),
        pulled_at,
        status,
        body if isinstance(body, str) else msgspec.json.encode(body).decode(),
    )


def values(parsed: Parsed, parameter: str) -> dict[str, float]:
    """Stamp -> value of one parameter."""
    rows = parsed.versions.filter(pl.col("parameter") == parameter)
    return {
        f"{hour:%Y-%m-%d %H:%M:%S}": value
        for hour, value in rows.select("hour", "value_native").iter_rows()
    }


def problems(parsed: Parsed) -> dict[str, int]:
    """Kind -> records, over all stations."""
    return {str(row["problem"]): int(row["records"]) for row in parsed.problems.rows()}
