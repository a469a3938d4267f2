"""Stores that refuse, restart or are full: ridden out where a minute mends it, else named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from aq_sandbox.server import RunningSandbox
from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.system.faults.conftest import COMMAND, READINGS, TABLES, At, AtWork, differences, tables
from tests.system.faults.s3_proxy import S3Proxy, s3_proxy
from tests.system.integration.harness import AQ, Installation

Tables = dict[str, pl.DataFrame]
# What stands for a minute of outage; the patience with it ends with the outage.
SECONDS = float(os.environ.get("AQ_TEST_SECONDS") or 8)
PATIENCE = str(PATIENCE_S)
# Without what is written last.
PLAIN = COMMAND[:-1]


# S3 refuses writes


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[S3Proxy]:
    with s3_proxy(s3.endpoint_url) as running:
        yield running


@pytest.fixture
def on_servers(
    fresh: Installation, s3: S3Server, s3_bucket: str, postgres_database: str, proxy: S3Proxy
) -> Installation:
    """Objects and the warehouse's rows on S3 behind the proxy, its catalog on Postgres."""
    return fresh.with_settings(
        **{**s3.environment, "AQ_S3_ENDPOINT_URL": proxy.url},
        AQ_OBJECT_STORE=f"s3://{s3_bucket}/objects",
        AQ_WAREHOUSE=f"ducklake:postgres:{postgres_database}",
        AQ_WAREHOUSE_DATA=f"s3://{s3_bucket}/warehouse",
    )


# The first write is one of raw pulls by boto3; the others come from boto3 and DuckDB by turns.
@pytest.mark.parametrize("after", [0, 7], ids=["at-once", "amid"])
def test_s3_refusing_writes_for_a_minute_is_ridden_out(
    undisturbed: Tables, on_servers: Installation, proxy: S3Proxy, at_work: At, after: int
) -> None:
    with at_work(on_servers.with_settings(AQ_PATIENCE_SECONDS=PATIENCE)) as work:
        proxy.refuse_after(after, SECONDS)
        # Forecasts and their models are written by the same two ways: once is enough.
        outcomes = work.backfill(forecasts=after > 0)
        assert [outcome.failures for outcome in outcomes if not outcome.success] == []
    assert proxy.refused > 0
    assert differences(tables(on_servers, TABLES if after else READINGS), undisturbed) == {}


def test_s3_refusing_writes_for_longer_fails_the_run_with_its_cause(
    undisturbed: Tables, on_servers: Installation, proxy: S3Proxy, at_work: At
) -> None:
    with at_work(on_servers.with_settings(AQ_PATIENCE_SECONDS="0")) as work:
        proxy.refuse_after(3, None)
        *_, outcome = work.backfill()
        assert not outcome.success
        assert any("S3" in failure for failure in outcome.failures), outcome.failures
        proxy.allow()
        assert all(outcome.success for outcome in work.backfill())
    assert differences(tables(on_servers, READINGS), undisturbed) == {}


# Postgres restarts


@contextmanager
def restarted_amid(work: AtWork, postgres: PostgresServer, seconds: float) -> Iterator[list[float]]:
    """Postgres goes away when the first hourly readings are stored, for some seconds."""
    store = work.services.object_store
    put = store.put
    back = threading.Timer(seconds, postgres.start)
    stopped: list[float] = []

    def stop_then_put(key: str, data: bytes, **options: Any) -> None:
        if "/hourly_readings/" in key and not stopped:
            stopped.append(seconds)
            postgres.stop()
            back.start()
        put(key, data, **options)

    store.put = stop_then_put  # type: ignore[method-assign]
    try:
        yield stopped
    finally:
        del store.put
        if stopped:
            back.join()


def test_a_catalog_on_a_postgres_that_restarts_is_waited_for(
    undisturbed: Tables,
    fresh: Installation,
    postgres: PostgresServer,
    postgres_database: str,
    at_work: At,
) -> None:
    settings = {
        "AQ_WAREHOUSE": f"ducklake:postgres:{postgres_database}",
        "AQ_WAREHOUSE_DATA": str(fresh.home / "warehouse"),
        "AQ_PATIENCE_SECONDS": PATIENCE,
    }
    installation = fresh.with_settings(**settings)
    with at_work(installation) as work:
        with restarted_amid(work, postgres, SECONDS / 2) as stopped:
            outcomes = work.backfill()
        assert stopped
        assert [outcome.failures for outcome in outcomes if not outcome.success] == []
    assert differences(tables(installation, READINGS), undisturbed) == {}


def test_everything_on_a_postgres_that_restarts(
    undisturbed: Tables, fresh: Installation, postgres: PostgresServer, postgres_database: str
) -> None:
    """Dagster's own records are there as well: the run may die with them, and is run again."""
    home = fresh.folder / "dagster"
    home.mkdir(parents=True)
    production = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
    kept = {name: production[name] for name in ("storage", "telemetry")}
    (home / "dagster.yaml").write_text(yaml.safe_dump(kept))
    installation = fresh.with_settings(
        AQ_WAREHOUSE=f"ducklake:postgres:{postgres_database}",
        AQ_WAREHOUSE_DATA=str(fresh.home / "warehouse"),
        DAGSTER_HOME=str(home),
        DAGSTER_PG_HOST=postgres.host,
        DAGSTER_PG_PORT=str(postgres.port),
        DAGSTER_PG_DB=postgres_database.rsplit("/", 1)[1],
        DAGSTER_PG_USER=postgres.user,
        DAGSTER_PG_PASSWORD=postgres.password,
    )
    with installation.begin(*PLAIN) as process:
        readings = fresh.home / "objects" / "airqino" / "hourly_readings"
        while not readings.exists() and process.poll() is None:
            threading.Event().wait(0.01)
        postgres.restart()
        out, err = process.communicate(timeout=PATIENCE_S)
    if process.returncode != 0:
        assert "Dagster's records of runs cannot be kept" in err, out + err
        assert postgres.password not in out + err
    installation.succeed(*PLAIN)
    assert differences(tables(installation, READINGS), undisturbed) == {}


# The disk is full


_SMALL_DISK = """
mkdir -p "$1"
mount -t tmpfs -o "size=$2" tmpfs "$1" || exit 99
small=$1; shift 2
"$@" && echo "it fitted" >&2
mount -o remount,size=256m "$small"
"$@" >&2
code=$?
cp -a "$AQ_HOME" "$AQ_HOME.kept"
exit $code
"""


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    attempt = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="this system lets no user mount a small disk")
@pytest.mark.parametrize(
    ("part", "size", "says"),
    [
        pytest.param("objects", "32k", "The disk is full: ", id="objects"),
        pytest.param("warehouse", "8k", "The disk is full: the warehouse at", id="warehouse"),
        # What SQLite says depends on which of its files cannot grow.
        pytest.param(".", "1800k", "database or disk is full|disk I/O error", id="all"),
    ],
)
def test_a_full_disk_is_told_and_spoils_nothing(
    undisturbed: Tables,
    fresh: Installation,
    sandbox: RunningSandbox,
    part: str,
    size: str,
    says: str,
) -> None:
    """The command fails on a disk that is too small; with more room the same command succeeds."""
    folder = fresh.home / part
    # The two parts are full long before there is a forecast.
    command, compared = (COMMAND, TABLES) if part == "." else (PLAIN, READINGS)
    fresh.home.mkdir(parents=True)
    done = subprocess.run(
        # The mount is this command's own, and gone with it.
        ["unshare", "-rm", "sh", "-c", _SMALL_DISK, "sh", folder, size, str(AQ), *command],
        cwd=fresh.folder,
        env=fresh.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it fitted" not in done.stderr
    assert re.search(says, done.stdout + done.stderr)
    kept = Path(f"{fresh.home}.kept")
    shutil.rmtree(fresh.home)
    kept.rename(fresh.home)
    assert differences(tables(fresh, compared), undisturbed) == {}
