"""Eight writers and two readers at one warehouse: nobody fails, nothing is lost or half-seen."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from aq_resources.warehouse import Warehouse, WarehouseLocation
from tests.integration import crowd

SECONDS = float(os.environ.get("AQ_TEST_SECONDS") or 10)
WRITERS = 8


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WarehouseLocation]:
    data = str(tmp_path / "data")
    if request.param == "sqlite":
        yield WarehouseLocation(f"ducklake:sqlite:{tmp_path / 'warehouse.sqlite'}", data)
    else:
        database = request.getfixturevalue("postgres_database")
        yield WarehouseLocation(f"ducklake:postgres:{database}", data)


def test_many_processes_share_a_warehouse(
    location: WarehouseLocation, record_property: Callable[[str, object], None]
) -> None:
    with closing(Warehouse(location)) as warehouse:
        # The tables exist before the crowd comes; readers need something to look at.
        for network in crowd.NETWORKS:
            for name, table in crowd.TABLES.items():
                nowhere = (date(2000, 1, 1), date(2000, 1, 2))
                warehouse.replace(network, name, table, table.schema.to_frame(), nowhere)
    # Not a fork of this process, which has threads; the modules are imported once for all.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([crowd.__name__])
    with context.Manager() as manager, ProcessPoolExecutor(WRITERS + 2, context) as pool:
        together = manager.Barrier(WRITERS + 2, timeout=120)
        writers = [pool.submit(crowd.write, location, n, together, SECONDS) for n in range(WRITERS)]
        readers = [
            pool.submit(crowd.read, location, together, SECONDS, keep_open=keep_open)
            for keep_open in (True, False)
        ]
        written = [future.result() for future in writers]
        seen = [future.result() for future in readers]
    assert [one.broken for one in seen] == [[], []]
    assert all(one.reads for one in seen)
    assert all(one.partitions for one in seen)
    with closing(Warehouse(location).connect_read_only()) as connection:
        final = {
            partition: (rows, low, high) for partition, rows, low, high in crowd.look(connection)
        }
    assert final == {
        partition: (crowd.ROWS, generation, generation)
        for one in written
        for partition, generation in one.generations.items()
    }
    assert len(final) == WRITERS * crowd.DAYS
    counts = (
        f"{sum(one.writes for one in written)} writes, {sum(one.reads for one in seen)} reads of "
        f"{sum(one.partitions for one in seen)} partitions in {SECONDS:g} s"
    )
    record_property("counts", counts)
    print(counts)
