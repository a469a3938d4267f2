"""Nine hours with sensors alone, in minutes: late values, two outages and a revision.

The network's clock and the platform's run fast together (AQ_CLOCK), and stop where the platform is
behind; nobody presses anything. In the end everything is as a plain backfill of the same days would
have it (`hands_off_laws`). It is told once for each way to keep things, in files of their own, as
it waits most of the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import dagster as dg
import duckdb
import msgspec
import polars as pl
from dagster._core.scheduler.instigation import TickStatus

from aq_resources.clock import open_clock
from aq_sandbox.networks.airqino import generated_answer
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.windows import DAY, HOUR
from tests.servers.sinks import webhook_sink
from tests.system.integration.harness import Installation
from tests.system.running import Running, free_port, wait_until

HOURS = 9
SECONDS_AN_HOUR = float(os.environ.get("AQ_TEST_SECONDS_AN_HOUR", "10"))
SENSORS = {"airqino_new_readings", "airqino_forecasts"}
STATIONS = ["283164601", "283181971", "283249436"]
REVISED = (1, 2)
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dataclass
class Story:
    """What happened, and the two installations to compare."""

    start: datetime
    hands_off: Installation
    plain: Installation
    alerts: list[str]

    @property
    def end(self) -> datetime:
        return self.start + HOURS * HOUR


def answer(
    station: str, start: datetime, until: datetime, seed: int, *, revised: bool = False
) -> str:
    """The station's hours before `until`; `revised` corrects PM2.5 of two of them."""
    body = msgspec.json.decode(generated_answer(station, start - 3 * DAY, until, seed, until))
    corrected = {stamp(start + n * HOUR) for n in REVISED} if revised else set()
    body["data"] = [row for row in body["data"] if row["timestamp"] < stamp(until)]
    for row in body["data"]:
        if row["timestamp"] in corrected:
            row["PM2.5"] = 77.25
    return msgspec.json.encode(body).decode()


def seed_of(start: datetime) -> int:
    """The first seed by which the network has the hours that it will revise.

    The story is of today, and stations are silent for hours of their own at any time.
    """
    hours = {stamp(start + n * HOUR) for n in REVISED}

    def reported(seed: int) -> set[str]:
        body = msgspec.json.decode(answer(STATIONS[2], start, start + 6 * HOUR, seed))
        return {row["timestamp"] for row in body["data"] if row.get("PM2.5", -1) >= 0}

    return next(seed for seed in count(1) if hours <= reported(seed))


def stamp(hour: datetime) -> str:
    return f"{hour:%Y-%m-%d %H:%M:%S}"


class RehearsalClock:
    """The time of the network and of the platform, which can be stopped."""

    def __init__(self, path: Path, sandbox: RunningSandbox, start: datetime) -> None:
        self._path, self._sandbox = path, sandbox
        self.setting = f"file://{path}"
        self._set(start, 0)
        self.now = open_clock(self.setting)

    def run(self) -> None:
        self._set(self.now(), 3600 / SECONDS_AN_HOUR)

    def stop(self) -> None:
        self._set(self.now(), 0)

    def wait_for(self, moment: datetime) -> None:
        wait_until(lambda: self.now() >= moment, pause=0.05)

    def _set(self, shown: datetime, speed: float) -> None:
        # Replaced, so that no reader finds half a line.
        new = self._path.with_suffix(".new")
        new.write_text(f"{datetime.now(UTC).isoformat()}/{shown.isoformat()}/{speed}")
        new.replace(self._path)
        self._sandbox.set_clock(shown, speed)


def play(
    sandbox: RunningSandbox,
    start: datetime,
    seed: int,
    clock: RehearsalClock,
    instance: dg.DagsterInstance,
    hands_off: Installation,
) -> None:
    """The network's hours, and one more in which it shows nothing new."""
    end = start + HOURS * HOUR
    to_revise = [start + n * HOUR for n in REVISED]

    def serve(station: str, until: datetime, *, revised: bool = False) -> None:
        sandbox.set_answer(station, answer(station, start, until, seed, revised=revised))

    def revise() -> None:
        # Only what the platform has seen can change.
        clock.stop()
        wait_until(lambda: has_hours(hands_off, STATIONS[2], to_revise), pause=1)
        serve(STATIONS[2], end, revised=True)
        clock.run()

    script: list[tuple[float, Callable[[], None]]] = [
        (1.0, lambda: serve(STATIONS[1], start + HOUR)),
        (2.0, lambda: sandbox.inject("status", status=503, path_contains="/v3/")),
        (3.5, sandbox.clear),
        (4.2, lambda: sandbox.set_answer(STATIONS[1], None)),
        (5.2, revise),
        (6.0, lambda: sandbox.inject("disconnect", path_contains="/v3/")),
        (7.5, sandbox.clear),
    ]
    for n in range(HOURS):
        began = datetime.now(UTC)
        clock.run()
        for hours, act in script:
            if n <= hours < n + 1:
                clock.wait_for(start + timedelta(hours=hours))
                act()
        clock.wait_for(start + (n + 0.9) * HOUR)
        clock.stop()
        wait_until(partial(keeps_up, instance, began), pause=1)
    clock.run()
    clock.wait_for(end)
    # Nothing new after that, so that the platform can come to rest.
    for station in STATIONS[:2]:
        serve(station, end)
    clock.wait_for(end + 0.9 * HOUR)
    clock.stop()


def pm25_of(installation: Installation, station: str) -> pl.DataFrame:
    """The station's hours of PM2.5."""
    return installation.table("hourly_readings").filter(
        pl.col("station_id") == station, pl.col("parameter") == "pm25"
    )


def has_hours(installation: Installation, station: str, hours: list[datetime]) -> bool:
    """Whether the station's hours of PM2.5 are there."""
    try:
        return set(hours) <= set(pm25_of(installation, station)["hour"])
    except (duckdb.Error, UnicodeDecodeError):
        # A file on S3 that was replaced while it was read: two parts of it do not go together.
        return False


def keeps_up(instance: dg.DagsterInstance, began: datetime) -> bool:
    """Whether both sensors have looked since the hour began, and all asked for before is done."""
    looked = {
        state.instigator_name
        for state in instance.all_instigator_state()
        if state.instigator_name in SENSORS
        for tick in instance.get_ticks(
            state.instigator_origin_id,
            state.selector_id,
            after=began.timestamp(),
            statuses=[TickStatus.SUCCESS, TickStatus.SKIPPED],
            limit=1,
        )
    }
    older = dg.RunsFilter(statuses=UNFINISHED, created_before=began)
    return looked == SENSORS and not instance.get_runs(older, limit=1)


def at_rest(instance: dg.DagsterInstance, issue_time: datetime) -> bool:
    """Whether all that follows from the last hour has been done."""
    if instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1):
        return False
    days = {f"{issue_time - n * DAY:%Y-%m-%d}" for n in (0, 1)}
    hourly = newest(instance, "hourly_readings", days)
    daily = newest(instance, "daily_averages", days)
    issued = newest(instance, "forecasts", {f"{issue_time:%Y-%m-%d-%H:%M}"})
    return bool(issued) and all(daily.get(day, 0) > max(hourly.values()) for day in days)


def newest(instance: dg.DagsterInstance, name: str, partitions: set[str]) -> Mapping[str, int]:
    """Storage id of the newest materialization of each partition."""
    return instance.event_log_storage.get_latest_storage_id_by_partition(
        dg.AssetKey(["airqino", name]), dg.DagsterEventType.ASSET_MATERIALIZATION, partitions
    )


def left_failed(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Failed runs that no retry follows."""
    failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    return [run for run in failed if run.tags.get("dagster/will_retry") != "true"]


def notified(runs: list[dg.DagsterRun], alerts: list[str]) -> bool:
    """Whether an alert names each of the runs."""
    return all(any(run.job_name in text for text in alerts) for run in runs)


Make = Callable[[str], Installation]


@contextmanager
def told(make: Make) -> Iterator[Story]:
    """The story; `make` makes an empty installation of a name."""
    # In the past, since Dagster knows no partition of the future.
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - DAY
    networks = {"airqino": {"start_date": f"{start - 2 * DAY:%Y-%m-%d}", "stations": STATIONS}}
    seed = seed_of(start)
    config = SandboxConfig(stations=len(STATIONS), seed=seed, now=start)
    hands_off, plain = (make(name).with_networks(**networks) for name in ("hands_off", "plain"))
    with webhook_sink() as sink, running_sandbox(config) as sandbox:
        hands_off = hands_off.with_settings(
            **sandbox.environment, AQ_ALERT_WEBHOOK=sink.url(), AQ_HTTP_ATTEMPTS="1"
        )
        fixed = f"{start.isoformat()}/{start.isoformat()}/0"
        first = (start - 2 * DAY).date().isoformat()
        hands_off.with_settings(AQ_CLOCK=fixed).backfill(first, start.date().isoformat())

        clock = RehearsalClock(hands_off.folder / "clock", sandbox, start)
        hands_off = hands_off.with_settings(AQ_CLOCK=clock.setting)
        running = Running(hands_off, "--port", str(free_port()))
        try:
            running.wait_for("Ready:")
            with hands_off.instance() as instance:
                play(sandbox, start, seed, clock, instance, hands_off)
                wait_until(lambda: at_rest(instance, start + HOURS * HOUR), pause=1)
                wait_until(lambda: notified(left_failed(instance), sink.texts), pause=1)
        finally:
            running.end()
        end = start + HOURS * HOUR
        plain = plain.with_settings(
            **sandbox.environment, AQ_CLOCK=f"{end.isoformat()}/{end.isoformat()}/0"
        )
        plain.backfill(first, end.date().isoformat(), "--forecasts")
        yield Story(start, hands_off, plain, sink.texts)
