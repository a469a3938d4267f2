"""Twelve hours with sensors alone, in two minutes: late values, two outages and a revision.

The network's clock and the platform's run fast together (AQ_CLOCK); nobody presses anything. In the
end everything is as a plain backfill of the same days would have it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest

from aq_resources.clock import open_clock
from aq_sandbox.networks.airqino import generated_answer
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.windows import DAY, HOUR
from tests.integration.harness import Installation
from tests.platform.test_up import READY_SECONDS, Running, free_port
from tests.servers import PostgresServer, S3Server

HOURS = 12
SECONDS_AN_HOUR = float(os.environ.get("AQ_TEST_SECONDS_AN_HOUR", "10"))
SETTLE_SECONDS = 240.0
STATIONS = ["283164601", "283181971", "283249436"]
SEED = 1
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dataclass
class Sink:
    """A webhook's receiver."""

    url: str = ""
    texts: list[str] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Sink]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.texts.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


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


def answer(station: str, start: datetime, until: datetime, *, revised: bool = False) -> str:
    """The station's hours before ``until``; ``revised`` corrects PM2.5 of two of them."""
    body = msgspec.json.decode(generated_answer(station, start - 3 * DAY, until, SEED, until))
    corrected = {stamp(start + n * HOUR) for n in (1, 2)} if revised else set()
    body["data"] = [row for row in body["data"] if row["timestamp"] < stamp(until)]
    for row in body["data"]:
        if row["timestamp"] in corrected:
            row["PM2.5"] = 77.25
    return msgspec.json.encode(body).decode()


def stamp(hour: datetime) -> str:
    return f"{hour:%Y-%m-%d %H:%M:%S}"


def play(sandbox: RunningSandbox, start: datetime, now: Callable[[], datetime]) -> None:
    """The network's twelve hours."""
    end = start + HOURS * HOUR

    def serve(station: str, until: datetime, *, revised: bool = False) -> None:
        sandbox.set_answer(station, answer(station, start, until, revised=revised))

    script: list[tuple[float, Callable[[], None]]] = [
        (2.0, lambda: serve(STATIONS[1], start + 2 * HOUR)),
        (3.0, lambda: sandbox.inject("status", status=503, path_contains="/v3/")),
        (4.5, sandbox.clear),
        (5.5, lambda: sandbox.set_answer(STATIONS[1], None)),
        (6.5, lambda: serve(STATIONS[2], end, revised=True)),
        (8.0, lambda: sandbox.inject("disconnect", path_contains="/v3/")),
        (9.5, sandbox.clear),
    ]
    for hours, act in script:
        wait_for_time(now, start + timedelta(hours=hours))
        act()
    wait_for_time(now, end)
    # Nothing new after that, so that the platform can come to rest.
    for station in STATIONS[:2]:
        serve(station, end)


def wait_for_time(now: Callable[[], datetime], moment: datetime) -> None:
    while now() < moment:
        time.sleep(0.05)


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


def settle(instance: dg.DagsterInstance, issue_time: datetime) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not at_rest(instance, issue_time):
        assert time.monotonic() < deadline, "the platform does not come to rest"
        time.sleep(1)


@pytest.fixture(scope="module", params=["embedded", "production"])
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    # In the past, since Dagster knows no partition of the future; by half a day of leeway.
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 2 * HOURS * HOUR
    networks = {"airqino": {"start_date": f"{start - 2 * DAY:%Y-%m-%d}", "stations": STATIONS}}

    def make(name: str) -> Installation:
        folder = tmp_path_factory.mktemp(f"{name}_{request.param}")
        installation = Installation(folder).with_networks(**networks)
        if request.param == "embedded":
            return installation
        s3: S3Server = request.getfixturevalue("s3")
        postgres: PostgresServer = request.getfixturevalue("postgres")
        return installation.in_production(
            s3,
            s3.create_bucket(name.replace("_", "-")),
            postgres.create_database(f"{name}_dagster"),
            postgres.create_database(f"{name}_lake"),
            "dagster.yaml",
        )

    config = SandboxConfig(stations=len(STATIONS), seed=SEED, now=start)
    hands_off, plain = make("hands_off"), make("plain")
    with webhook() as sink, running_sandbox(config) as sandbox:
        hands_off = hands_off.with_settings(
            **sandbox.environment, AQ_ALERT_WEBHOOK=sink.url, AQ_HTTP_ATTEMPTS="1"
        )
        fixed = f"{start.isoformat()}/{start.isoformat()}/0"
        first = (start - 2 * DAY).date().isoformat()
        hands_off.with_settings(AQ_CLOCK=fixed).backfill(first, start.date().isoformat())

        sandbox.set_clock(start, speed=3600 / SECONDS_AN_HOUR)
        clock = f"{datetime.now(UTC).isoformat()}/{start.isoformat()}/{3600 / SECONDS_AN_HOUR}"
        now = open_clock(clock)
        hands_off = hands_off.with_settings(AQ_CLOCK=clock)
        running = Running(hands_off, "--port", str(free_port()))
        try:
            running.wait_for("Ready:", READY_SECONDS)
            play(sandbox, start, now)
            with hands_off.instance() as instance:
                settle(instance, start + HOURS * HOUR)
        finally:
            running.end()
        end = start + HOURS * HOUR
        plain = plain.with_settings(
            **sandbox.environment, AQ_CLOCK=f"{end.isoformat()}/{end.isoformat()}/0"
        )
        plain.backfill(first, end.date().isoformat(), "--forecasts")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in plain.settings.items():
                if name.startswith("AWS_"):
                    patch.setenv(name, value)
            yield Story(start, hands_off, plain, sink.texts)


def since(story: Story, table: pl.DataFrame, column: str) -> pl.DataFrame:
    """The rows of the story's own days."""
    return table.filter(pl.col(column).cast(pl.Date) >= story.start.date())


def test_hourly_readings_equal_a_plain_backfill(story: Story) -> None:
    ours, plain = (
        since(story, one.table("hourly_readings"), "hour").drop("revision")
        for one in (story.hands_off, story.plain)
    )
    assert len(ours) > 3 * HOURS
    assert ours["hour"].max() == story.end - HOUR
    assert ours.equals(plain)


def test_daily_averages_equal_a_plain_backfill(story: Story) -> None:
    ours, plain = (
        since(story, one.table("daily_averages"), "date") for one in (story.hands_off, story.plain)
    )
    assert len(ours) > 0
    assert ours.equals(plain)


def test_the_revision_was_noticed_and_kept_apart(story: Story) -> None:
    rows = story.hands_off.table("hourly_readings").filter(
        pl.col("station_id") == STATIONS[2],
        pl.col("parameter") == "pm25",
        pl.col("hour").is_between(story.start + HOUR, story.start + 2 * HOUR),
    )
    assert rows["value"].to_list() == [77.25, 77.25]
    assert rows["revision"].to_list() == [1, 1]


def test_every_hour_has_its_forecast(story: Story) -> None:
    key = ["station_id", "parameter", "issued_for", "horizon"]

    def issued(one: Installation) -> pl.DataFrame:
        rows = one.table("forecasts").filter(
            pl.col("issued_for").is_between(story.start + HOUR, story.end)
        )
        return rows.select(key).sort(key)

    ours = issued(story.hands_off)
    assert len(ours) == HOURS * len(STATIONS) * 2 * 2
    assert ours.equals(issued(story.plain))


def test_no_run_is_left_failed_without_an_alert(story: Story) -> None:
    with story.hands_off.instance() as instance:
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    failed = [run for run in failed if run.tags.get("dagster/will_retry") != "true"]
    for run in failed:
        assert any(run.job_name in text for text in story.alerts), (run.job_name, story.alerts)
