"""What `aq query --as-known-at` reads: tables as they were known, made for this one query.

They are files of a temporary folder, written window by window so that memory stays bounded; the
warehouse gives the stations and is left alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import polars as pl

from aq_assets.as_known import KnownThen, around
from aq_platform.arguments import Moment
from aq_platform.query import Opened
from aq_resources.failures import PermanentFailure
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.day_files import parquet_bytes
from aq_resources.warehouse.connection import connect_to_nothing
from aq_resources.warehouse.ddl import publish_files
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.names import LAKE, UNION_SCHEMA
from aq_resources.warehouse.reading import check_select, confine_to, tables_read
from aq_science.tables.core import Table
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.stations import STATIONS
from aq_science.windows import Window

_MADE = (HOURLY_READINGS, DAILY_AVERAGES)
_THERE = {table.name for table in (*_MADE, STATIONS)}
Say = Callable[[str], None]


@dataclass(frozen=True)
class TablesThen:
    """The tables that a query names as they were known.

    Attributes:
        services: For the stores, the networks and their clients.
        moment: The time, and the days.
        say: Takes a line of text after each window that is done.
    """

    services: Services
    moment: Moment
    say: Say

    @property
    def location(self) -> WarehouseLocation:
        """Of the warehouse."""
        return self.services.warehouse.location

    def open(self, sql: str) -> AbstractContextManager[Opened]:
        """As `aq_platform.query.Tables`; only what the query names is made.

        Raises `PermanentFailure` also where it names another table, or raw pulls are damaged.
        """
        return _tables_as_known(self.services, sql, self.moment, self.say)


@contextmanager
def _tables_as_known(services: Services, sql: str, moment: Moment, say: Say) -> Iterator[Opened]:
    with (
        closing(connect_to_nothing()) as connection,
        tempfile.TemporaryDirectory(prefix="aq-as-known-") as folder,
    ):
        check_select(connection, sql)
        named = tables_read(connection, sql)
        _refuse_others(named)
        connection.execute(f"ATTACH ':memory:' AS {LAKE}")
        connection.execute(f"USE {LAKE}")
        for config, stations in _networks(services):
            files = _Files(Path(folder), config.name)
            files.add(STATIONS, stations)
            wanted = [
                table
                for table in _MADE
                if not named.isdisjoint({(config.name, table.name), (UNION_SCHEMA, table.name)})
            ]
            if wanted:
                known = KnownThen(services, config, stations, moment.as_known_at)
                _make(known, moment, wanted, files, say)
            for table in (*wanted, STATIONS):
                publish_files(connection, config.name, table, files.pattern(table))
        confine_to(connection, [folder])
        yield Opened(connection, [folder])


def _refuse_others(named: set[tuple[str, str]]) -> None:
    others = sorted(f"{schema}.{name}" for schema, name in named if name not in _THERE)
    if others:
        raise PermanentFailure(
            f"With --as-known-at a query reads hourly_readings and daily_averages as they were "
            f"known, and stations as they are today. {', '.join(others)} can be read without it."
        )


def _networks(services: Services) -> Iterator[tuple[NetworkConfig, pl.DataFrame]]:
    """Each network with its stations; the union view has them all, so that each must exist."""
    with closing(services.warehouse.connect_read_only()) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(STATIONS.schema)} FROM {UNION_SCHEMA}.{STATIONS.name}"
        ).pl()
    stations = rows.cast(STATIONS.schema)
    for config in services.networks.values():
        yield config, stations.filter(pl.col("network") == config.name)


def _make(
    known: KnownThen, moment: Moment, wanted: Sequence[Table], files: _Files, say: Say
) -> None:
    """Write the rows of a network's tables, window by window."""
    for table in wanted:
        files.add(table, table.schema.to_frame())
    windows = known.windows(moment.first, moment.last)
    for number, days in enumerate(windows, 1):
        # Local days have hours of the days beside theirs.
        readings = known.readings(around(days) if DAILY_AVERAGES in wanted else days)
        if DAILY_AVERAGES in wanted:
            files.add(DAILY_AVERAGES, known.averages(days, readings))
        if HOURLY_READINGS in wanted:
            files.add(HOURLY_READINGS, _within(readings, days))
        say(
            f"{known.network} as known at {moment.as_known_at:%Y-%m-%d %H:%M:%S}Z: "
            f"days up to {days.dates[-1]} ({number} of {len(windows)})"
        )


def _within(readings: pl.DataFrame, days: Window) -> pl.DataFrame:
    return readings.filter(pl.col("hour").is_between(days.start, days.end, closed="left"))


class _Files:
    """Parquet files of one network in a folder of ours."""

    def __init__(self, folder: Path, network: str) -> None:
        self.folder = folder / network

    def add(self, table: Table, rows: pl.DataFrame) -> None:
        """Write a further file of a table."""
        below = self.folder / table.name
        below.mkdir(parents=True, exist_ok=True)
        path = below / f"{len(list(below.iterdir())):06}.parquet"
        path.write_bytes(parquet_bytes(rows.select(table.schema.names())))

    def pattern(self, table: Table) -> str:
        """Matches a table's files."""
        return f"{escape(str(self.folder))}/{table.name}/*.parquet"
