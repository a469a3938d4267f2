"""The test servers themselves: real answers, real refusals, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import psutil
import psycopg2  # type: ignore[import-untyped,unused-ignore]
import pytest
from botocore.exceptions import (  # type: ignore[import-untyped,unused-ignore]
    ClientError,
    EndpointConnectionError,
)

from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.s3 import S3Server, s3_server
from tests.system.running import wait_until

ROOT = Path(__file__).resolve().parents[3]

Start = Callable[[], contextlib.AbstractContextManager[S3Server | PostgresServer]]


def _processes_of(folder: Path) -> list[psutil.Process]:
    """Those whose command names the folder (guard and server) and all their children."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(str(folder) in part for part in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


def _gone(processes: list[psutil.Process]) -> bool:
    """Ended; a zombie only waits for the init process of the machine."""
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    with contextlib.suppress(psutil.NoSuchProcess):
        return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)
    return _gone(alive)


def _sockets_in_tmp(ports: set[int]) -> list[Path]:
    return [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def _listening_ports(processes: list[psutil.Process]) -> set[int]:
    ports = set()
    for process in processes:
        # A database's helper may have ended since it was listed.
        with contextlib.suppress(psutil.NoSuchProcess):
            ports |= {
                connection.laddr.port
                for connection in process.net_connections(kind="tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    return ports


# -------------------------------------------------------------------------------------------- S3


def test_an_object_is_stored_and_read_back(s3: S3Server) -> None:
    bucket = s3.create_bucket("objects")
    with contextlib.closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key="a/b.txt", Body=b"hello")
        with client.get_object(Bucket=bucket, Key="a/b.txt")["Body"] as body:
            assert body.read() == b"hello"


def test_signatures_are_checked(s3: S3Server) -> None:
    stranger = s3.client(secret_key="wrong")
    with contextlib.closing(stranger), pytest.raises(ClientError) as refused:
        stranger.list_buckets()
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_a_bucket_must_exist(s3: S3Server) -> None:
    with contextlib.closing(s3.client()) as client, pytest.raises(ClientError) as refused:
        client.put_object(Bucket="nowhere", Key="key", Body=b"")
    assert refused.value.response["Error"]["Code"] == "NoSuchBucket"


def test_an_existing_object_is_not_overwritten_when_asked(s3: S3Server) -> None:
    bucket = s3.create_bucket("conditional")
    with contextlib.closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key="key", Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError) as refused:
            client.put_object(Bucket=bucket, Key="key", Body=b"second", IfNoneMatch="*")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


def test_the_environment_names_the_server(s3: S3Server) -> None:
    assert s3.environment == {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "AWS_DEFAULT_REGION": s3.region,
        "AQ_S3_ENDPOINT_URL": s3.endpoint_url,
    }
    assert s3.secret_key not in repr(s3)


def test_objects_survive_an_outage_on_the_same_port(s3: S3Server) -> None:
    bucket = s3.create_bucket("outage")
    with contextlib.closing(s3.client()) as client:
        for number in range(20):
            client.put_object(Bucket=bucket, Key=f"before-{number}", Body=b"x" * 10_000)
        s3.stop()
        try:
            with pytest.raises(EndpointConnectionError):
                client.list_buckets()
        finally:
            s3.start()
        for number in range(20):
            with client.get_object(Bucket=bucket, Key=f"before-{number}")["Body"] as body:
                assert body.read() == b"x" * 10_000
        client.put_object(Bucket=bucket, Key="after", Body=b"")


# -------------------------------------------------------------------------------------- Postgres


def test_a_database_is_created_and_queried(postgres: PostgresServer) -> None:
    uri = postgres.create_database("some-readings")
    with contextlib.closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_setting('server_encoding')")
        assert cursor.fetchone() == ("some-readings", "UTF8")


def test_the_password_is_checked(postgres: PostgresServer) -> None:
    wrong = postgres.uri().replace(postgres.password, "wrong")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)
    assert postgres.password not in repr(postgres)


def test_rows_survive_a_restart_and_open_connections_end(postgres: PostgresServer) -> None:
    uri = postgres.create_database("restarted")
    with contextlib.closing(psycopg2.connect(uri)) as before:
        with before, before.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 7 AS value")
        postgres.restart()
        with pytest.raises(psycopg2.OperationalError), before.cursor() as cursor:
            cursor.execute("SELECT 1")
    with contextlib.closing(psycopg2.connect(uri)) as after, after.cursor() as cursor:
        cursor.execute("SELECT value FROM kept")
        assert cursor.fetchone() == (7,)


# ----------------------------------------------------------------------------- nothing stays behind


@pytest.mark.parametrize("start", [s3_server, postgres_server])
def test_nothing_stays_when_the_block_fails(start: Start) -> None:
    with contextlib.suppress(ZeroDivisionError), start() as server:
        folder = server._owned.folder
        processes = _processes_of(folder)
        ports = _listening_ports(processes)
        raise ZeroDivisionError
    assert len(processes) >= 2  # the guard and the server
    assert ports
    assert not folder.exists()
    assert _gone(processes)
    assert _sockets_in_tmp(ports) == []


_HOLDER = """
import sys, time
from tests.servers.{server} import {server}_server
with {server}_server() as server:
    print(server._owned.folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("server", ["s3", "postgres"])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_when_the_test_process_is_ended(server: str, blow: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER.format(server=server)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            folder = Path(holder.stdout.readline().strip())
            assert folder.is_dir()
            processes = _processes_of(folder)
            ports = _listening_ports(processes)
            assert len(processes) >= 2
            assert ports
            holder.send_signal(blow)
            holder.wait(PATIENCE_S)
        finally:
            holder.kill()
    wait_until(lambda: not folder.exists(), pause=0.05)
    assert _gone(processes)
    assert _sockets_in_tmp(ports) == []


# -------------------------------------------------------------------------------------- DuckLake


def _duckdb(s3: S3Server) -> duckdb.DuckDBPyConnection:
    """A connection with the wheels' extensions by path: nothing is installed or downloaded."""
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    site_packages = Path(duckdb.__file__).resolve().parents[1]
    for name in ("httpfs", "postgres_scanner", "ducklake"):
        folder = site_packages / f"duckdb_extension_{name}" / "extensions"
        (extension,) = folder.glob(f"*/{name}.duckdb_extension")
        connection.execute(f"LOAD '{extension}'")
    connection.execute(
        f"""CREATE SECRET s3 (TYPE s3, KEY_ID '{s3.access_key}', SECRET '{s3.secret_key}',
        ENDPOINT '{s3.endpoint_url.removeprefix("http://")}', URL_STYLE 'path', USE_SSL false,
        REGION '{s3.region}')"""
    )
    return connection


def test_a_ducklake_lives_in_both_servers(s3: S3Server, postgres: PostgresServer) -> None:
    bucket, catalog = s3.create_bucket("lake"), postgres.create_database("lake")
    with contextlib.closing(_duckdb(s3)) as writer:
        writer.execute(
            f"ATTACH 'ducklake:postgres:{catalog}' AS lake (DATA_PATH 's3://{bucket}/data/')"
        )
        writer.execute("CREATE TABLE lake.readings (value INTEGER)")
        writer.execute("INSERT INTO lake.readings SELECT range FROM range(100)")
        with contextlib.closing(_duckdb(s3)) as reader:
            reader.execute(f"ATTACH 'ducklake:postgres:{catalog}' AS lake (READ_ONLY)")
            total = reader.execute("SELECT count(*), sum(value) FROM lake.readings").fetchone()
            assert total == (100, 4950)
            with pytest.raises(duckdb.InvalidInputException, match="read-only"):
                reader.execute("INSERT INTO lake.readings VALUES (1)")
    with contextlib.closing(s3.client()) as client:
        (stored,) = client.list_objects_v2(Bucket=bucket, Prefix="data/")["Contents"]
    assert stored["Key"].endswith(".parquet")
