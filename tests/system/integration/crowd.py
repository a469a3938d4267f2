"""Many processes at one warehouse: what each writer and reader does (see test_concurrency)."""

from __future__ import annotations

import random
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta

import duckdb
import polars as pl

from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.core import Table
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecasts import FORECASTS
from aq_science.windows import DAY, midnight
from tests.factories import daily_frame, forecast_frame

ROWS = 24
DAYS = 4
NETWORKS = ("alpha", "beta")
TABLES = {"daily_averages": DAILY_AVERAGES, "forecasts": FORECASTS}
Event = threading.Event
# Network, table, day.
Partition = tuple[str, str, date]


@dataclass
class Written:
    """A writer's own account: the last generation of each of its partitions."""

    generations: dict[Partition, int] = field(default_factory=dict)
    writes: int = 0


@dataclass
class Seen:
    """A reader's account."""

    reads: int = 0
    partitions: int = 0
    broken: list[str] = field(default_factory=list)


def partitions_of(writer: int) -> list[Partition]:
    """Two writers share each table; no two a partition."""
    network = NETWORKS[writer % 2]
    name = list(TABLES)[writer // 2 % 2]
    first = date(2025, 1, 1) + timedelta(days=writer * DAYS)
    return [(network, name, first + timedelta(days=n)) for n in range(DAYS)]


def frame_of(partition: Partition, generation: int) -> pl.DataFrame:
    """The rows of one partition, all of one generation."""
    network, name, day = partition
    if name == "daily_averages":
        return pl.concat(
            daily_frame(day, network=network, station=f"s{n}", mean=float(generation))
            for n in range(ROWS)
        )
    stations = [f"s{n}" for n in range(ROWS // 2)]
    return forecast_frame(midnight(day), float(generation), stations=stations, network=network)


def write(
    location: WarehouseLocation, writer: int, together: threading.Barrier, writes: int
) -> Written:
    """Replace own partitions so many times."""
    done = Written()
    dice = random.Random(writer)
    together.wait()
    with closing(Warehouse(location)) as warehouse:
        while done.writes < max(writes, DAYS):
            own = partitions_of(writer)
            # Each at least once, then as the dice fall.
            partition = own[done.writes] if done.writes < DAYS else dice.choice(own)
            network, name, day = partition
            table: Table = TABLES[name]
            start = day if table.window == "date" else midnight(day)
            generation = done.writes + 1
            warehouse.replace(network, table, frame_of(partition, generation), (start, start + DAY))
            done.generations[partition] = generation
            done.writes += 1
    return done


def read(
    location: WarehouseLocation, together: threading.Barrier, over: Event, *, keep_open: bool
) -> Seen:
    """Look at every partition until all is written, by one connection or ever new ones."""
    seen = Seen()
    warehouse = Warehouse(location)
    latest: Counter[Partition] = Counter()
    connection = warehouse.connect_read_only()
    together.wait()
    try:
        # Once more at the end, so that a reader that hardly got a turn has looked as well.
        last = False
        while not last:
            last = over.is_set()
            if not keep_open:
                connection.close()
                connection = warehouse.connect_read_only()
            for partition, rows, lowest, highest in look(connection):
                seen.partitions += 1
                if rows != ROWS or lowest != highest:
                    seen.broken.append(f"{partition}: {rows} rows, {lowest}..{highest}")
                if lowest < latest[partition]:
                    seen.broken.append(f"{partition}: {lowest} after {latest[partition]}")
                latest[partition] = int(lowest)
            seen.reads += 1
    finally:
        connection.close()
    return seen


def look(connection: duckdb.DuckDBPyConnection) -> list[tuple[Partition, int, float, float]]:
    """Every partition with its number of rows and its lowest and highest generation."""
    found = []
    for name, day, value in (
        ("daily_averages", "date", "mean"),
        ("forecasts", "issued_for::DATE", "value"),
    ):
        rows = connection.execute(
            f"SELECT network, {day}, count(*), min({value}), max({value}) "
            f"FROM air_quality.{name} GROUP BY ALL"
        ).fetchall()
        found += [((network, name, on), n, low, high) for network, on, n, low, high in rows]
    return found
