"""Eight writers and two readers at one warehouse: none fails, nothing is lost or half-seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from tests.patience import PATIENCE_S
from tests.system.integration import crowd
from tests.system.integration.warm import FORKS

WRITES = int(os.environ.get("AQ_TEST_WRITES") or 12)
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
            for table in crowd.TABLES.values():
                nowhere = (date(2000, 1, 1), date(2000, 1, 2))
                warehouse.replace(network, table, table.schema.to_frame(), nowhere)
    with FORKS.Manager() as manager, ProcessPoolExecutor(WRITERS + 2, FORKS) as pool:
        together, over = manager.Barrier(WRITERS + 2, timeout=PATIENCE_S), manager.Event()
        writers = [pool.submit(crowd.write, location, n, together, WRITES) for n in range(WRITERS)]
        readers = [
            pool.submit(crowd.read, location, together, over, keep_open=keep_open)
            for keep_open in (True, False)
        ]
        try:
            written = [future.result() for future in writers]
        finally:
            over.set()
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
        f"{sum(one.partitions for one in seen)} partitions"
    )
    record_property("counts", counts)
    print(counts)
