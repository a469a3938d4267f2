"""What the benchmarks share: a sandbox, and children whose time and memory are measured."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psutil
import yaml

TABLES = ("stations", "hourly_readings", "daily_averages")


@dataclass(frozen=True)
class Measured:
    """Wall time (s), peak resident memory (MiB), exit code and all output of a child process."""

    seconds: float
    peak_mib: float
    code: int
    output: str


@contextmanager
def platform_on_sandbox(
    stations: int, start: date, now: datetime | None = None, speed: float | None = None
) -> Iterator[dict[str, str]]:
    """Environment of an empty platform on a sandbox in another process, by its clock."""
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name:
        folder = Path(name)
        networks = networks_file(folder, {"airqino": four_networks(stations)["airqino"]}, start)
        with own_sandbox(stations, now, speed) as sandbox:
            yield {
                **clean_environment(),
                "AQ_HOME": str(folder / "home"),
                "AQ_NETWORKS": str(networks),
                **sandbox.environment,
            }


@dataclass(frozen=True)
class OwnSandbox:
    """A sandbox in a process of its own, and the settings that point the platform at it."""

    url: str
    environment: dict[str, str]

    def of(self, network: str) -> dict[str, str]:
        """The settings of one network."""
        own = f"AQ_{network.upper()}_"
        return {name: value for name, value in self.environment.items() if name.startswith(own)}

    def control(self, method: str, what: str, body: object = None) -> Any:
        """What `/_sandbox/<what>` answers."""
        answer = httpx.request(
            method, f"{self.url}/_sandbox/{what}", json=body, trust_env=False, timeout=60
        )
        return answer.raise_for_status().json()


@contextmanager
def own_sandbox(
    stations: int,
    now: datetime | None = None,
    speed: float | None = None,
    replay: Path | None = None,
) -> Iterator[OwnSandbox]:
    """A sandbox in another process, until the block ends."""
    command = [aq(), "sandbox", "--stations", str(stations), "--port", "0"]
    if replay is not None:
        command += ["--replay", str(replay)]
    if now is not None:
        command += ["--now", now.isoformat()]
    if speed is not None:
        command += ["--speed", str(speed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            environment = {}
            for line in sandbox.stdout or ():
                if not line.startswith("export "):
                    break
                name, _, value = line.removeprefix("export ").strip().partition("=")
                environment[name] = value
            yield OwnSandbox(environment["AQ_AIRQINO_URL"], environment)
        finally:
            sandbox.terminate()


def four_networks(stations: int) -> dict[str, dict[str, Any]]:
    """Entries of networks.yaml that take in so many stations of each of the sandbox's networks."""
    from aq_sandbox.networks.airqo import COHORT
    from aq_sandbox.networks.openaq import location_ids
    from aq_sandbox.stations import station_ids

    ids = station_ids(stations)
    overrides = {name: {"timezone": "Africa/Abidjan"} for name in ids}
    return {
        "airqino": {"stations": ids, "overrides": overrides},
        "airqo": {"stations": [f"cohort:{COHORT}"]},
        # The whole of Belgium.
        "irceline": {"area": {"latitude": 50.6, "longitude": 4.6, "radius_km": 200}},
        "openaq": {"stations": [str(number) for number in location_ids(stations)]},
    }


def networks_file(folder: Path, entries: Mapping[str, dict[str, Any]], start: date) -> Path:
    """A networks file of these entries."""
    path = folder / "networks.yaml"
    dated = {name: {"start_date": start, **entry} for name, entry in entries.items()}
    path.write_text(yaml.safe_dump({"networks": dated}))
    return path


def tables_of(
    home: Path, networks: Iterable[str], names: tuple[str, ...] = TABLES
) -> dict[tuple[str, str], tuple[int, int]]:
    """Rows, and a sum over what they hold in any order, of each table that there is.

    The times of work are left out: two installations did the same at different times.
    """
    from aq_resources.warehouse.location import WarehouseLocation
    from aq_resources.warehouse.warehouse import Warehouse

    catalog = home / "warehouse.sqlite"
    if not catalog.exists():
        return {}
    location = WarehouseLocation(f"ducklake:sqlite:{catalog}", str(home / "warehouse"))
    found = {}
    with closing(Warehouse(location).connect_read_only()) as connection:
        for network, name in product(networks, names):
            with suppress(duckdb.CatalogException):
                row = connection.execute(
                    "SELECT count(*), sum(hash(t)::HUGEINT) FROM (SELECT COLUMNS(c -> c NOT IN "
                    f"('pulled_at', 'first_seen', 'last_seen')) FROM {network}.{name}) t"
                ).fetchone()
                found[network, name] = row or (0, 0)
    return found


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that steers the platform."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AQ_") and name != "DAGSTER_HOME"
    }


def aq() -> str:
    """The command of this environment."""
    return str(Path(sys.executable).with_name("aq"))


def measure(
    command: list[str], environment: Mapping[str, str], codes: tuple[int, ...] = (0,)
) -> Measured:
    """Run the command to its end; raises where it ends with none of these exit codes."""
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT) as child,
    ):
        process = psutil.Process(child.pid)
        peak = 0
        while child.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        code = child.wait()
        said.seek(0)
        output = said.read().decode()
    if code not in codes:
        raise SystemExit(f"{output}\n{command[0]} failed with exit code {code}")
    return Measured(seconds, peak / 2**20, code, output)


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def stop_tree(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process, which was asked to end, and kill whatever is left of it."""
    family = psutil.Process(process.pid).children(recursive=True)
    try:
        process.wait(60)
    finally:
        _, alive = psutil.wait_procs(family, timeout=10)
        for child in alive:
            child.kill()


def machine() -> str:
    """What the numbers were measured on."""
    return f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f} before"
