"""Three of four networks ill at once, each in its way: the fourth never notices.

`benchmarks/four_networks.py` does it with a year of 200 stations, and every network in every role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import duckdb
import polars as pl
import pytest

from aq_sandbox.networks.airqo import COHORT
from aq_sandbox.networks.openaq import location_ids
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_sandbox.stations import station_ids
from tests.system.faults.conftest import READINGS, differences
from tests.system.integration.harness import Installation

COUNT = 2
START, DAYS = "2025-05-06", 6
COMMAND = ("backfill", "--start", START, "--end", "2025-05-11")
NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
ENTRIES: dict[str, dict[str, Any]] = {
    "airqino": {"stations": station_ids(COUNT)},
    "airqo": {"stations": [f"cohort:{COHORT}"]},
    "irceline": {"area": {"latitude": 50.6, "longitude": 4.6, "radius_km": 200}},
    "openaq": {"stations": [str(number) for number in location_ids(COUNT)]},
}
NETWORKS = tuple(ENTRIES)
NOBODY = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Ill:
    """The fault of a network's server, and what is said of it; None for one that is not there."""

    fault: dict[str, Any] | None
    says: tuple[str, ...]


DOWN = Ill(None, ("cannot be reached",))
BUSY = Ill({"kind": "status", "status": 429, "share": 0.5, "retry_after": 0.01}, ("answered 429",))
CHANGED = Ill({"kind": "schema"}, ("the known form", "nothing of what was asked"))
Servers = Mapping[str, RunningSandbox]
Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def _servers() -> Iterator[dict[str, RunningSandbox]]:
    """A server for each network, so that one can be ill alone."""
    with ExitStack() as stack:
        config = SandboxConfig(stations=COUNT, now=NOW)
        yield {name: stack.enter_context(running_sandbox(config)) for name in NETWORKS}


@pytest.fixture
def servers(_servers: dict[str, RunningSandbox]) -> Servers:
    for server in _servers.values():
        server.reset()
    return _servers


def installation(folder: Path, servers: Servers, down: str | None = None) -> Installation:
    settings = {
        name: value.replace(server.url, NOBODY) if network == down else value
        for network, server in servers.items()
        for name, value in server.environment.items()
        if name.startswith(f"AQ_{network.upper()}_")
    }
    entries = {name: {"start_date": START, **entry} for name, entry in ENTRIES.items()}
    # Fewer tries than by default: a network that is down is waited for.
    return (
        Installation(folder)
        .with_networks(**entries)
        .with_settings(**settings, AQ_HTTP_ATTEMPTS="3")
    )


def tables(one: Installation, network: str) -> Tables:
    """The network's tables; none of those that are not there yet."""
    found = {}
    for name in READINGS:
        try:
            found[f"{network}.{name}"] = one.table(name, network=network)
        except duckdb.CatalogException:
            continue
    return found


def lines(done: CompletedProcess[str], network: str) -> list[str]:
    """What standard error says of the network's server."""
    return [line for line in done.stderr.splitlines() if _TITLES[network] in line]


_TITLES = {"airqino": "AirQino", "airqo": "AirQo", "irceline": "IRCELINE", "openaq": "OpenAQ"}


@pytest.fixture(scope="module")
def undisturbed(
    _servers: dict[str, RunningSandbox], tmp_path_factory: pytest.TempPathFactory
) -> Tables:
    calm = installation(tmp_path_factory.mktemp("calm"), _servers)
    calm.succeed(*COMMAND)
    found = {key: rows for name in NETWORKS for key, rows in tables(calm, name).items()}
    assert len(found) == len(NETWORKS) * len(READINGS)
    for network in NETWORKS:
        readings = found[f"{network}.hourly_readings"]
        assert readings["station_id"].n_unique() == COUNT
        assert len(readings.filter(parameter="pm25")) > 0.7 * DAYS * 24 * COUNT
        days = found[f"{network}.daily_averages"].filter(parameter="pm25", valid=True)
        assert len(days) > 0.7 * DAYS * COUNT
    return found


def test_the_healthy_one_is_untouched_and_the_ill_ones_recover(
    servers: Servers, undisturbed: Tables, tmp_path: Path
) -> None:
    ills = {"airqo": DOWN, "irceline": CHANGED, "openaq": BUSY}
    for network, ill in ills.items():
        if ill.fault is not None:
            servers[network].inject(**ill.fault)
    (down,) = (network for network, ill in ills.items() if ill is DOWN)
    done = installation(tmp_path, servers, down).run(*COMMAND)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    one = installation(tmp_path, servers)
    for network in NETWORKS:
        found, said = tables(one, network), lines(done, network)
        same = len(found) == len(READINGS) and differences(found, undisturbed) == {}
        if network not in ills:
            assert same
            assert said == []
        elif ills[network] is BUSY:
            # Half of the tries get through, so it may have ridden it out.
            assert any(ills[network].says[0] in line for line in said) or same
        else:
            (line,) = said
            assert any(words in line for words in ills[network].says), line
            assert found[f"{network}.daily_averages"].is_empty()

    for server in servers.values():
        server.clear()
    one.succeed(*COMMAND)
    for network in NETWORKS:
        found = tables(one, network)
        assert len(found) == len(READINGS)
        assert differences(found, undisturbed) == {}
