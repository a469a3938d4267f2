"""`<network>_drain`: what devices have pushed is taken into the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import dagster as dg
import msgspec

from aq_assets.window_averages import PENDING_ONLY
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_title
from aq_resources.networks.devices.client import DevicesClient
from aq_resources.services import Services
from aq_resources.spool.home import READY, STORED
from aq_science.windows import DAY
from aq_sensors.cursors import read_cursor, write_cursor
from aq_sensors.instance_queries import run_outcomes
from aq_sensors.requests import Jobs, Priority, Reconciled, RequestedRun, reconcile, run_request
from aq_sensors.switches import sensor_status

TICK_SECONDS = 5


class DrainCursor(msgspec.Struct, frozen=True):
    """The runs to watch."""

    pending: tuple[RequestedRun, ...] = ()


def decide_drain(
    waiting: Sequence[date], network: str, earlier: Reconciled, since: date, now: datetime
) -> tuple[tuple[RequestedRun, ...], tuple[RequestedRun, ...]]:
    """Which days to drain.

    Args:
        waiting: Days with segments, in order.
        network: Whose.
        earlier: What to do about the runs requested before.
        since: The hourly refresh pulls this day and later ones again by itself. What comes for
            an earlier one changes its hours as well.
        now: The time of this tick, UTC.

    Returns:
        The runs to watch, and those to request now. A day waits while a run of it is under way.
    """
    busy = {
        (date.fromisoformat(run.first), date.fromisoformat(run.last)) for run in earlier.pending
    }
    days = [day for day in waiting if not any(first <= day <= last for first, last in busy)]
    new = []
    for job, some in (
        ("late", [day for day in days if day < since]),
        ("windows", [day for day in days if day >= since]),
    ):
        for first, last in _together(some):
            run = RequestedRun(
                f"{network}_{job}", first.isoformat(), last.isoformat(), now.isoformat()
            )
            new.append(run)
    return (*earlier.pending, *new), (*earlier.due, *new)


def _together(days: Sequence[date]) -> list[tuple[date, date]]:
    """First and last of the days that follow each other."""
    groups: list[tuple[date, date]] = []
    for day in days:
        if groups and groups[-1][1] + timedelta(days=1) == day:
            groups[-1] = (groups[-1][0], day)
        else:
            groups.append((day, day))
    return groups


def build_drain(services: Services, config: NetworkConfig, jobs: Jobs) -> dg.SensorDefinition:
    """The sensor of a network whose readings come by themselves.

    Args:
        services: Clients and clock.
        config: The network's entry in networks.yaml.
        jobs: The jobs of all networks, by name.

    Returns:
        The sensor `<network>_drain`.
    """
    title = network_title(config.name)

    @dg.sensor(
        name=f"{config.name}_drain",
        jobs=[jobs[f"{config.name}_{job}"] for job in ("windows", "late")],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=sensor_status(services),
        description=f"Takes what {title} have pushed into raw pulls and windows.",
        tags={"network": config.name},
    )
    def drain(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = read_cursor(context.cursor, DrainCursor)
        client = services.client(config.name)
        if not isinstance(client, DevicesClient):
            raise TypeError(f"{config.name} has no spool")
        now = services.now()
        earlier = reconcile(cursor.pending, run_outcomes(context.instance, cursor.pending), now)
        waiting = [
            day
            for day in client.spool.days(READY, STORED)
            if config.start_date <= day <= (now + DAY).date()
        ]
        since = (now - timedelta(hours=services.settings.look_back_hours)).date()
        watched, wanted = decide_drain(waiting, config.name, earlier, since, now)
        requests = [run_request(run, config.name, Priority.HOURLY) for run in wanted]
        tagged = [
            request._replace(tags={**request.tags, PENDING_ONLY: "true"}) for request in requests
        ]
        return dg.SensorResult(
            run_requests=tagged,
            skip_reason=None if tagged else "Nothing new has been pushed, or a run takes it in.",
            cursor=write_cursor(DrainCursor(watched)),
        )

    return drain
