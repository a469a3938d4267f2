"""`<network>_forecasts`: new hourly readings are followed by the forecast of the next hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import dagster as dg
import msgspec

from aq_resources.io_managers import HOUR_KEY
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_title
from aq_resources.services import Services
from aq_resources.stores.newest_hour import newest_hour
from aq_science.windows import HOUR
from aq_sensors.cursors import Instant, read_cursor
from aq_sensors.instance_queries import newest_materialization, run_outcomes, run_status
from aq_sensors.requests import Jobs, Reconciled, RequestedRun, reconcile, sensor_result
from aq_sensors.switches import sensor_status
from aq_sensors.time_limit import within

TICK_SECONDS = 10
READ_SECONDS = 15.0
# Issue times further back than this are no longer worth a forecast by themselves.
LONGEST = 48 * HOUR


class ForecastsCursor(msgspec.Struct, frozen=True, rename={"pending": "asks"}):
    """What was last seen of the readings, and the last issue time requested."""

    storage_id: int = 0
    issued_for: Instant | None = None
    model_day: date | None = None
    pending: tuple[RequestedRun, ...] = ()


@dataclass(frozen=True)
class Decision:
    """The new cursor, the runs to request, and the reason where there are none."""

    cursor: ForecastsCursor
    runs: tuple[RequestedRun, ...] = ()
    reason: str = ""


def decide_forecasts(
    cursor: ForecastsCursor, network: str, newest: datetime | None, earlier: Reconciled
) -> Decision:
    """What to request once the readings reach the hour `newest`.

    The newest issue time comes first and alone, so that it is on time; those that passed unseen
    follow in one run. The first issue time of a day also requests the day's models.

    Args:
        cursor: The cursor of the last tick.
        network: The network's name.
        newest: UTC start of the newest hour with a reading; None where there is none.
        earlier: What to do about the runs requested before.

    Returns:
        The new cursor and the runs to request.
    """
    cursor = msgspec.structs.replace(cursor, pending=earlier.pending)
    if newest is None:
        return Decision(cursor, earlier.due, "There are no readings yet.")
    # Hours of zones of half and quarter hours end between issue times.
    issue_time = (newest + HOUR).replace(minute=0)
    if cursor.issued_for is not None and issue_time <= cursor.issued_for:
        return Decision(
            cursor,
            earlier.due,
            f"The readings reach {newest:%H:%M}Z, and its forecast was requested.",
        )
    runs = [_forecast_run(network, issue_time, issue_time)]
    if cursor.issued_for is not None:
        unseen = max(cursor.issued_for + HOUR, issue_time - LONGEST)
        if unseen < issue_time:
            runs.append(_forecast_run(network, unseen, issue_time - HOUR))
    if cursor.model_day is None or cursor.model_day < issue_time.date():
        day = issue_time.date().isoformat()
        runs.append(RequestedRun(f"{network}_models", day, day, "daily"))
    cursor = msgspec.structs.replace(
        cursor,
        issued_for=issue_time,
        model_day=issue_time.date(),
        pending=(*earlier.pending, *runs),
    )
    return Decision(cursor, (*earlier.due, *runs))


def _forecast_run(network: str, first: datetime, last: datetime) -> RequestedRun:
    return RequestedRun(
        f"{network}_forecast", first.strftime(HOUR_KEY), last.strftime(HOUR_KEY), "new_readings"
    )


def build_forecasts_sensor(
    services: Services, config: NetworkConfig, jobs: Jobs
) -> dg.SensorDefinition:
    """The sensor of one network.

    Args:
        services: Stores, settings and clock.
        config: The network's entry in networks.yaml.
        jobs: The jobs of all networks, by name.

    Returns:
        The sensor `<network>_forecasts`.
    """
    readings = dg.AssetKey([config.name, "hourly_readings"])

    @dg.sensor(
        name=f"{config.name}_forecasts",
        jobs=[jobs[f"{config.name}_{job}"] for job in ("forecast", "models")],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=sensor_status(services),
        description=(
            f"New hourly readings of {network_title(config.name)} are followed by the forecast of "
            "the next hours; the first of a day also by the day's models."
        ),
        tags={"network": config.name},
    )
    def forecasts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = read_cursor(context.cursor, ForecastsCursor)
        outcomes = run_outcomes(context.instance, cursor.pending)
        earlier = reconcile(cursor.pending, outcomes, services.now())
        seen, run_id = newest_materialization(context.instance, readings)
        wait = "No new hourly readings." if seen <= cursor.storage_id else ""
        status = None if wait else run_status(context.instance, run_id)
        if status not in (None, dg.DagsterRunStatus.SUCCESS):
            # Its blocking checks may still refuse the rows, or have refused them.
            wait = f"The run that brought the newest hourly readings: {status.value.lower()}."
        if wait:
            cursor = msgspec.structs.replace(cursor, pending=earlier.pending)
            decision = Decision(cursor, earlier.due, wait)
        else:
            files = services.files.day_files(config.name, "hourly_readings")
            newest = within(READ_SECONDS, lambda: newest_hour(files, files.days()))
            cursor = msgspec.structs.replace(cursor, storage_id=seen)
            decision = decide_forecasts(cursor, config.name, newest, earlier)
        return sensor_result(decision.runs, config.name, decision.cursor, decision.reason)

    return forecasts
