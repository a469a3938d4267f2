"""Runs spread over two Celery workers that share Postgres, S3 and a broker: the same tables."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from aq_sandbox.server import SandboxConfig, running_sandbox
from tests.conftest import ROOT
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.servers.valkey import valkey_server
from tests.system.integration.harness import Installation
from tests.system.running import (
    Platform,
    Running,
    ended,
    free_port,
    launch,
    wait_until,
)

STATIONS = ["283164601", "283181971"]
DAYS = [f"2025-06-0{n}" for n in range(1, 5)]
NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
CHAIN = ["raw_pulls", "hourly_readings", "daily_averages"]
STOP_SECONDS = 30.0

# As in docs/operating.md.
WORKER = (
    "celery -A dagster_celery.app worker --concurrency=1 --max-tasks-per-child=1 "
    "--disable-prefetch --loglevel=INFO -- worker.redirect_stdouts=false"
)


class Worker:
    """A Celery worker as on a machine of its own: another folder for everything local."""

    def __init__(self, folder: Path, installation: Installation) -> None:
        home = folder / "dagster"
        home.mkdir(parents=True)
        shutil.copy(ROOT / "deploy/dagster.celery.yaml", home / "dagster.yaml")
        self.log = folder / "worker.log"
        command = [str(Path(sys.executable).with_name("celery")), *WORKER.split()[1:]]
        command.insert(-2, f"--hostname={folder.name}@%h")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={
                    **installation.environment,
                    "AQ_HOME": str(folder),
                    "DAGSTER_HOME": str(home),
                    "PYTHONPATH": str(ROOT),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def is_ready(self) -> bool:
        return " ready." in self.said()

    def runs_done(self) -> int:
        return sum(
            "execute_job" in line and "succeeded" in line for line in self.said().split("\n")
        )

    def end(self) -> None:
        """Stop as a supervisor does; whatever is left of the group after that, at once."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Spread:
    plain: Installation
    shared: Installation
    workers: list[Worker]
    bucket: str


@pytest.fixture(scope="module")
def spread(
    s3: S3Server, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Spread]:
    networks = {
        "airqino": {
            "start_date": DAYS[0],
            "stations": STATIONS,
            "overrides": {station: {"timezone": "Africa/Abidjan"} for station in STATIONS},
        }
    }
    folder = tmp_path_factory.mktemp("celery")
    bucket = s3.create_bucket("celery")
    with (
        running_sandbox(SandboxConfig(now=NOW)) as sandbox,
        valkey_server() as redis,
        contextlib.ExitStack() as started,
    ):
        plain = Installation(folder / "plain").with_networks(**networks)
        plain = plain.with_settings(**sandbox.environment)
        databases = [postgres.create_database(f"celery_{n}") for n in ("dagster", "warehouse")]
        shared = (
            Installation(folder / "shared")
            .with_networks(**networks)
            .with_settings(**sandbox.environment, AQ_SENSORS="false")
            .with_settings(CELERY_BROKER_URL=redis, CELERY_RESULT_BACKEND=redis)
            .in_production(s3, bucket, databases[0], databases[1], "dagster.celery.yaml")
        )
        workers = []
        for name in ("one", "two"):
            workers.append(Worker(folder / name, shared))
            started.callback(workers[-1].end)
        port = free_port()
        running = Running(shared, "--port", str(port))
        started.callback(running.end)
        plain.backfill(DAYS[0], DAYS[-1])
        running.wait_for("Ready:")
        for worker in workers:
            wait_until(worker.is_ready)
        platform = Platform(shared, running, port, read_only_port=0)
        runs = [launch(platform, ["stations"], None)]
        assert wait_until(lambda: ended(platform, runs[0])) == "SUCCESS"
        runs += [launch(platform, CHAIN, day) for day in DAYS]
        for run in runs:
            assert wait_until(partial(ended, platform, run)) == "SUCCESS"
        # Celery says so a moment after Dagster.
        wait_until(lambda: sum(w.runs_done() for w in workers) == len(runs))
        yield Spread(plain, shared, workers, bucket)


def test_both_workers_took_part(spread: Spread) -> None:
    done = [worker.runs_done() for worker in spread.workers]
    assert sum(done) == 1 + len(DAYS)
    assert min(done) >= 1, done


@pytest.mark.parametrize(
    ("name", "least"), [("stations", 2), ("hourly_readings", 1_000), ("daily_averages", 40)]
)
def test_tables_are_those_of_a_plain_backfill(spread: Spread, name: str, least: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in spread.shared.settings.items():
            patch.setenv(variable, value)
        shared = spread.shared.table(name)
    plain = spread.plain.table(name)
    assert len(plain) >= least
    assert shared.equals(plain)


def test_logs_of_the_runs_are_on_s3(spread: Spread, s3: S3Server) -> None:
    with contextlib.closing(s3.client()) as client:
        found = client.list_objects_v2(Bucket=spread.bucket, Prefix="compute_logs/")["Contents"]
    assert len({entry["Key"].split("/")[2] for entry in found}) == 1 + len(DAYS)


def test_nothing_but_logs_is_kept_on_a_worker(spread: Spread) -> None:
    for worker in spread.workers:
        assert {path.name for path in worker.log.parent.iterdir()} == {"dagster", "worker.log"}
