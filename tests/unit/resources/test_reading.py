"""What a reader's own SQL may do, on SQLite and a folder as on Postgres and S3."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from msgspec.structs import replace

from aq_resources.failures import PermanentFailure
from aq_resources.stores.day_files import parquet_bytes
from aq_resources.stores.object_store import ObjectStore, open_object_store
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore, folder_window
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.reading import check_select, confine
from aq_resources.warehouse.warehouse import Warehouse
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.hourly_readings import HOURLY_READINGS
from aq_science.tables.raw_pulls import RAW_PULLS
from aq_science.windows import Window
from tests.factories import HOUR, MIDNIGHT, answer, daily_frame, hourly
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server

DAY = date(2024, 3, 1)
PULLED = MIDNIGHT + timedelta(days=1)
Read = Callable[[str], list[tuple[object, ...]]]

# A lake is made once for many statements: on Postgres and S3 that takes seconds.
ANSWERED = [
    "SELECT * FROM air_quality.daily_averages",
    "FROM airqino.hourly_readings;",
    "WITH a AS (SELECT 1 AS x) SELECT * FROM a -- a note",
    "VALUES (1)",
    "SHOW ALL TABLES",
    "DESCRIBE airqino.daily_averages",
    "SUMMARIZE airqino.daily_averages",
    "PIVOT airqino.daily_averages ON parameter IN ('pm25', 'co') USING avg(mean)",
    "SELECT unnest([1, 2]), * FROM range(3), generate_series(1, 2)",
    "SELECT * FROM airqino.daily_averages AT (VERSION => 2)",
    "FROM lake.snapshots()",
    "FROM duckdb_tables()",
    "SELECT table_name FROM information_schema.tables",
]
OTHER_STATEMENTS = [
    "ATTACH '{tmp}/mine.db' AS mine",
    "ATTACH '{lake}/mine.db' AS mine",
    "COPY (SELECT 1) TO '{tmp}/out.csv'",
    "COPY (SELECT 1) TO '{lake}/out.csv'",
    "EXPORT DATABASE '{lake}/out'",
    "DETACH lake",
    "USE memory",
    "CREATE TABLE memory.main.mine AS SELECT 1",
    "CREATE MACRO scan(x) AS TABLE FROM sqlite_scan(x, 't')",
    "INSTALL json",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "PRAGMA database_list",
    "CALL checkpoint('lake')",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{tmp}/out.csv'",
    "SELECT 1; SELECT 2",
    "PREPARE p AS SELECT 1",
]
FUNCTIONS = [
    "FROM sqlite_scan('{tmp}/other.sqlite', 't')",
    "DESCRIBE SELECT * FROM sqlite_scan('{tmp}/other.sqlite', 't')",
    "SELECT (SELECT max(x) FROM SQLite_Scan('{tmp}/other.sqlite', 't'))",
    "WITH a AS (FROM sqlite_scan('{tmp}/other.sqlite', 't')) FROM a",
    "FROM query('FROM sqlite_scan(''{tmp}/other.sqlite'', ''t'')')",
    "FROM json_execute_serialized_sql('{{}}')",
    "FROM postgres_scan('host=127.0.0.1 port=1', 'public', 't')",
    "FROM postgres_query('__ducklake_metadata_lake', 'SELECT 1')",
    "FROM postgres_execute('__ducklake_metadata_lake', 'DROP TABLE ducklake_table')",
    "FROM sqlite_query('__ducklake_metadata_lake', 'SELECT 1')",
    "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "FROM ducklake_set_option('lake', 'expire_older_than', '1 day')",
    "FROM enable_logging(storage := 'file', storage_path := '{tmp}/log')",
    "FROM pragma_storage_info('airqino.daily_averages')",
]


Lake = tuple[Warehouse, ObjectStore]


def raw_answers() -> list[list[RawAnswer]]:
    """Of each a file: many lines, one over a span, and one after a clock that was ahead."""
    many = [answer(f'{{"é": "{n}"}}', station=f"s{n}", pulled_at=PULLED, a="1") for n in range(500)]
    spanning = answer("x" * 1000, window=Window.of_days(DAY, DAY + timedelta(days=9)), status=404)
    late = replace(many[0], body="[]", pulled_at=PULLED + HOUR, received_at=PULLED)
    return [many, [replace(spanning, pulled_at=PULLED)], [late]]


def folder_of(lake: Lake) -> str:
    return lake[1].uri("").rstrip("/")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lake(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lake]:
    """A warehouse with a table and views over files, and the store of the files.

    One for all tests, which only read it, or try to do more.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sqlite":
            folder = tmp_path_factory.mktemp("lake")
            root = f"file://{folder}"
            location = WarehouseLocation(f"ducklake:sqlite:{folder}/lake.sqlite", f"{folder}/rows")
        else:
            s3: S3Server = request.getfixturevalue("s3")
            postgres: PostgresServer = request.getfixturevalue("postgres")
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            root = f"s3://{s3.create_bucket('reading')}"
            location = WarehouseLocation(
                f"ducklake:postgres:{postgres.create_database('reading')}",
                f"{root}/rows",
                True,
                s3.endpoint_url,
            )
        store, other = (
            open_object_store(f"{root}/{name}", location.s3_endpoint_url)
            for name in ("objects", "secret")
        )
        other.put("other.csv", b"a\n1\n")
        store.put("airqino/hourly_readings/day.parquet", parquet_bytes(hourly([1.0], MIDNIGHT)))
        pattern = store.uri("airqino/hourly_readings/*.parquet")
        pulls = RawPullStore(store, "airqino")
        for answers in raw_answers():
            pulls.append(answers)
        # What others leave there is none of ours.
        for key in ("date=2024-03-01 (copy)/20240302T000000000000Z.jsonl.zst", "date=2024-03-01/x"):
            store.put(f"airqino/raw_pulls/{key}", b"no pull")
        with closing(Warehouse(location)) as warehouse:
            warehouse.replace(
                "airqino", DAILY_AVERAGES, daily_frame(DAY), (DAY, DAY + timedelta(days=1))
            )
            warehouse.publish_files("airqino", HOURLY_READINGS, pattern)
            assert not pulls.is_empty
            warehouse.publish_files("airqino", RAW_PULLS, pulls.pattern)
        yield warehouse, store
        if location.uses_s3:
            for opened in (store, other):
                opened.client.close()  # type: ignore[attr-defined]


def files_of(warehouse: Warehouse, *folders: Path) -> list[Path]:
    """What lies in these folders, and beside a catalog that is a file."""
    path = warehouse.location.sqlite_path
    beside = [] if path is None else [path.parent]
    return sorted(found for folder in (*folders, *beside) for found in folder.rglob("*"))


@pytest.fixture
def read(lake: Lake) -> Iterator[Read]:
    """Runs a query as a reader may."""
    warehouse, store = lake
    with closing(warehouse.connect_read_only()) as connection:
        confine(connection, [store.uri("")])

        def run(sql: str) -> list[tuple[object, ...]]:
            check_select(connection, sql)
            return connection.sql(sql).fetchall()

        yield run


def test_what_reads_the_lake_is_answered(read: Read) -> None:
    for sql in ANSWERED:
        assert read(sql), sql


def test_the_files_of_the_lake_can_be_read_by_name(read: Read, lake: Lake) -> None:
    [file] = read(f"FROM glob('{folder_of(lake)}/airqino/*/*.parquet')")
    assert read(f"SELECT value FROM '{file[0]}'") == [(1.0,)]


def test_raw_pulls_are_rows_that_say_where_their_line_is(read: Read, lake: Lake) -> None:
    pulls = RawPullStore(lake[1], "airqino")
    expected = [
        (
            *("airqino", covers[0], covers[-1], one.pulled_at, one.received_at, one.url),
            *(dict(one.params), *one.window, one.status, len(one.body.encode()), one.body),
            *(digest, uri, line),
        )
        for folder in pulls.all_folders()
        for uri, line, digest, one in pulls.lines(folder)
        for covers in [folder_window(folder).dates]
    ]
    found = [
        (*row[:6], json.loads(str(row[6])), *row[7:])
        for row in read("FROM air_quality.raw_pulls ORDER BY first_day, last_day, uri, line")
    ]
    assert len(found) == 502
    assert len({row[-2] for row in found}) > 2
    assert sorted(found, key=str) == sorted(expected, key=str)
    # A condition on the file leaves the numbers as they are.
    for uri in {row[-2] for row in found}:
        only = read(f"SELECT sha256, line FROM airqino.raw_pulls WHERE uri = '{uri}' ORDER BY 2")
        assert only == sorted(((r[-3], r[-1]) for r in found if r[-2] == uri), key=lambda r: r[1])


def test_other_statements_are_refused(read: Read, lake: Lake, tmp_path: Path) -> None:
    before = files_of(lake[0], tmp_path)
    for sql in OTHER_STATEMENTS:
        with pytest.raises(PermanentFailure, match="read-only: it answers one SELECT"):
            read(sql.format(tmp=tmp_path, lake=folder_of(lake)))
    assert files_of(lake[0], tmp_path) == before


def test_functions_that_reach_beyond_the_lake_are_refused(read: Read, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other, other:
        other.execute("CREATE TABLE t AS SELECT 7 AS x")
    for sql in FUNCTIONS:
        with pytest.raises(PermanentFailure, match="it calls no table function"):
            read(sql.format(tmp=tmp_path))


def test_files_beside_the_lake_are_not_read(read: Read, lake: Lake, tmp_path: Path) -> None:
    path = lake[0].location.sqlite_path
    # Its name begins like the folder's.
    similar = (tmp_path if path is None else path.parent) / "objects2"
    similar.mkdir()
    (similar / "secret.csv").write_text("a\n1\n")
    lake_folder = folder_of(lake)
    refused = (duckdb.PermissionException, duckdb.CatalogException)
    for file, errors in (
        (f"{similar}/secret.csv", refused),
        (f"{lake_folder.rpartition('/')[0]}/secret/other.csv", refused),
        # S3 knows no `..`: there it is a part of a key, and signed as such.
        (f"{lake_folder}/../secret/other.csv", (*refused, duckdb.HTTPException)),
        ("/etc/passwd", refused),
    ):
        for sql in (f"FROM '{file}'", f"FROM read_text('{file}')"):
            with pytest.raises(errors):
                read(sql)


def test_no_server_but_the_lakes_is_asked(read: Read) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        with pytest.raises(duckdb.PermissionException):
            read(f"FROM read_csv('http://127.0.0.1:{server.getsockname()[1]}/a.csv')")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_secrets_and_settings_stay(read: Read, lake: Lake) -> None:
    warehouse, store = lake
    with closing(warehouse.connect_read_only()) as connection:
        confine(connection, [store.uri("")])
        for name in ("enable_external_access", "allowed_directories", "allow_unredacted_secrets"):
            with pytest.raises(duckdb.InvalidInputException, match="locked"):
                connection.execute(f"RESET {name}")
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("FROM duckdb_secrets(redact => false)")
    with pytest.raises(PermanentFailure):
        read("FROM duckdb_secrets()")


def test_an_empty_query_is_a_mistake() -> None:
    with closing(duckdb.connect()) as connection:
        for sql in ("", " ", ";;", "-- SELECT 1", "/* */"):
            with pytest.raises(PermanentFailure, match="The query is empty"):
                check_select(connection, sql)
