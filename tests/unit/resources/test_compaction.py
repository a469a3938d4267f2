"""Compaction, on both catalogs: fewer files, the same rows, for whoever reads or writes meanwhile.

DuckLake stamps snapshots and files by the real clock, so a test that is to find them old enough
says that it is later.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from aq_resources.stores.object_store import open_object_store
from aq_resources.warehouse import compaction
from aq_resources.warehouse.compaction import ABANDONED, GRACE
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.stations import STATIONS
from tests.factories import DAY, daily_frame, station_frame

ROOT = Path(__file__).resolve().parents[3]
FIRST = date(2024, 1, 1)
KEEP = timedelta(days=7)
MANY = 4
Open = Callable[[WarehouseLocation], Warehouse]
# What is of DuckLake alone, whichever catalog it keeps.
on_one_catalog = pytest.mark.parametrize("location", ["sqlite"], indirect=True)


def put(warehouse: Warehouse, day: date, mean: float = 10.0, network: str = "airqino") -> None:
    frame = daily_frame(day, mean=mean, network=network, station="s1")
    warehouse.replace(network, DAILY_AVERAGES, frame, (day, day + DAY))


def days(count: int) -> list[date]:
    return [FIRST + n * DAY for n in range(count)]


def rows(warehouse: Warehouse, network: str = "airqino") -> pl.DataFrame:
    found = warehouse.rows(network, DAILY_AVERAGES)
    return found.sort("network", "station_id", "date")


def fill(warehouse: Warehouse) -> None:
    """Many small partitions of two tables by turns, some replaced; and a table of one row."""
    warehouse.replace("airqino", STATIONS, station_frame("s1"))
    for n, day in enumerate(days(MANY)):
        put(warehouse, day, mean=n)
        put(warehouse, day, mean=n, network="openaq")
    for day in days(3):
        put(warehouse, day, mean=100.0)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def written(location: WarehouseLocation) -> Iterator[Callable[[], set[str]]]:
    """Names of the Parquet files that are really there."""
    if location.uses_s3:
        store = open_object_store(location.data_path, location.s3_endpoint_url)
        yield lambda: set(store.keys(""))
        store.client.close()  # type: ignore[attr-defined]
        return
    root = Path(location.data_path)
    yield lambda: {str(path.relative_to(root)) for path in root.rglob("*.parquet")}


def test_many_small_files_become_one_and_the_rows_stay(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(warehouse)
    before = rows(warehouse), rows(warehouse, "openaq")
    done = warehouse.compact(now(), KEEP)
    after = rows(warehouse), rows(warehouse, "openaq")
    assert_frame_equal(before[0], after[0])
    assert_frame_equal(before[1], after[1])
    assert before[0].height == MANY
    with capsys.disabled():
        print(f"\n  {done.before} -> {done.after}")
    assert done.before.files > 2 * MANY
    assert done.after.files == 4  # two tables of averages, the stations, the layout's version
    assert done.after.size_bytes < done.before.size_bytes / 2
    assert done.tables_merged == 2
    again = warehouse.compact(now(), KEEP)
    assert (again.tables_merged, again.before) == (0, done.after)


@on_one_catalog
def test_rows_deleted_from_a_merged_file_do_not_stay_in_it(warehouse: Warehouse) -> None:
    fill(warehouse)
    warehouse.compact(now(), KEEP)
    put(warehouse, FIRST, mean=7.0)
    put(warehouse, days(MANY)[3], mean=8.0)
    before = rows(warehouse)
    done = warehouse.compact(now(), KEEP)
    assert_frame_equal(rows(warehouse), before)
    assert done.before.files > done.after.files == 4


@on_one_catalog
def test_large_files_are_left_alone(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "LARGE_BYTES", 100)
    fill(warehouse)
    done = warehouse.compact(now(), KEEP)
    assert done.after.files == done.before.files
    assert rows(warehouse).height == MANY


def test_files_go_only_when_no_kept_snapshot_needs_them(
    warehouse: Warehouse, written: Callable[[], set[str]]
) -> None:
    fill(warehouse)
    expected = rows(warehouse)
    present = written()
    merged = warehouse.compact(now(), KEEP)
    assert merged.files_deleted == merged.orphans_deleted == merged.snapshots_expired == 0
    assert present <= written()

    expired = warehouse.compact(now(), timedelta(0))
    assert expired.snapshots_expired == expired.before.snapshots - 1
    assert expired.after.snapshots == 1
    assert expired.after.waiting > MANY
    assert expired.files_deleted == 0
    assert present <= written()

    gone = warehouse.compact(now() + GRACE + DAY, KEEP)
    assert gone.files_deleted == expired.after.waiting
    assert gone.after.waiting == 0
    assert len(written()) == gone.after.files == 4
    assert_frame_equal(rows(warehouse), expected)


def test_time_travel_within_the_kept_days(warehouse: Warehouse) -> None:
    def mean(at: str) -> float:
        query = f"SELECT mean FROM airqino.daily_averages AT ({at})"
        return float(warehouse.read(query).item())

    for n in range(3):
        put(warehouse, FIRST, mean=n)
    snapshots = warehouse.read("SELECT * FROM ducklake_snapshots('lake') ORDER BY snapshot_id")
    versions, times = snapshots["snapshot_id"].to_list(), snapshots["snapshot_time"].to_list()
    put(warehouse, FIRST + DAY)
    # The middle of the three was what the table held until the last one came.
    between = times[-2] + (times[-1] - times[-2]) / 2
    done = warehouse.compact(between + KEEP, KEEP)
    assert done.snapshots_expired == len(versions) - 2
    assert mean(f"VERSION => {versions[-2]}") == 1.0
    assert mean(f"TIMESTAMP => TIMESTAMPTZ '{between.isoformat()}'") == 1.0
    assert mean(f"VERSION => {versions[-1]}") == 2.0


def test_a_reader_keeps_what_it_began_with(warehouse: Warehouse) -> None:
    """The files that its snapshot goes by stay, in the catalog and in the folder."""
    fill(warehouse)
    reader = warehouse.connect_read_only()
    query = "SELECT * FROM air_quality.daily_averages ORDER BY network, date"
    try:
        reader.execute("BEGIN")
        began = reader.execute(query).pl()
        put(warehouse, FIRST, mean=-1.0)
        warehouse.compact(now(), KEEP)
        put(warehouse, FIRST + DAY, mean=-1.0)
        warehouse.compact(now(), KEEP)
        assert began.height == 2 * MANY
        assert_frame_equal(reader.execute(query).pl(), began)
        reader.execute("COMMIT")
        assert sum(reader.execute(query).pl()["mean"] == -1.0) == 2
    finally:
        reader.close()


def test_readers_never_miss_a_row_meanwhile(warehouse: Warehouse) -> None:
    fill(warehouse)
    stop = threading.Event()
    counts: list[tuple[int, ...]] = []
    reader = warehouse.connect_read_only()

    def read() -> None:
        while not stop.is_set():
            counts.append(
                reader.execute(
                    "SELECT count(*), count(DISTINCT date) FROM airqino.daily_averages"
                ).fetchall()[0]
            )

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for n in range(3):
            for day in days(2):
                put(warehouse, day, mean=n)
            assert warehouse.compact(now(), KEEP).tables_merged >= 1
            read_before = len(counts)
            while len(counts) == read_before and thread.is_alive():
                time.sleep(0.001)
    finally:
        stop.set()
        thread.join()
        reader.close()
    assert len(counts) >= 3
    assert set(counts) == {(MANY, MANY)}


WRITER = """
import sys
from datetime import date, timedelta
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_resources.warehouse.warehouse import Warehouse
from aq_resources.warehouse.location import WarehouseLocation
from tests.factories import daily_frame
url, data, endpoint, first = sys.argv[1:]
w = Warehouse(WarehouseLocation(url, data, bool(endpoint), endpoint or None))
w.prepare()
print("ready", flush=True)
for n in range(3):
    for k in range(2):
        day = date(2024, 1, 1) + timedelta(days=int(first) + k)
        frame = daily_frame(day, mean=n, station="s1")
        window = (day, day + timedelta(days=1))
        w.replace("airqino", DAILY_AVERAGES, frame, window)
w.close()
"""


def test_compaction_while_others_write_loses_nothing(
    warehouse: Warehouse, location: WarehouseLocation
) -> None:
    """Writers replace days that the compaction is just moving."""
    fill(warehouse)
    arguments = [location.url, location.data_path, location.s3_endpoint_url or ""]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, *arguments, first], cwd=ROOT, stdout=subprocess.PIPE
        )
        for first in ("0", "1")
    ]
    # Seconds of imports, in which there is nobody to disturb.
    for writer in writers:
        assert writer.stdout is not None
        with writer.stdout:
            assert writer.stdout.readline() == b"ready\n"
    compactions = 0
    while any(writer.poll() is None for writer in writers):
        warehouse.compact(now(), KEEP)
        compactions += 1
    assert [writer.wait() for writer in writers] == [0, 0]
    # One may take as long as all of the writing: that they met is what counts.
    assert compactions
    warehouse.compact(now(), KEEP)
    expected = [2.0] * 3 + [float(n) for n in range(3, MANY)]
    assert rows(warehouse)["mean"].to_list() == expected
    assert rows(warehouse)["date"].to_list() == days(MANY)


def leave(location: WarehouseLocation, name: str) -> None:
    """A Parquet file in the warehouse's folder that no catalog names."""
    if location.uses_s3:
        bucket, _, prefix = location.data_path.removeprefix("s3://").partition("/")
        # A session of its own: boto3's default one keeps the keys that it first met.
        client = boto3.Session().client("s3", endpoint_url=location.s3_endpoint_url)
        with contextlib.closing(client):
            client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"x")
    else:
        (Path(location.data_path) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(location.data_path) / name).write_bytes(b"x")


def test_files_of_killed_writers_go_after_a_day(
    warehouse: Warehouse, location: WarehouseLocation, written: Callable[[], set[str]]
) -> None:
    fill(warehouse)
    name = "airqino/daily_averages/ducklake-018f0000-0000-7000-8000-000000000000.parquet"
    leave(location, name)
    assert warehouse.compact(now(), KEEP).orphans_deleted == 0
    assert name in written()
    done = warehouse.compact(now() + ABANDONED, KEEP)
    assert done.orphans_deleted == 1
    assert name not in written()
    assert rows(warehouse).height == MANY


def test_a_folder_shared_with_others_loses_no_file(
    warehouse: Warehouse, location: WarehouseLocation, written: Callable[[], set[str]]
) -> None:
    """Somebody named the object store's folder as AQ_WAREHOUSE_DATA."""
    put(warehouse, FIRST)
    left = {"ducklake-018f.parquet", "airqino/hourly_readings/date=2024-01-01/readings.parquet"}
    for name in left:
        leave(location, name)
    done = warehouse.compact(now() + 2 * ABANDONED, KEEP)
    assert done.orphans_deleted == 0
    assert [path.rpartition("/")[2] for path in done.foreign] == ["readings.parquet"]
    assert left <= written()


def test_killed_between_the_steps_it_is_finished_by_the_next(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(warehouse)
    expected = rows(warehouse)
    transaction = warehouse._transaction
    for stop in range(1, 30):
        calls = 0

        def dying(work: Callable, after: int = stop) -> None:
            nonlocal calls
            calls += 1
            if calls > after:
                raise KeyboardInterrupt
            transaction(work)

        monkeypatch.setattr(warehouse, "_transaction", dying)
        with contextlib.suppress(KeyboardInterrupt):
            warehouse.compact(now(), KEEP)
            break
        monkeypatch.setattr(warehouse, "_transaction", transaction)
        assert_frame_equal(rows(warehouse), expected)
    assert stop > 5
    monkeypatch.setattr(warehouse, "_transaction", transaction)
    assert warehouse.compact(now(), KEEP).after.files == 4
    assert_frame_equal(rows(warehouse), expected)


def test_an_empty_warehouse_is_no_trouble(warehouse: Warehouse) -> None:
    done = warehouse.compact(now(), KEEP)
    assert (done.tables_merged, done.after.files) == (0, 1)
