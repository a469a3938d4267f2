"""The `aq` command as a user has it: its own process and home, nothing inherited."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest
from psycopg2.extensions import parse_dsn

from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.servers.s3 import S3Server
from tests.system.integration import warm

AQ = Path(sys.executable).with_name("aq")
_OWN = ("AQ_", "DAGSTER_", "AWS_", "PYTHONDONTWRITEBYTECODE")

# What differs between two installations that did the same work at different times.
TIMES_OF_WORK = ("pulled_at", "first_seen", "last_seen", "issued_at")


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that steers the platform."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}


@dataclass(frozen=True)
class Installation:
    """A folder with an `AQ_HOME` and a networks file, and the settings to run there with."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {**clean_environment(), "AQ_HOME": str(self.home), **self.settings}

    def with_networks(self, **networks: Mapping[str, Any]) -> Installation:
        """The same with a networks file of these entries."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "networks.yaml"
        # JSON is YAML.
        path.write_text(json.dumps({"networks": networks}))
        return self.with_settings(AQ_NETWORKS=str(path))

    def with_settings(self, **settings: str) -> Installation:
        """The same folder with more settings."""
        return Installation(self.folder, {**self.settings, **settings})

    def in_production(
        self, s3: S3Server, bucket: str, dagster: str, warehouse: str, instance: str
    ) -> Installation:
        """The same with everything on the servers: a bucket, two databases, an instance file."""
        home = self.home / "dagster"
        home.mkdir(parents=True)
        shutil.copy(ROOT / "deploy" / instance, home / "dagster.yaml")
        database = parse_dsn(dagster)
        return self.with_settings(
            **s3.environment,
            AQ_BUCKET=bucket,
            AQ_OBJECT_STORE=f"s3://{bucket}/objects",
            AQ_WAREHOUSE=f"ducklake:postgres:{warehouse}",
            DAGSTER_HOME=str(home),
            DAGSTER_PG_HOST=database["host"],
            DAGSTER_PG_PORT=database["port"],
            DAGSTER_PG_DB=database["dbname"],
            DAGSTER_PG_USER=database["user"],
            DAGSTER_PG_PASSWORD=database["password"],
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """The command from a fresh interpreter, running; its working folder is this one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [str(AQ), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def begin(self, *arguments: str) -> warm.Command:
        """The command, running, where nothing depends on how it was started."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return warm.Command(AQ, arguments, self.folder, self.environment)

    def run(self, *arguments: str, timeout: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        # Other code than this process's is to be imported anew.
        if "PYTHONPATH" not in self.settings:
            self.folder.mkdir(parents=True, exist_ok=True)
            return warm.run(AQ, arguments, self.folder, self.environment, timeout)
        with self.start(*arguments) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            finally:
                process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def succeed(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, which must end well."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"aq {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def backfill(self, first: str, last: str, *options: str) -> str:
        """`aq backfill` of AirQino, which must end well; its output."""
        arguments = ("backfill", "airqino", "--start", first, "--end", last, *options)
        return self.succeed(*arguments).stdout

    def query(self, sql: str) -> list[dict[str, Any]]:
        """`aq query … --format json`, read back."""
        printed = self.succeed("query", sql, "--format", "json").stdout
        rows: list[dict[str, Any]] = json.loads(printed)
        return rows

    # A look inside, from this process

    @property
    def location(self) -> WarehouseLocation:
        settings = self.settings
        return WarehouseLocation(
            settings.get("AQ_WAREHOUSE", f"ducklake:sqlite:{self.home / 'warehouse.sqlite'}"),
            settings.get("AQ_WAREHOUSE_DATA", str(self.home / "warehouse")),
            "s3://" in settings.get("AQ_OBJECT_STORE", ""),
            settings.get("AQ_S3_ENDPOINT_URL"),
        )

    @contextlib.contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to the warehouse."""
        with contextlib.closing(Warehouse(self.location).connect_read_only()) as connection:
            yield connection

    def table(self, name: str, *, network: str = "airqino", timeless: bool = True) -> pl.DataFrame:
        """All rows of a network's table in a fixed order, by default without the times of work."""
        with self.reader() as connection:
            rows = connection.execute(f"SELECT * FROM {network}.{name}").pl()
        if timeless:
            rows = rows.drop(TIMES_OF_WORK, strict=False)
        key = [
            c
            for c in ("station_id", "parameter", "date", "hour", "issued_for", "horizon")
            if c in rows.columns
        ]
        return rows.sort(key)

    def files(self, asset: str) -> dict[str, str]:
        """SHA-256 by path of every file of an asset in the local object store."""
        root = self.home / "objects" / "airqino" / asset
        return {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The Dagster instance of this home."""
        folder = str(self.home / "dagster")
        with pytest.MonkeyPatch.context() as patch:
            # The instance's configuration refers to them.
            for name, value in {**self.settings, "DAGSTER_HOME": folder}.items():
                patch.setenv(name, value)
            with dg.DagsterInstance.from_config(folder) as instance:
                yield instance
