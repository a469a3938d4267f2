"""kill -9 of a backfill at any moment: run it again, and nobody can tell that it happened."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest

from aq_resources.failures import PermanentFailure
from aq_resources.stores.object_store import LocalObjectStore
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_sandbox.server import SandboxConfig, running_sandbox
from tests.patience import PATIENCE_S
from tests.system.integration.harness import Installation
from tests.system.integration.warm import Command
from tests.system.running import wait_until

STATIONS = ["283164601", "283181971"]
DAYS = ("2025-05-01", "2025-05-20")
NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
TABLES = ("stations", "hourly_readings", "daily_averages")
KILLS = 8
COMMAND = ("backfill", "airqino", "--start", DAYS[0], "--end", DAYS[1])


def wait_for_work(process: Command, installation: Installation, amount: int) -> None:
    """Wait until so many files are stored: a moment that needs no knowledge of anyone's speed."""
    deadline = time.monotonic() + PATIENCE_S
    while work_done(installation) < amount:
        assert process.poll() is None
        assert time.monotonic() < deadline, "the command never got that far"
        time.sleep(0.002)


def work_done(installation: Installation) -> int:
    """Files stored so far: answers, hourly readings and daily averages."""
    folders = (installation.home / "objects", installation.home / "warehouse")
    return sum(len(files) for folder in folders for _, _, files in os.walk(folder))


def answers(installation: Installation) -> list[tuple[str, str, int, str]]:
    """Every stored answer without its time, in a fixed order."""
    store = RawPullStore(LocalObjectStore(installation.home / "objects"), "airqino")
    folders = store.store.folders(store.root)
    found: list[RawAnswer] = [answer for folder in folders for answer in store.read(folder)]
    return sorted((a.url.rsplit("/", 1)[1], str(a.params), a.status, a.body) for a in found)


@dataclass(frozen=True)
class Undisturbed:
    tables: dict[str, pl.DataFrame]
    answers: list[tuple[str, str, int, str]]
    hourly_files: set[str]
    work: int


@dataclass(frozen=True)
class Killed:
    """What was there after the kill, and after the same command had run again."""

    installation: Installation
    after: int
    died: bool
    rows_in_between: dict[str, int]


@dataclass(frozen=True)
class Cases:
    undisturbed: Undisturbed
    killed: list[Killed]


def installation_at(folder: Path, environment: dict[str, str]) -> Installation:
    return (
        Installation(folder)
        .with_networks(airqino={"start_date": "2025-05-01", "stations": STATIONS})
        # Many small steps: more places to be killed in.
        .with_settings(**environment, AQ_CHUNK_DAYS="4")
    )


def undisturbed_run(installation: Installation) -> Undisturbed:
    installation.succeed(*COMMAND)
    return Undisturbed(
        {name: installation.table(name) for name in TABLES},
        answers(installation),
        set(installation.files("hourly_readings")),
        work_done(installation),
    )


def killed_run(installation: Installation, after: int) -> Killed:
    """Kill once `after` files are stored; with 0, while it opens its home."""
    with installation.begin(*COMMAND) as process:
        if after:
            wait_for_work(process, installation, after)
        else:
            wait_until(installation.home.exists, pause=0.002)
        process.kill()
        process.communicate()
    rows = {}
    for name in TABLES:
        try:
            rows[name] = len(installation.table(name))
        except (PermanentFailure, duckdb.CatalogException):
            # No warehouse or no such table yet; anything else is a broken one.
            rows[name] = 0
    installation.succeed(*COMMAND)
    return Killed(installation, after, process.returncode == -9, rows)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    with running_sandbox(SandboxConfig(now=NOW)) as sandbox, ThreadPoolExecutor(2) as pool:

        def new(name: str) -> Installation:
            return installation_at(tmp_path_factory.mktemp(name), sandbox.environment)

        calm = undisturbed_run(new("undisturbed"))
        dice = random.Random(20250618)
        # Once while it starts, and once in each part of the work.
        parts = KILLS - 1
        moments = [1 + int((n + dice.random()) / parts * (calm.work - 1)) for n in range(parts)]
        moments.insert(0, 0)
        killed = pool.map(killed_run, [new(f"killed{n}") for n in range(KILLS)], moments)
        yield Cases(calm, list(killed))


def test_the_kills_struck_while_it_worked(cases: Cases) -> None:
    assert all(one.died for one in cases.killed)
    whole = {name: len(table) for name, table in cases.undisturbed.tables.items()}
    found = [one.rows_in_between for one in cases.killed]
    assert all(rows[name] <= whole[name] for rows in found for name in TABLES)
    # Some kills left nothing behind to read, others a part.
    assert any(not any(rows.values()) for rows in found)
    assert any(rows["stations"] == whole["stations"] for rows in found)


@pytest.mark.parametrize("name", TABLES)
def test_after_another_run_the_tables_are_as_if_nothing_had_happened(
    cases: Cases, name: str
) -> None:
    for one in cases.killed:
        assert one.installation.table(name).equals(cases.undisturbed.tables[name]), one.after


def test_every_answer_is_stored_once_and_whole(cases: Cases) -> None:
    for one in cases.killed:
        assert answers(one.installation) == cases.undisturbed.answers, one.after
        files = {
            path
            for path in one.installation.files("hourly_readings")
            if not path.rsplit("/", 1)[1].startswith(".unfinished-")
        }
        assert files == cases.undisturbed.hourly_files


def test_no_run_is_left_running(cases: Cases) -> None:
    whole = len(cases.undisturbed.tables["daily_averages"])
    met = set()
    for one in cases.killed:
        with one.installation.instance() as instance:
            runs = instance.get_runs()
        assert all(run.is_finished for run in runs), one.after
        # What is published follows in a run of its own.
        latest, *before = [run.status for run in runs if run.job_name != "airqino_publish"]
        assert latest is dg.DagsterRunStatus.SUCCESS, one.after
        # Killed before it had recorded a run, there is none of it; on its way out, it was done.
        assert len(before) <= 1
        if one.rows_in_between["daily_averages"] < whole:
            assert before in ([], [dg.DagsterRunStatus.FAILURE]), one.after
        else:
            ended = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
            assert before[0] in ended, one.after
        met.update(before)
    assert dg.DagsterRunStatus.FAILURE in met
