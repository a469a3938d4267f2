"""Run workers and the daemon of `aq up` killed: the runs are done again, and nothing is in the way.

Recovery is Dagster's own: the code server or run monitoring finds the dead worker, and a crashed
run is retried. What is tested is that our writes, locks and pools allow it.
"""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml
from filelock import FileLock

from aq_platform.instance import EVENT_LOG
from aq_sandbox.server import RunningSandbox
from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.system.faults.conftest import READINGS, STATIONS, differences, tables
from tests.system.integration.harness import Installation
from tests.system.running import (
    CHAIN,
    LAUNCH_RUN,
    Platform,
    execution,
    launch,
    up,
    wait_until,
)

KILLS = 10
START = date(2025, 5, 20)
MEASURED = START
KILLED = [START + timedelta(days=1 + n) for n in range(KILLS)]
WITHOUT_DAEMON = [KILLED[-1] + timedelta(days=1 + n) for n in range(2)]
ALL_GONE = WITHOUT_DAEMON[-1] + timedelta(days=1)
COMMAND = ("backfill", "airqino", "--start", str(START), "--end", str(ALL_GONE))
_PID = re.compile(r"Started process for run \(pid: (\d+)\)")


def new_installation(folder: Path, sandbox: RunningSandbox) -> Installation:
    return (
        Installation(folder)
        .with_networks(airqino={"start_date": str(START), "stations": STATIONS})
        .with_settings(**sandbox.environment, AQ_SENSORS="false")
    )


def impatient_instance(folder: Path) -> None:
    """What `aq` writes into a new home, with less waiting in it."""
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text() + EVENT_LOG)
    config["run_monitoring"] |= {"poll_interval_seconds": 3}
    config["run_launcher"]["config"] = {"patience_seconds": 60}
    folder.mkdir(parents=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))


@dataclass
class Bench:
    """The installation under `aq up`, and its instance as seen from here."""

    installation: Installation
    instance: dg.DagsterInstance

    def events(self, run_id: str, kind: dg.DagsterEventType) -> list[dg.EventLogEntry]:
        return list(self.instance.all_logs(run_id, of_type=kind))

    def wait_for_work(self, run_id: str) -> None:
        """Until the run's first step has begun; from then on there is something to spoil."""
        wait_until(lambda: self.events(run_id, dg.DagsterEventType.STEP_START), pause=0.1)

    def wait_for_events(self, run_id: str, number: int) -> None:
        """Until the run has recorded so many events, or has ended."""

        def recorded() -> bool:
            run = self.instance.get_run_by_id(run_id)
            assert run is not None
            return run.is_finished or len(self.instance.all_logs(run_id)) >= number

        wait_until(recorded, pause=0.1)

    def worker(self, run_id: str) -> int:
        """The process that executes the run."""
        said = [entry.message for entry in self.events(run_id, dg.DagsterEventType.ENGINE_EVENT)]
        (pid,) = {match[1] for text in said if (match := _PID.search(text))}
        return int(pid)

    def last_of(self, run_id: str) -> dg.DagsterRun:
        """The run, or the last retry of it."""
        group = self.instance.get_run_group(run_id)
        assert group is not None
        return max(group[1], key=lambda run: int(run.tags.get("dagster/retry_number", 0)))

    def succeeded(self, run_id: str) -> bool:
        """Whether the run or a retry has succeeded; fails where none is left to."""
        last = self.last_of(run_id)
        if last.status == dg.DagsterRunStatus.FAILURE:
            said = [str(one) for one in self.events(last.run_id, dg.DagsterEventType.ENGINE_EVENT)]
            if any("No steps needed to be retried" in one for one in said):
                # Killed between its last step and the word that it was done.
                return True
            # The tag is written after the status, by the daemon where the writer died in between.
            assert last.tags.get("dagster/will_retry") != "false", said
        return last.status == dg.DagsterRunStatus.SUCCESS


@pytest.fixture(scope="module")
def _installation(
    _calm_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    _calm_sandbox.reset()
    installation = new_installation(tmp_path_factory.mktemp("workers"), _calm_sandbox)
    home = installation.home / "dagster"
    impatient_instance(home)
    return installation.with_settings(DAGSTER_HOME=str(home))


@pytest.fixture(scope="module")
def expected(
    _calm_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pl.DataFrame]:
    """The tables of all the days, by one undisturbed backfill."""
    installation = new_installation(tmp_path_factory.mktemp("calm"), _calm_sandbox)
    installation.succeed(*COMMAND)
    return tables(installation, READINGS)


@pytest.fixture
def bench(_installation: Installation) -> Iterator[Bench]:
    with _installation.instance() as instance:
        yield Bench(_installation, instance)


def test_workers_killed_amid_their_work_are_replaced(
    bench: Bench, expected: dict[str, pl.DataFrame]
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    dice = random.Random(seed)
    with up(bench.installation) as platform, ThreadPoolExecutor(KILLS) as pool:
        stations = launch(platform, ["stations"], None)
        wait_until(lambda: bench.succeeded(stations))
        measured = launch(platform, list(CHAIN), str(MEASURED))
        wait_until(lambda: bench.succeeded(measured))
        events = [entry.dagster_event for entry in bench.instance.all_logs(measured)]
        kinds = [event.event_type if event else None for event in events]
        # A moment is so many events: that holds however fast or busy the machine is.
        begun = kinds.index(dg.DagsterEventType.STEP_START) + 1

        def kill(run_id: str) -> bool:
            """Whether the worker was still there at its moment."""
            bench.wait_for_events(run_id, moments[run_id])
            try:
                os.kill(bench.worker(run_id), signal.SIGKILL)
            except ProcessLookupError:
                return False
            return True

        runs = [launch(platform, list(CHAIN), str(day)) for day in KILLED]
        moments = {run_id: dice.randrange(begun, len(kinds)) for run_id in runs}
        struck = list(pool.map(kill, runs))
        print("struck", struck, "after", [*moments.values()], "of", len(kinds), "events")
        assert sum(struck) >= KILLS // 2
        for run_id in runs:
            wait_until(partial(bench.succeeded, run_id))
        nothing_is_held(bench)
        average_again(bench, platform, KILLED[-1])
    died = [run for run in runs if bench.last_of(run).run_id != run]
    assert len(died) >= KILLS // 2 - 1
    days = [MEASURED, *KILLED]
    found = tables(bench.installation, READINGS)
    assert differences(of_days(found, days), of_days(expected, days)) == {}


def test_a_daemon_killed_amid_a_run_ends_aq_up_and_the_next_one_goes_on(
    bench: Bench, expected: dict[str, pl.DataFrame]
) -> None:
    with up(bench.installation) as platform:
        runs = [launch(platform, list(CHAIN), str(day)) for day in WITHOUT_DAEMON]
        bench.wait_for_work(runs[0])
        (daemon,) = [
            process
            for process in platform.running.servers()
            if "dagster._daemon" in process.cmdline()
        ]
        daemon.kill()
        # Whoever supervises it is to start it again.
        assert platform.running.process.wait(PATIENCE_S) == 1
        platform.running.wait_for("The daemon ended by itself")
    with up(bench.installation) as platform:
        for run_id in runs:
            wait_until(partial(bench.succeeded, run_id))
        nothing_is_held(bench)
        average_again(bench, platform, WITHOUT_DAEMON[-1])
    days = [MEASURED, *KILLED, *WITHOUT_DAEMON]
    found = tables(bench.installation, READINGS)
    assert differences(of_days(found, days), of_days(expected, days)) == {}


def test_a_run_whose_process_and_servers_are_gone_is_ended_and_done_again(
    bench: Bench, expected: dict[str, pl.DataFrame]
) -> None:
    """As after a container was replaced: nobody is left who started the process."""
    with up(bench.installation) as platform:
        run = launch(platform, list(CHAIN), str(ALL_GONE))
        bench.wait_for_work(run)
        family = platform.running.family()
        platform.running.process.kill()
        # Killed hard, it leaves no server and no worker behind.
        wait_until(lambda: not any(process.is_running() for process in family))
    status = bench.instance.get_run_by_id(run)
    assert status is not None
    assert status.status == dg.DagsterRunStatus.STARTED
    with up(bench.installation) as platform:
        wait_until(partial(bench.succeeded, run))
        nothing_is_held(bench)
        average_again(bench, platform, ALL_GONE)
    assert bench.last_of(run).run_id != run
    assert differences(tables(bench.installation, READINGS), expected) == {}


def test_after_all_that_a_plain_backfill_finds_nothing_to_do(
    bench: Bench, expected: dict[str, pl.DataFrame]
) -> None:
    bench.installation.succeed(*COMMAND)
    assert differences(tables(bench.installation, READINGS), expected) == {}


def of_days(found: dict[str, pl.DataFrame], days: list[date]) -> dict[str, pl.DataFrame]:
    """The rows of these days."""
    return {
        "stations": found["stations"],
        "hourly_readings": found["hourly_readings"].filter(pl.col("hour").dt.date().is_in(days)),
        "daily_averages": found["daily_averages"].filter(pl.col("date").is_in(days)),
    }


def average_again(bench: Bench, platform: Platform, last: date) -> None:
    """What automation, off here, asks for: a day whose neighbour's readings came after its run.

    A running 8-hour mean reaches into the day before, and retries run in any order.
    """
    params = execution(["daily_averages"])
    bounds = {"start": START, "end": last}
    params["executionMetadata"]["tags"] = [
        {"key": f"dagster/asset_partition_range_{side}", "value": str(day)}
        for side, day in bounds.items()
    ]
    launched = platform.ask(LAUNCH_RUN, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]
    wait_until(lambda: bench.succeeded(run_id))


def nothing_is_held(bench: Bench) -> None:
    """No pool slot, no lock, and no file that a listing takes for a finished one."""

    def free() -> bool:
        pool = bench.instance.event_log_storage.get_concurrency_info("airqino")
        assert pool.slot_count > 0
        return (pool.active_slot_count, pool.pending_step_count) == (0, 0)

    wait_until(free)
    with FileLock(f"{bench.installation.home / 'warehouse.sqlite'}.lock").acquire(
        timeout=PATIENCE_S
    ):
        pass
