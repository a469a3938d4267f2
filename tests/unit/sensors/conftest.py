"""Sensors of the real definitions, against a sandbox with a fixed clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from aq_platform.definitions import build_defs
from aq_resources.services import Services
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_sensors.instance_queries import RUN_KEY

NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
STATIONS = ("283164601", "283181971", "283249436", "900000001")


@dataclass
class Tick:
    """What a tick came to."""

    requests: list[dg.RunRequest]
    reason: str | None
    cursor: str | None


@dataclass
class Plant:
    """A platform with its definitions, an instance, and the daemon's part played by the test."""

    services: Services
    instance: dg.DagsterInstance
    sandbox: RunningSandbox
    now: datetime = NOW
    cursors: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.load(self.services)

    def load(self, services: Services) -> None:
        """Take the definitions of this platform."""
        self.definitions = build_defs(services)
        self.repository = self.definitions.get_repository_def()

    def at(self, now: datetime) -> None:
        """Set both clocks."""
        self.now = now
        self.sandbox.set_clock(now)

    def later(self, **by: float) -> None:
        self.at(self.now + timedelta(**by))

    def tick(self, sensor: str, *, keep: bool = True) -> Tick:
        """Evaluate the sensor as the daemon does; `keep` the cursor for the next tick."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(sensor), repository_def=self.repository
        )
        found = self.repository.get_sensor_def(sensor).evaluate_tick(context)
        if keep:
            self.cursors[sensor] = found.cursor
        return Tick(list(found.run_requests or ()), found.skip_message, found.cursor)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute what was requested."""
        assert request.job_name is not None
        assert request.run_key is not None
        job = self.definitions.resolve_job_def(request.job_name)
        return job.execute_in_process(
            instance=self.instance,
            tags={**request.tags, RUN_KEY: request.run_key},
            raise_on_error=False,
        )

    def average(self) -> None:
        """What automation brings about: averages of every day that was cleaned."""
        key = dg.AssetKey(["airqino", "daily_averages"])
        for day in self.days("hourly_readings"):
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=day))

    def days(self, asset: str) -> set[str]:
        """Partitions of an asset that were materialized."""
        return self.instance.get_materialized_partitions(dg.AssetKey(["airqino", asset]))


@pytest.fixture(scope="session")
def _server() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(stations=5, now=NOW)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_server: RunningSandbox) -> RunningSandbox:
    _server.reset()
    return _server


@pytest.fixture
def plant(
    configure: Callable[..., None],
    sandbox: RunningSandbox,
) -> Iterator[Plant]:
    configure(sandbox, airqino={"start_date": "2025-06-15", "stations": STATIONS})
    made: list[Plant] = []
    with (
        closing(Services.from_environment(now=lambda: made[0].now)) as services,
        dg.DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance,
    ):
        made.append(Plant(services, instance, sandbox))
        yield made[0]
