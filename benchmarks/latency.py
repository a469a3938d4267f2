"""From "the network has published hour H" to "the forecast for H+1 can be queried".

`aq up` with its default settings and 100 stations; the network's and the platform's clocks run at
40 times the real pace, so that an hour takes 90 s; all times printed are real seconds. The first
hours after the start are left out: the platform is then still loading history. Eight hours take a
quarter of an hour with what comes before them (AQ_BENCH_HOURS for fewer); each is printed at once.

Aim: at most 60 s in all, of which at most 5 s ours: the two runs from their first to their last
event. The rest is Dagster's: intervals between ticks, the queue, and starting a process a run.
"""

from __future__ import annotations

import math
import os
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb

from aq_resources.clock import open_clock
from aq_resources.warehouse.location import WarehouseLocation
from aq_resources.warehouse.warehouse import Warehouse
from benchmarks.common import aq, free_port, machine, platform_on_sandbox, stop_tree

STATIONS = 100
HOURS = int(os.environ.get("AQ_BENCH_HOURS", "8"))
SECONDS_AN_HOUR = 90
SPEED = 3600 / SECONDS_AN_HOUR
HISTORY_DAYS = 8
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Lap:
    """Real seconds from publication to forecast, and the runs' own part of it."""

    hour: datetime
    total: float
    readings: float
    forecast: float

    @property
    def ours(self) -> float:
        return self.readings + self.forecast


def main() -> None:
    """Print a line an hour as it is measured, then median and worst."""
    minutes = math.ceil(SECONDS_AN_HOUR * (HOURS + 2) / 60)
    say(f"{STATIONS} stations, {HOURS} hours, some {minutes} minutes; {machine()}")
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    # Far enough back that no simulated hour lies in the future, past a midnight's extra work.
    start = (at - timedelta(days=1)).replace(hour=2, minute=50)
    first = (start - timedelta(days=HISTORY_DAYS)).date()
    with platform_on_sandbox(STATIONS, first, now=start, speed=SPEED) as environment:
        fixed = f"{start.isoformat()}/{start.isoformat()}/0"
        backfill = [aq(), "backfill", "--start", str(first), "--end", str(start.date())]
        subprocess.run(
            backfill, env={**environment, "AQ_CLOCK": fixed}, check=True, stdout=subprocess.DEVNULL
        )
        say(f"{HISTORY_DAYS} days of history are in; the platform starts")
        laps = run(environment)
    for name, values in {
        "publication to forecast": [lap.total for lap in laps],
        "of which ours": [lap.ours for lap in laps],
    }.items():
        say(f"{name}: median {statistics.median(values):.1f} s, worst {max(values):.1f} s")


def say(text: str) -> None:
    """Print at once, also into a file."""
    print(text, flush=True)


def run(environment: dict[str, str]) -> list[Lap]:
    """Laps of the hours after the platform has come to rest, each printed as it ends."""
    now = open_clock(environment["AQ_CLOCK"])
    up = subprocess.Popen(
        [aq(), "up", "--port", free_port()], env=environment, stdout=subprocess.DEVNULL
    )
    laps: list[Lap] = []
    try:
        home = Path(environment["AQ_HOME"])
        lake = Warehouse(
            WarehouseLocation(
                f"ducklake:sqlite:{home / 'warehouse.sqlite'}", str(home / "warehouse")
            )
        )
        boundary = now().replace(minute=0, second=0, microsecond=0) + 2 * HOUR
        while len(laps) < HOURS:
            wait_until(now, boundary)
            published = time.time()
            shown = forecast_shown(lake, boundary, published + SECONDS_AN_HOUR * 2)
            done = lap(environment, boundary, published, shown)
            laps.append(done)
            say(
                f"{len(laps)} of {HOURS}, {done.hour:%H:%M}Z: {done.total:5.1f} s, "
                f"ours {done.ours:4.1f} s "
                f"(readings {done.readings:.1f}, forecast {done.forecast:.1f})"
            )
            boundary = now().replace(minute=0, second=0, microsecond=0) + HOUR
    finally:
        up.send_signal(signal.SIGINT)
        stop_tree(up)
    return laps


def wait_until(now: object, moment: datetime) -> None:
    """Sleep until the simulated clock shows `moment`."""
    while (left := (moment - now()).total_seconds() / SPEED) > 0:  # type: ignore[operator]
        time.sleep(min(left, 1))


def forecast_shown(lake: Warehouse, issued_for: datetime, deadline: float) -> float:
    """When a reader first saw the forecast."""
    while time.time() < deadline:
        connection = lake.connect_read_only()
        try:
            found = connection.execute(
                "SELECT count(*) FROM airqino.forecasts WHERE issued_for = ?", [issued_for]
            ).fetchone()
            if found and found[0]:
                return time.time()
        except duckdb.CatalogException:
            # No forecast was ever made.
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise SystemExit(f"no forecast for {issued_for} in time")


def lap(environment: dict[str, str], boundary: datetime, published: float, shown: float) -> Lap:
    """The lap, with the runs' share by Dagster's own record."""
    os.environ["DAGSTER_HOME"] = str(Path(environment["AQ_HOME"]) / "dagster")
    with dg.DagsterInstance.get() as instance:
        readings = _record(instance, "airqino_readings", published)
        issue = f"{boundary:%Y-%m-%d-%H:%M}"
        forecast = _record(instance, "airqino_forecast", published, issue)
    began, ended = readings.start_time or shown, readings.end_time or shown
    return Lap(boundary, shown - published, ended - began, shown - (forecast.start_time or shown))


def _record(
    instance: dg.DagsterInstance, job: str, since: float, partition: str | None = None
) -> dg.RunRecord:
    """The first run of the job created since."""
    tags = {"dagster/partition": partition} if partition else {}
    records = instance.get_run_records(
        dg.RunsFilter(job_name=job, tags=tags, created_after=datetime.fromtimestamp(since, UTC)),
        ascending=True,
        limit=1,
    )
    return records[0]


if __name__ == "__main__":
    main()
