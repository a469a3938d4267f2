"""A client of IRCELINE with its waits and requests, and answers as if recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import httpx
import msgspec
import polars as pl

from aq_resources.network_client import Parsed, Pull
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.networks.irceline import IrcelineClient
from aq_resources.networks.irceline.bodies import SeriesMeaning
from aq_resources.settings import Settings
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import Window
from tests.contract.conftest import NOW

BELGIUM = {"latitude": 50.6, "longitude": 4.6, "radius_km": 200}
BASE = "/sos/api/v1"
LIST, DATA = f"{BASE}/timeseries", f"{BASE}/timeseries/getData"


@dataclass
class Bench:
    """A client, what it waited (without waiting), and every request it sent."""

    client: IrcelineClient
    waits: list[float] = field(default_factory=list)
    sent: list[httpx.Request] = field(default_factory=list)

    def pull(self, window: Window) -> list[Pull]:
        return list(self.client.pull(window))

    def parsed(self, window: Window) -> Parsed:
        pulls = self.pull(window)
        assert [pull.failure for pull in pulls if pull.failure] == []
        return self.client.parse([pull.answer for pull in pulls if pull.answer])

    def paths(self) -> list[str]:
        return [request.url.path for request in self.sent]

    def questions(self) -> list[dict[str, Any]]:
        """Bodies of the requests for data."""
        return [msgspec.json.decode(one.content) for one in self.sent if one.method == "POST"]


def make_bench(now: Callable[[], datetime] = lambda: NOW, **config: Any) -> Bench:
    """A client by the environment; `config` replaces keys of its entry in networks.yaml."""
    if "stations" not in config:
        config.setdefault("area", BELGIUM)
    entry = NetworkConfig(name="irceline", start_date=date(2015, 1, 1), **config)
    client = create_client(entry, Settings(), now)
    assert isinstance(client, IrcelineClient)
    made = Bench(client)
    for http in (client._http, client._newest_http):
        http._retrying.sleep = made.waits.append
        http._client.event_hooks = {"request": [made.sent.append]}
    return made


def answer(
    body: object,
    series: Mapping[str, tuple[str, str] | tuple[str, str, str]],
    window: Window,
    *,
    status: int = 200,
    pulled_at: datetime = NOW,
) -> RawAnswer:
    """An answer about `series`: id -> (station, phenomenon[, unit])."""
    meanings = {
        name: SeriesMeaning(told[0], told[1], told[2] if len(told) > 2 else "µg/m³")
        for name, told in series.items()
    }
    return RawAnswer(
        f"https://irceline.example{DATA}",
        {"series": msgspec.json.encode(meanings).decode()},
        (window.start, window.end),
        pulled_at,
        status,
        body if isinstance(body, str) else msgspec.json.encode(body).decode(),
    )


def values(parsed: Parsed, parameter: str, station: str | None = None) -> dict[str, float]:
    """Hour -> value of one parameter."""
    rows = parsed.versions.filter(pl.col("parameter") == parameter).sort("hour")
    if station is not None:
        rows = rows.filter(pl.col("station_id") == station)
    return {f"{row['hour']:%Y-%m-%d %H}": row["value_native"] for row in rows.to_dicts()}
