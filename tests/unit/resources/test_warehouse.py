"""The warehouse, on both catalogs: SQLite with rows in a folder, Postgres with rows on S3."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import psycopg2
import pytest
from polars.testing import assert_frame_equal

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.stores.day_files import parquet_bytes
from aq_resources.stores.object_store import open_object_store
from aq_resources.warehouse.connection import connect
from aq_resources.warehouse.ddl import LAYOUT_VERSION
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.forecasting.scores import forecast_scores
from aq_science.tables.core import Table
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.forecast_scores import FORECAST_SCORES
from aq_science.tables.forecasts import FORECASTS
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.registry import WAREHOUSE_TABLES, WAREHOUSE_VIEWS
from aq_science.tables.stations import STATIONS
from tests.factories import (
    DAY,
    HOUR,
    MIDNIGHT,
    daily_frame,
    forecast_frame,
    hourly,
    station_frame,
)
from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server

D1, D2, D3 = (date(2024, 3, n) for n in (1, 2, 3))


Open = Callable[[WarehouseLocation], Warehouse]


@pytest.fixture
def embedded(tmp_path: Path, open_warehouse: Open) -> Warehouse:
    """The embedded default only, where the catalog does not matter."""
    return open_warehouse(
        WarehouseLocation(f"ducklake:sqlite:{tmp_path}/lake.sqlite", f"{tmp_path}/rows")
    )


# Several rows of each write, so that half a write would show.
STATION_IDS = [f"s{n:02d}" for n in range(12)]


def put_days(warehouse: Warehouse, *days: date, mean: float = 10.0, network: str = "airqino"):
    """Every station's rows of these days, as one window."""
    frame = pl.concat(
        daily_frame(*days, mean=mean, network=network, station=name) for name in STATION_IDS
    )
    warehouse.replace(network, DAILY_AVERAGES, frame, (min(days), max(days) + DAY))


def means(warehouse: Warehouse, schema: str = "airqino") -> list[tuple[date, float]]:
    """Days that are whole, and whose rows all come from one write."""
    return warehouse.read(
        f"SELECT date, min(mean) FROM {schema}.daily_averages GROUP BY date, network "
        f"HAVING count(*) = {len(STATION_IDS)} AND min(mean) = max(mean) ORDER BY date, network"
    ).rows()


@pytest.mark.parametrize(
    ("name", "table", "frame", "window"),
    [
        ("daily_averages", DAILY_AVERAGES, daily_frame(D1, D2), (D1, D3)),
        ("stations", STATIONS, station_frame(*STATION_IDS), None),
        (
            "forecasts",
            FORECASTS,
            forecast_frame(MIDNIGHT, 5.0, stations=STATION_IDS),
            (MIDNIGHT, MIDNIGHT + HOUR),
        ),
    ],
    ids=["daily_averages", "stations", "forecasts"],
)
def test_replacing_by_the_same_rows_changes_nothing(
    warehouse: Warehouse, name: str, table: Table, frame: pl.DataFrame, window: tuple | None
) -> None:
    for _ in range(2):
        warehouse.replace("airqino", table, frame, window)
        found = warehouse.read(f"SELECT * FROM airqino.{name}").cast(table.schema)
        assert_frame_equal(found, frame, check_row_order=False)


def test_rows_are_kept_where_the_setting_says(
    warehouse: Warehouse, location: WarehouseLocation, s3: S3Server
) -> None:
    put_days(warehouse, D1)
    if location.uses_s3:
        with contextlib.closing(s3.client()) as client:
            bucket, _, prefix = location.data_path.removeprefix("s3://").partition("/")
            listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        names = [entry["Key"] for entry in listed["Contents"]]
    else:
        names = [str(path) for path in Path(location.data_path).rglob("*.parquet")]
    assert [name for name in names if "daily_averages" in name and name.endswith(".parquet")]


def test_only_the_window_is_replaced(warehouse: Warehouse) -> None:
    put_days(warehouse, D1, D2, D3, mean=1.0)
    put_days(warehouse, D2, mean=2.0)
    assert means(warehouse) == [(D1, 1.0), (D2, 2.0), (D3, 1.0)]


def test_window_without_new_rows_is_emptied(embedded: Warehouse) -> None:
    put_days(embedded, D1, D2, D3)
    nothing = DAILY_AVERAGES.schema.to_frame()
    embedded.replace("airqino", DAILY_AVERAGES, nothing, (D1, D3))
    assert means(embedded) == [(D3, 10.0)]


def test_window_of_instants_leaves_out_its_end(embedded: Warehouse) -> None:
    def put(start, end, value: float, *hours) -> None:
        frame = pl.concat([FORECASTS.schema.to_frame(), *(forecast_frame(h, value) for h in hours)])
        embedded.replace("airqino", FORECASTS, frame, (start, end))

    hours = [MIDNIGHT + n * HOUR for n in range(3)]
    put(MIDNIGHT, MIDNIGHT + DAY, 1.0, *hours)
    put(hours[0], hours[2], 2.0, hours[0])
    rows = embedded.read(
        "SELECT issued_for, value FROM airqino.forecasts WHERE horizon = 1 ORDER BY ALL"
    )
    assert rows.rows() == [(hours[0], 2.0), (hours[2], 1.0)]


def test_table_without_a_window_is_replaced_whole(embedded: Warehouse) -> None:
    for names in (("s1", "s2"), ("s2",)):
        embedded.replace("airqino", STATIONS, station_frame(*names))
    assert embedded.read("SELECT station_id FROM airqino.stations").rows() == [("s2",)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda f: f.drop("city"), id="absent"),
        pytest.param(lambda f: f.with_columns(extra=1), id="surplus"),
        pytest.param(lambda f: f.rename({"city": "town"}), id="renamed"),
    ],
)
def test_frame_of_other_columns_is_refused(embedded: Warehouse, change: Callable) -> None:
    embedded.replace("airqino", STATIONS, station_frame("s1"))
    with pytest.raises(PermanentFailure, match=r"airqino\.stations: the frame's columns"):
        embedded.replace("airqino", STATIONS, change(station_frame("s2")))
    assert embedded.read("SELECT station_id FROM airqino.stations").rows() == [("s1",)]


@pytest.mark.parametrize(
    ("table", "window"), [(STATIONS, (D1, D2)), (DAILY_AVERAGES, None)], ids=["given", "absent"]
)
def test_window_must_fit_the_table(embedded: Warehouse, table: Table, window: tuple | None) -> None:
    with pytest.raises(ValueError, match="window"):
        embedded.replace("airqino", table, table.schema.to_frame(), window)


def test_failure_in_the_middle_leaves_the_old_rows(warehouse: Warehouse) -> None:
    """The rows are deleted first, and the insert fails at a value that is no number."""
    warehouse.replace("airqino", STATIONS, station_frame("s1"))
    bad = station_frame("s2").with_columns(latitude=pl.lit("north"))
    with pytest.raises(PermanentFailure, match="refused the work"):
        warehouse.replace("airqino", STATIONS, bad)
    assert warehouse.read("SELECT station_id FROM airqino.stations").rows() == [("s1",)]
    warehouse.replace("airqino", STATIONS, station_frame("s3"))
    assert warehouse.read("SELECT station_id FROM airqino.stations").rows() == [("s3",)]


def test_failure_at_the_first_write_leaves_no_table(warehouse: Warehouse) -> None:
    bad = station_frame("s2").with_columns(latitude=pl.lit("north"))
    with pytest.raises(PermanentFailure):
        warehouse.replace("airqino", STATIONS, bad)
    found = warehouse.read(
        "SELECT schema_name FROM duckdb_columns() WHERE table_name = 'stations' "
        "AND schema_name = 'airqino'"
    )
    assert found.is_empty()


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        ("live", "hindcast", "first"),
        ("live", "live", "second"),
        ("hindcast", "live", "second"),
        ("hindcast", "hindcast", "second"),
    ],
)
def test_live_forecast_gives_way_to_live_ones_only(
    embedded: Warehouse, first: str, second: str, stays: str
) -> None:
    window = (MIDNIGHT, MIDNIGHT + HOUR)
    for value, mode in ((1.0, first), (2.0, second)):
        frame = forecast_frame(MIDNIGHT, value, mode)
        embedded.replace("airqino", FORECASTS, frame, window)
    rows = embedded.read("SELECT horizon, value, mode FROM airqino.forecasts ORDER BY horizon")
    value, mode = (1.0, first) if stays == "first" else (2.0, second)
    assert rows.rows() == [(1, value, mode), (2, value, mode)]


def test_live_forecasts_are_protected_row_by_row(embedded: Warehouse) -> None:
    """A hindcast of two hours and stations fills in what no live forecast was made for."""
    window = (MIDNIGHT, MIDNIGHT + 2 * HOUR)
    live = forecast_frame(MIDNIGHT, 1.0, "live")
    hindcast = pl.concat(
        [forecast_frame(MIDNIGHT + n * HOUR, 2.0, stations=("s1", "s2")) for n in (0, 1)]
    )
    embedded.replace("airqino", FORECASTS, live, window)
    embedded.replace("airqino", FORECASTS, hindcast, window)
    rows = embedded.read(
        "SELECT station_id, issued_for, mode FROM airqino.forecasts WHERE horizon = 2 ORDER BY ALL"
    )
    assert rows.rows() == [
        ("s1", MIDNIGHT, "live"),
        ("s1", MIDNIGHT + HOUR, "hindcast"),
        ("s2", MIDNIGHT, "hindcast"),
        ("s2", MIDNIGHT + HOUR, "hindcast"),
    ]


def test_union_holds_every_network_as_they_come(warehouse: Warehouse) -> None:
    put_days(warehouse, D1, network="airqino", mean=1.0)
    assert means(warehouse, "air_quality") == [(D1, 1.0)]
    put_days(warehouse, D1, network="openaq", mean=2.0)
    assert means(warehouse, "air_quality") == [(D1, 1.0), (D1, 2.0)]
    assert warehouse.read("SELECT DISTINCT network FROM air_quality.daily_averages").height == 2


def test_other_process_sees_what_is_committed(
    warehouse: Warehouse, location: WarehouseLocation, open_warehouse: Open
) -> None:
    put_days(warehouse, D1)
    other = open_warehouse(location)
    assert means(other) == [(D1, 10.0)]
    put_days(other, D2)
    assert means(warehouse) == [(D1, 10.0), (D2, 10.0)]


def without(table: Table, *names: str) -> Table:
    """The table as an older version declared it."""
    kept = tuple(column for column in table.columns if column.name not in names)
    return dataclasses.replace(table, columns=kept, rules=())


def test_new_column_is_added_to_an_older_table(
    warehouse: Warehouse, location: WarehouseLocation, open_warehouse: Open
) -> None:
    """It comes last in the table, wherever it is declared: rows go in by name."""
    older = without(STATIONS, "city", "latitude")
    frame = station_frame("s1").select(older.schema.names())
    warehouse.replace("airqino", older, frame)
    newer = open_warehouse(location)
    newer.replace("openaq", STATIONS, station_frame("s9", network="openaq"))
    newer.replace("airqino", STATIONS, station_frame("s1", "s2"))
    found = newer.read("SELECT * FROM airqino.stations").select(STATIONS.schema.names())
    assert_frame_equal(
        found.cast(STATIONS.schema), station_frame("s1", "s2"), check_row_order=False
    )
    union = newer.read("SELECT station_id, city FROM air_quality.stations ORDER BY station_id")
    assert union.rows() == [(s, "Abidjan") for s in ("s1", "s2", "s9")]


def test_old_rows_have_no_value_in_a_new_column(embedded: Warehouse) -> None:
    older = without(DAILY_AVERAGES, "mean_all_hours")
    frame = daily_frame(D1).select(older.schema.names())
    embedded.replace("airqino", older, frame, (D1, D2))
    put_days(embedded, D2)
    rows = embedded.read(
        "SELECT DISTINCT date, mean_all_hours FROM airqino.daily_averages ORDER BY date"
    )
    assert rows["mean_all_hours"].to_list() == [None, 10.0]


def test_scores_of_an_earlier_version_stay_beside_new_ones(embedded: Warehouse) -> None:
    added = ("interval_score_80", "interval_score_95", "pinball", "n_persistence")
    older = without(FORECAST_SCORES, *added)
    forecasts = pl.concat([forecast_frame(MIDNIGHT + n * DAY, 12.0) for n in (0, 1)])
    scores = forecast_scores(forecasts, hourly([10.0] * 48))
    first, second = (scores.filter(pl.col("date") == day) for day in (D1, D2))
    embedded.replace("airqino", older, first.select(older.schema.names()), (D1, D2))
    embedded.replace("airqino", FORECAST_SCORES, second, (D2, D3))
    for schema in ("airqino", "air_quality"):
        query = f"SELECT date, horizon, {', '.join(added)} FROM {schema}.forecast_scores"
        rows = embedded.read(f"{query} ORDER BY date, horizon").rows()
        nothing = [(D1, horizon, None, None, None, None) for horizon in (1, 2)]
        assert rows == nothing + second.select("date", "horizon", *added).rows()
    assert len(embedded.rows("airqino", FORECAST_SCORES)) == 4


def test_column_of_a_newer_version_is_refused(embedded: Warehouse) -> None:
    embedded.replace("airqino", STATIONS, station_frame("s1"))
    older = without(STATIONS, "city")
    with pytest.raises(PermanentFailure) as raised:
        embedded.replace("airqino", older, station_frame("s2").select(older.schema.names()))
    assert "airqino.stations has columns this aq does not know (city)" in raised.value.message
    assert "Upgrade aq" in raised.value.message
    assert embedded.read("SELECT station_id FROM airqino.stations").rows() == [("s1",)]


def edit_catalog(warehouse: Warehouse, statement: str) -> None:
    """From another process: two libraries of SQLite in one may not open one file."""
    warehouse.close()
    script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n"
    script += "assert c.execute(sys.argv[2]).rowcount == 1\nc.commit()\nc.close()\n"
    path = warehouse.location.sqlite_path
    subprocess.run([sys.executable, "-c", script, str(path), statement], check=True)


def test_newer_layout_is_refused(embedded: Warehouse) -> None:
    put_days(embedded, D1)
    newer = LAYOUT_VERSION + 1
    connection = connect(embedded.location, read_only=False)
    connection.execute("UPDATE main.aq_layout SET version = ?", [newer])
    connection.close()
    embedded.close()
    with pytest.raises(PermanentFailure) as raised:
        put_days(embedded, D2)
    assert f"layout {newer}, this aq knows up to {LAYOUT_VERSION}" in raised.value.message
    assert "Upgrade aq" in raised.value.message


def test_newer_catalog_of_ducklake_is_refused_and_left_alone(embedded: Warehouse) -> None:
    put_days(embedded, D1)
    edit_catalog(embedded, "UPDATE ducklake_metadata SET value = '99.0' WHERE key = 'version'")
    for attempt in (lambda: put_days(embedded, D2), embedded.connect_read_only):
        with pytest.raises(PermanentFailure) as raised:
            attempt()
        assert "made by a newer version of DuckLake" in raised.value.message
        assert "Upgrade aq" in raised.value.message
    edit_catalog(embedded, "UPDATE ducklake_metadata SET value = '1.0' WHERE key = 'version'")
    assert means(embedded) == [(D1, 10.0)]


def test_other_folder_of_rows_is_refused(embedded: Warehouse, tmp_path: Path) -> None:
    put_days(embedded, D1)
    embedded.close()
    moved = Warehouse(WarehouseLocation(embedded.location.url, f"{tmp_path}/elsewhere"))
    with pytest.raises(PermanentFailure, match="AQ_WAREHOUSE_DATA"):
        put_days(moved, D2)


def test_reader_can_read_and_change_nothing(warehouse: Warehouse) -> None:
    put_days(warehouse, D1)
    connection = warehouse.connect_read_only()
    try:
        query = "SELECT DISTINCT mean FROM air_quality.daily_averages"
        assert connection.execute(query).fetchall() == [(10.0,)]
        for statement in (
            "DELETE FROM airqino.daily_averages",
            "DROP TABLE airqino.daily_averages",
            "CREATE TABLE airqino.mine (x INTEGER)",
        ):
            with pytest.raises(duckdb.Error, match=r"(?i)read.only"):
                connection.execute(statement)
    finally:
        connection.close()
    assert means(warehouse) == [(D1, 10.0)]


def test_reader_keeps_reading_while_rows_are_replaced(warehouse: Warehouse) -> None:
    put_days(warehouse, D1, mean=1.0)
    connection = warehouse.connect_read_only()
    try:
        query = "SELECT DISTINCT mean FROM airqino.daily_averages"
        connection.execute("BEGIN")
        assert connection.execute(query).fetchall() == [(1.0,)]
        put_days(warehouse, D1, mean=2.0)
        assert connection.execute(query).fetchall() == [(1.0,)]
        connection.execute("COMMIT")
        assert connection.execute(query).fetchall() == [(2.0,)]
    finally:
        connection.close()


def test_reader_before_any_write_is_told_what_to_do(warehouse: Warehouse) -> None:
    with pytest.raises(PermanentFailure) as raised:
        warehouse.connect_read_only()
    assert "There is no warehouse" in raised.value.message
    assert "`aq demo` or `aq backfill`" in raised.value.message
    path = warehouse.location.sqlite_path
    assert path is None or not path.exists()


def test_every_declared_table_and_view_exists_empty_from_the_first_use(
    location: WarehouseLocation,
) -> None:
    networks = {"airqino": tuple(WAREHOUSE_TABLES.values()), "openaq": (STATIONS,)}
    with contextlib.closing(Warehouse(location, networks=networks)) as warehouse:
        for name, table in (WAREHOUSE_TABLES | WAREHOUSE_VIEWS).items():
            for schema in ("airqino", "air_quality"):
                found = warehouse.read(f"SELECT * FROM {schema}.{name}")
                assert found.is_empty()
                assert found.columns == table.schema.names()
            assert warehouse.rows("airqino", table).schema == table.schema
        put_days(warehouse, D1)
    # Another network, and a second start: what is there stays.
    more = networks | {"airqo": (DAILY_AVERAGES,)}
    with contextlib.closing(Warehouse(location, networks=more)) as warehouse:
        assert means(warehouse) == means(warehouse, "air_quality") == [(D1, 10.0)]
        assert warehouse.rows("airqo", DAILY_AVERAGES).is_empty()
        put_days(warehouse, D2, network="airqo")
        assert means(warehouse, "air_quality") == [(D1, 10.0), (D2, 10.0)]


def test_a_warehouse_of_no_network_has_the_views_over_all_networks(embedded: Warehouse) -> None:
    for name in WAREHOUSE_TABLES | WAREHOUSE_VIEWS:
        assert embedded.read(f"SELECT * FROM air_quality.{name}").is_empty()


def test_processes_that_start_at_once_make_the_tables_once(location: WarehouseLocation) -> None:
    networks = {"airqino": tuple(WAREHOUSE_TABLES.values())}
    houses = [Warehouse(location, networks=networks) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(Warehouse.prepare, houses))
    for house in houses:
        assert house.rows("airqino", STATIONS).is_empty()
        house.close()


def test_values_are_bound_not_pasted(embedded: Warehouse) -> None:
    frame = station_frame("s1", name="O'Neill; DROP TABLE x --")
    embedded.replace("airqino", STATIONS, frame)
    found = embedded.read(
        "SELECT station_id FROM airqino.stations WHERE name = ?", ["O'Neill; DROP TABLE x --"]
    )
    assert found.rows() == [("s1",)]


@pytest.fixture
def files_root(location: WarehouseLocation, tmp_path: Path) -> str:
    """Address of the object store that goes with the catalog."""
    if location.uses_s3:
        return location.data_path.removesuffix("/rows")
    return f"file://{tmp_path}/it's here"


def test_files_are_published_as_a_view_and_in_the_union(
    warehouse: Warehouse, location: WarehouseLocation, files_root: str
) -> None:
    store = open_object_store(files_root, location.s3_endpoint_url)

    def publish(network: str, day: int, value: float) -> None:
        frame = hourly([value] * 2, MIDNIGHT + day * DAY, network=network)
        key = f"{network}/hourly_readings/date=2024-03-0{day + 1}/readings.parquet"
        store.put(key, parquet_bytes(frame))
        pattern = store.uri(f"{network}/hourly_readings/date=*/readings.parquet")
        warehouse.publish_files(network, HOURLY_READINGS, pattern)

    publish("airqino", 0, 1.0)
    publish("airqino", 1, 2.0)  # a later file shows by itself
    publish("openaq", 0, 3.0)
    connection = warehouse.connect_read_only()
    try:
        found = connection.execute(
            "SELECT network, hour, value FROM air_quality.hourly_readings ORDER BY ALL"
        ).fetchall()
        own = connection.execute("SELECT * FROM airqino.hourly_readings ORDER BY hour").pl()
    finally:
        connection.close()
        if location.uses_s3:
            store.client.close()  # type: ignore[attr-defined]
    expected = {("airqino", 0): 1.0, ("airqino", 1): 2.0, ("openaq", 0): 3.0}
    assert [(network, value) for network, _, value in found] == [
        (network, value) for (network, _), value in expected.items() for _ in range(2)
    ]
    assert own.columns == HOURLY_READINGS.schema.names()
    assert own["hour"].to_list() == [
        MIDNIGHT + day * DAY + n * HOUR for day in (0, 1) for n in (0, 1)
    ]


def test_view_moves_when_the_store_does(embedded: Warehouse, tmp_path: Path) -> None:
    for n, folder in enumerate(("old", "new")):
        path = tmp_path / folder / "x.parquet"
        path.parent.mkdir()
        hourly([float(n)]).write_parquet(path)
        fresh = Warehouse(embedded.location)
        fresh.publish_files("airqino", HOURLY_READINGS, str(path))
        assert fresh.read("SELECT value FROM airqino.hourly_readings").rows() == [(float(n),)]
        fresh.close()


# What goes wrong on the way to the catalog


def test_postgres_recovers_from_a_restart(
    postgres: PostgresServer, postgres_database: str, tmp_path: Path, open_warehouse: Open
) -> None:
    place = WarehouseLocation(f"ducklake:postgres:{postgres_database}", str(tmp_path))
    warehouse = open_warehouse(place)
    put_days(warehouse, D1)
    postgres.restart()
    put_days(warehouse, D2)
    assert means(warehouse) == [(D1, 10.0), (D2, 10.0)]


def whole_text(failure: BaseException) -> str:
    """What any log may show of a failure: its message and those of its causes."""
    parts: list[str] = []
    step: BaseException | None = failure
    while step is not None:
        parts.append(f"{step!r} {step}")
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return "\n".join(parts)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        pytest.param(
            lambda url, server: url.replace(server.password, "hunter2 x"),
            PermanentFailure,
            "Correct AQ_WAREHOUSE",
            id="wrong-password",
        ),
        pytest.param(
            lambda url, _: f"{url}_none",
            PermanentFailure,
            "Correct AQ_WAREHOUSE",
            id="no-database",
        ),
        pytest.param(
            lambda url, server: url.replace(f":{server.port}/", ":1/"),
            TransientFailure,
            "Connection refused",
            id="nobody-listens",
        ),
        pytest.param(
            lambda url, _: "host=h password=hunter2 x",
            PermanentFailure,
            "AQ_WAREHOUSE",
            id="broken-string",
        ),
    ],
)
def test_password_of_postgres_is_in_no_error(
    postgres: PostgresServer,
    postgres_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[str, PostgresServer], str],
    kind: type[Exception],
    says: str,
) -> None:
    monkeypatch.setattr("aq_resources.warehouse.warehouse.CONFLICT_ATTEMPTS", 2)
    url = change(postgres_database, postgres)
    warehouse = Warehouse(WarehouseLocation(f"ducklake:postgres:{url}", str(tmp_path)))
    for attempt in (
        lambda: put_days(warehouse, D1),
        lambda: warehouse.read("SELECT 1"),
        warehouse.connect_read_only,
    ):
        with pytest.raises(kind) as raised:
            attempt()
        text = whole_text(raised.value)
        assert says in text
        for secret in (postgres.password, "hunter2"):
            assert secret not in text


def test_bucket_that_does_not_exist_is_named(
    s3: S3Server, s3_bucket: str, tmp_path: Path, open_warehouse: Open
) -> None:
    place = WarehouseLocation(
        f"ducklake:sqlite:{tmp_path}/lake.sqlite", "s3://no-such-bucket/x", True, s3.endpoint_url
    )
    with pytest.raises(PermanentFailure, match="no-such-bucket"):
        put_days(open_warehouse(place), D1)


def test_lock_held_by_another_process_is_worth_a_retry(
    embedded: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_days(embedded, D1)
    monkeypatch.setattr("aq_resources.warehouse.warehouse.LOCK_SECONDS", 0.05)
    monkeypatch.setattr("aq_resources.warehouse.warehouse.CONFLICT_ATTEMPTS", 2)
    script = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]):\n    print('held', flush=True); sys.stdin.read()"
    )
    lock = f"{embedded.location.sqlite_path}.lock"
    with subprocess.Popen(
        [sys.executable, "-c", script, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TransientFailure, match=r"lake\.sqlite was busy"):
            put_days(embedded, D2)
        assert means(embedded) == [(D1, 10.0)]
        holder.communicate("")
    put_days(embedded, D2)
    assert len(means(embedded)) == 2


def test_a_catalog_that_another_program_locks_is_waited_for(
    embedded: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_days(embedded, D1)
    path = embedded.location.sqlite_path
    monkeypatch.setattr("aq_resources.warehouse.connection.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("aq_resources.warehouse.warehouse.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("aq_resources.warehouse.warehouse.CONFLICT_ATTEMPTS", 1_000_000)
    embedded.close()
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1])\n"
        "c.execute('PRAGMA locking_mode = EXCLUSIVE'); c.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for work in (lambda: put_days(embedded, D2), embedded.connect_read_only):
            with pytest.raises(TransientFailure, match=f"{path} is locked by another program"):
                work()
        monkeypatch.setattr("aq_resources.warehouse.warehouse.BUSY_SECONDS", 600)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(put_days, embedded, D2)
            with contextlib.suppress(TimeoutError):
                waiting.result(timeout=1)
            assert not waiting.done()
            holder.communicate("")
            waiting.result()
    assert len(means(embedded)) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [("garbage", "not a database"), ("empty", "is empty"), ("cut", "malformed")],
)
def test_a_damaged_catalog_is_named_with_what_is_left_to_do(
    embedded: Warehouse, name: str, said: str
) -> None:
    put_days(embedded, D1)
    embedded.close()
    path = embedded.location.sqlite_path
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes({"garbage": b"garbage" * 9999, "empty": b"", "cut": whole[:20_000]}[name])
    for work in (lambda: put_days(embedded, D2), embedded.connect_read_only):
        with pytest.raises(PermanentFailure, match="from a backup") as raised:
            work()
        assert str(path) in raised.value.message
        assert said in raised.value.message
    path.write_bytes(whole)
    assert means(embedded) == [(D1, 10.0)]


def test_damage_behind_the_first_page_is_named_too(embedded: Warehouse) -> None:
    put_days(embedded, D1)
    path = embedded.location.sqlite_path
    assert path is not None
    with closing(sqlite3.connect(path)) as catalog:
        catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = catalog.execute("PRAGMA page_size").fetchone()[0]
        rows = "SELECT rootpage FROM sqlite_master WHERE name = 'ducklake_data_file'"
        root = catalog.execute(rows).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    embedded.close()
    with pytest.raises(PermanentFailure, match=f"{path} is damaged"):
        means(embedded)


def test_a_catalog_that_is_gone_from_beside_its_rows_is_no_new_warehouse(
    warehouse: Warehouse,
) -> None:
    put_days(warehouse, D1)
    warehouse.close()
    location = warehouse.location
    path = location.sqlite_path
    if path is not None:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
    else:
        with closing(psycopg2.connect(**location.postgres_parts)) as catalog:
            catalog.autocommit = True
            catalog.cursor().execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    # What was begun by the first try makes no difference to the next.
    for _ in range(2):
        with pytest.raises(PermanentFailure, match="restore the catalog from a backup") as raised:
            put_days(warehouse, D2)
        assert location.data_path in raised.value.message


def test_a_first_start_that_was_killed_is_begun_again(embedded: Warehouse) -> None:
    """It may leave the file of its layout, which no catalog knows."""
    left = Path(embedded.location.data_path) / "main" / "aq_layout" / "left.parquet"
    left.parent.mkdir(parents=True)
    pl.DataFrame({"version": [1]}).write_parquet(left)
    put_days(embedded, D1)
    assert means(embedded) == [(D1, 10.0)]


def test_an_empty_file_without_rows_beside_it_becomes_a_catalog(embedded: Warehouse) -> None:
    path = embedded.location.sqlite_path
    assert path is not None
    path.touch()
    put_days(embedded, D1)
    assert means(embedded) == [(D1, 10.0)]


def test_writers_in_many_processes_lose_nothing(tmp_path: Path, embedded: Warehouse) -> None:
    put_days(embedded, D1)
    script = (
        "import sys; from datetime import date\n"
        "from aq_science.tables.stations import STATIONS\n"
        "from aq_resources.warehouse.location import WarehouseLocation\n"
        "from aq_resources.warehouse.warehouse import Warehouse\n"
        "from tests.factories import station_frame\n"
        "url, data, network = sys.argv[1:]\n"
        "w = Warehouse(WarehouseLocation(url, data))\n"
        "for n in range(3):\n"
        "    w.replace(network, STATIONS, station_frame(f's{n}', network=network))\n"
        "w.close()\n"
    )
    location = embedded.location
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, location.url, location.data_path, f"network{n}"],
            cwd=Path(__file__).resolve().parents[3],
        )
        for n in range(3)
    ]
    assert [process.wait(PATIENCE_S) for process in running] == [0, 0, 0]
    rows = embedded.read("SELECT network, station_id FROM air_quality.stations ORDER BY network")
    assert rows.rows() == [(f"network{n}", "s2") for n in range(3)]


def test_a_view_whose_files_are_lost_does_not_shut_the_warehouse(tmp_path: Path) -> None:
    rows = hourly([5.0] * 24)
    location = WarehouseLocation(f"ducklake:sqlite:{tmp_path}/lake.sqlite", f"{tmp_path}/rows")
    files = {"airqino": [DAILY_AVERAGES]}
    file = tmp_path / "hourly" / "date=2024-03-01" / "readings.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(parquet_bytes(rows))
    with closing(Warehouse(location, networks=files)) as warehouse:
        pattern = str(tmp_path / "hourly" / "date=*" / "readings.parquet")
        warehouse.publish_files("airqino", HOURLY_READINGS, pattern)
        assert len(warehouse.read("SELECT * FROM air_quality.hourly_readings")) > 0
    file.unlink()
    with closing(Warehouse(location, networks=files)) as warehouse:
        warehouse.prepare()
        assert warehouse.read("SELECT * FROM airqino.daily_averages").is_empty()
    file.write_bytes(parquet_bytes(rows))
    with closing(Warehouse(location, networks=files)) as warehouse:
        assert len(warehouse.read("SELECT * FROM air_quality.hourly_readings")) > 0


@pytest.mark.parametrize("renewed", [0, 1], ids=["the oldest", "the newest"])
def test_a_view_learns_a_column_that_older_files_lack(tmp_path: Path, renewed: int) -> None:
    """As after an upgrade, when some days have been cleaned again."""
    location = WarehouseLocation(f"ducklake:sqlite:{tmp_path}/lake.sqlite", f"{tmp_path}/rows")
    files = [tmp_path / "hourly" / f"date=2024-03-0{n}" / "readings.parquet" for n in (1, 2)]
    pattern = str(tmp_path / "hourly" / "date=*" / "readings.parquet")
    names = [name for name in HOURLY_READINGS.schema if name != "status"]
    columns = tuple(one for one in HOURLY_READINGS.columns if one.name != "status")
    former = Table("hourly_readings", "Before.", HOURLY_READINGS.key, columns, window="hour")
    for n, file in enumerate(files):
        file.parent.mkdir(parents=True)
        file.write_bytes(parquet_bytes(hourly([5.0], MIDNIGHT + n * DAY).select(names)))
    with closing(Warehouse(location)) as warehouse:
        warehouse.publish_files("airqino", former, pattern)
    files[renewed].write_bytes(parquet_bytes(hourly([6.0], MIDNIGHT + renewed * DAY)))
    with closing(Warehouse(location)) as warehouse:
        warehouse.publish_files("airqino", HOURLY_READINGS, pattern)
        rows = warehouse.read("SELECT value, status FROM air_quality.hourly_readings ORDER BY ALL")
    assert rows.rows() == [(5.0, None), (6.0, None)]


def test_no_progress_bar_is_drawn_amid_a_querys_rows(embedded: Warehouse) -> None:
    embedded.prepare()
    with closing(embedded.connect_read_only()) as connection:
        shown = connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    assert shown == (False,)
