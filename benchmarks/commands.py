"""What the command costs before and after its work: its start, queries of big tables, printing.

Each line is a ratio to a plain process of the same run: an empty Python, or DuckDB alone that
answers the same from the same files. A run of one and a run of the other take turns, and the
fastest of each counts, since whatever else a machine does makes none faster.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from aq_resources.services import warehouse_tables
from aq_resources.stores.day_files import DayFiles, file_name
from aq_resources.stores.object_store import LocalObjectStore
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.windows import DAY, HOUR, Window
from benchmarks.common import (
    aq,
    clean_environment,
    four_networks,
    free_port,
    machine,
    networks_file,
    own_sandbox,
    stop_tree,
)

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
PARAMETERS = ("pm25", "co")
VIEW = "air_quality.hourly_readings"
NOON = "2024-01-01 12:00:00+00"
QUERIES = {
    "count": f"SELECT count(*) FROM {VIEW}",
    "a point": f"SELECT hour, value FROM {VIEW} WHERE station_id = 'S0007' AND parameter = 'pm25' "
    f"AND hour = TIMESTAMPTZ '{NOON}'",
    "a day's mean": f"SELECT parameter, avg(value) FROM {VIEW} WHERE hour >= TIMESTAMPTZ "
    f"'{NOON}' AND hour < TIMESTAMPTZ '{NOON}' + INTERVAL 1 DAY GROUP BY ALL",
}
# Wall seconds and times of the plain process at most.
START_AIMS = {"aq --help": 0.4, 'aq query "select 1"': 0.9, "aq doctor": 1.5}
QUERY_AIM = 2.5


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds of the fastest of several runs."""

    wall: float
    cpu: float


def main() -> None:
    """Print a line a command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--readings", type=float, default=2, help="millions (default: 2)")
    options.add_argument("--days", type=int, default=60)
    options.add_argument("--repeat", type=int, default=5)
    chosen = options.parse_args()
    print(machine())
    with installation() as environment:
        home = Path(environment["AQ_HOME"])
        stored = fill(home, int(chosen.readings * 1e6), chosen.days)
        print_starts(environment, chosen.repeat)
        print_queries(environment, home, stored, chosen.repeat)
        print_tables(environment, home, chosen.repeat)
        print_ready(environment, home, chosen.repeat)


@contextmanager
def installation() -> Iterator[dict[str, str]]:
    """Environment of an empty platform with four networks of a sandbox in another process."""
    with tempfile.TemporaryDirectory(prefix="aq-bench-") as name, own_sandbox(10) as sandbox:
        folder = Path(name)
        networks = networks_file(folder, four_networks(10), FIRST.date())
        yield {
            **clean_environment(),
            "AQ_HOME": str(folder / "home"),
            "AQ_NETWORKS": str(networks),
            **sandbox.environment,
        }


def fill(home: Path, readings: int, days: int) -> int:
    """Store hourly readings of so many days as the platform does; how many."""
    stations = max(10, readings // (days * 24 * len(PARAMETERS)))
    store = LocalObjectStore(home / "objects")
    files = DayFiles(
        store,
        "airqino/hourly_readings",
        file_name("hourly_readings"),
        HOURLY_READINGS.schema,
    )
    for number in range(days):
        day = FIRST + number * DAY
        files.write(day.date(), rows_of(day, stations), {})
    catalog = home / "warehouse.sqlite"
    location = WarehouseLocation(f"ducklake:sqlite:{catalog}", str(home / "warehouse"))
    with closing(Warehouse(location, networks={"airqino": warehouse_tables("airqino")})) as lake:
        lake.publish_files("airqino", HOURLY_READINGS, files.pattern)
    return stations * days * 24 * len(PARAMETERS)


def rows_of(day: datetime, stations: int) -> pl.DataFrame:
    """Made-up hourly readings of a day, in the order in which they are stored."""
    window = Window(day, day + DAY)
    hours = pl.DataFrame({"hour": [piece.start for piece in window.chunks(HOUR)]})
    keys = (
        pl.DataFrame({"station_id": [f"S{number:04}" for number in range(stations)]})
        .join(pl.DataFrame({"parameter": PARAMETERS}), how="cross")
        .join(hours, how="cross")
    )
    value = pl.int_range(pl.len()).hash(day.toordinal()) % 10_000 / 100
    made = keys.with_columns(
        network=pl.lit("airqino"),
        value=value,
        value_native=value,
        unit=pl.lit("µg/m³"),
        unit_native=pl.lit("µg/m³"),
        flag=pl.lit("valid"),
        reasons=pl.lit([], dtype=pl.List(pl.String)),
        pulled_at=pl.lit(day + DAY),
        revision=pl.lit(0),
    )
    missing = [
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in HOURLY_READINGS.schema.items()
        if name not in made.columns
    ]
    return (
        made.with_columns(missing)
        .select(HOURLY_READINGS.schema.names())
        .cast(HOURLY_READINGS.schema)
    )


def print_starts(environment: Mapping[str, str], repeat: int) -> None:
    """What the command takes to begin."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "DuckDB alone": plain("SELECT 1"),
        "aq --help": [aq(), "--help"],
        'aq query "select 1"': [aq(), "query", "select 1"],
        "aq doctor": [aq(), "doctor"],
    }
    costs = in_turns(commands, environment, repeat)
    bare = costs["python -c pass"]
    print(f"\n{'start':24}{'wall':>9}{'CPU':>9}{'CPU/bare':>10}  aim")
    for name, cost in costs.items():
        aim = f"{START_AIMS[name]:.1f} s wall" if name in START_AIMS else ""
        print(f"{name:24}{cost.wall:8.2f}s{cost.cpu:8.2f}s{cost.cpu / bare.cpu:10.1f}  {aim}")


def print_queries(environment: Mapping[str, str], home: Path, stored: int, repeat: int) -> None:
    """Queries of a big table against DuckDB alone on the same files."""
    print(f"\n{f'{stored:,} readings':24}{'aq':>9}{'DuckDB':>9}{'ratio':>8}  (aim {QUERY_AIM})")
    pattern = f"{home}/objects/airqino/hourly_readings/*/*.parquet"
    for name, sql in QUERIES.items():
        alone = sql.replace(VIEW, f"read_parquet('{pattern}')")
        costs = in_turns({"aq": [aq(), "query", sql], "alone": plain(alone)}, environment, repeat)
        ours, theirs = costs["aq"].wall, costs["alone"].wall
        print(f"{name:24}{ours:8.2f}s{theirs:8.2f}s{ours / theirs:8.1f}")


def print_tables(environment: Mapping[str, str], home: Path, repeat: int) -> None:
    """A page and the whole of long results against their fetch by DuckDB alone."""
    print(f"\n{'rows of 13 columns':24}{'aq':>9}{'DuckDB':>9}{'ratio':>8}")
    pattern = f"{home}/objects/airqino/hourly_readings/*/*.parquet"
    for rows in (5_000, 50_000):
        sql = f"SELECT * FROM {VIEW} LIMIT {rows}"
        commands = {
            f"{rows:,}: page": [aq(), "query", sql],
            f"{rows:,}: --all": [aq(), "query", "--all", sql],
            f"{rows:,}: CSV": [aq(), "query", "--format", "csv", sql],
            "alone": plain(sql.replace(VIEW, f"read_parquet('{pattern}')")),
        }
        costs = in_turns(commands, environment, repeat)
        alone = costs.pop("alone").wall
        for name, cost in costs.items():
            print(f"{name:24}{cost.wall:8.2f}s{alone:8.2f}s{cost.wall / alone:8.1f}")


def print_ready(environment: Mapping[str, str], home: Path, repeat: int) -> None:
    """From `aq up` on a home of its own to the UI, over an import of Dagster."""
    imported = [sys.executable, "-c", "import dagster"]
    quiet = {**environment, "AQ_SENSORS": "false"}
    alone = in_turns({"alone": imported}, environment, repeat)["alone"].wall
    took = min(
        ready({**quiet, "AQ_HOME": f"{home}-up-{number}"}) for number in range(min(repeat, 3))
    )
    print(
        f"\n{'aq up to a ready UI':24}{took:8.2f}s{alone:8.2f}s{took / alone:8.1f}  (Dagster alone)"
    )


def ready(environment: Mapping[str, str]) -> float:
    """Seconds from the start of `aq up` until it says that the UI is ready."""
    began = time.perf_counter()
    command = [aq(), "up", "--port", free_port()]
    with subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            if b"Ready:" in line:
                break
        took = time.perf_counter() - began
        process.send_signal(signal.SIGINT)
        stop_tree(process)
    return took


def plain(sql: str) -> list[str]:
    """A Python that does nothing but have DuckDB answer and print."""
    return [sys.executable, "-c", f"import duckdb\nprint(duckdb.sql({sql!r}).fetchall())"]


def in_turns(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], repeat: int
) -> dict[str, Cost]:
    """The fastest run of each command, whatever it answers; a first round warms the disk's cache.

    Args:
        commands: By name.
        environment: Of all of them.
        repeat: Rounds that count.

    Returns:
        Costs by name.
    """
    best: dict[str, Cost] = {}
    for number in range(repeat + 1):
        for name, command in commands.items():
            cost = run(command, environment)
            if number:
                before = best.get(name, cost)
                best[name] = Cost(min(before.wall, cost.wall), min(before.cpu, cost.cpu))
    return best


def run(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Wall and CPU seconds of a process that ends well."""
    began, used = time.perf_counter(), os.times()
    subprocess.run(command, env=dict(environment), stdout=subprocess.DEVNULL, check=True)
    now = os.times()
    cpu = now.children_user - used.children_user + now.children_system - used.children_system
    return Cost(time.perf_counter() - began, cpu)


if __name__ == "__main__":
    main()
