"""``<network>_forecasts``: new hourly readings are followed by the forecast of the next hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import dagster as dg
import msgspec

from aq_assets.freshness import newest_hour
from aq_resources.io_managers import HOUR_KEY
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_title
from aq_resources.platform import Platform
from aq_science.windows import HOUR
from aq_sensors.asks import Ask, FollowUp, Instant, follow_up
from aq_sensors.shell import (
    Jobs,
    materialized,
    outcomes,
    read_cursor,
    requested,
    run_status,
    switched_on,
    within,
)

TICK_SECONDS = 10
READ_SECONDS = 15.0
# Issue times further back than this are no longer worth a forecast by themselves.
LONGEST = 48 * HOUR


class Place(msgspec.Struct, frozen=True):
    """The cursor: what was last seen of the readings, and the last issue time asked for."""

    storage_id: int = 0
    issued_for: Instant | None = None
    model_day: date | None = None
    asks: tuple[Ask, ...] = ()


@dataclass(frozen=True)
class Decision:
    """The new place, what to request, and why there is nothing where there is nothing."""

    place: Place
    asks: tuple[Ask, ...] = ()
    reason: str = ""


def decide_forecasts(
    place: Place, network: str, newest: datetime | None, earlier: FollowUp
) -> Decision:
    """What to request once the readings reach the hour ``newest``.

    The newest issue time comes first and alone, so that it is on time; those that passed unseen
    follow in one run. The first issue time of a day also asks for the day's models.
    """
    place = msgspec.structs.replace(place, asks=earlier.open)
    if newest is None:
        return Decision(place, earlier.again, "There are no readings yet.")
    issue_time = newest + HOUR
    if place.issued_for is not None and issue_time <= place.issued_for:
        return Decision(
            place,
            earlier.again,
            f"The readings reach {newest:%H:%M}Z, and its forecast was asked for.",
        )
    asks = [_ask(network, issue_time, issue_time)]
    if place.issued_for is not None:
        unseen = max(place.issued_for + HOUR, issue_time - LONGEST)
        if unseen < issue_time:
            asks.append(_ask(network, unseen, issue_time - HOUR))
    if place.model_day is None or place.model_day < issue_time.date():
        day = issue_time.date().isoformat()
        asks.append(Ask(f"{network}_models", day, day, "daily"))
    place = msgspec.structs.replace(
        place,
        issued_for=issue_time,
        model_day=issue_time.date(),
        asks=(*earlier.open, *asks),
    )
    return Decision(place, (*earlier.again, *asks))


def _ask(network: str, first: datetime, last: datetime) -> Ask:
    return Ask(
        f"{network}_forecast", first.strftime(HOUR_KEY), last.strftime(HOUR_KEY), "new_readings"
    )


def build_forecasts_sensor(
    platform: Platform, config: NetworkConfig, jobs: Jobs
) -> dg.SensorDefinition:
    """The sensor of one network."""
    readings = dg.AssetKey([config.name, "hourly_readings"])

    @dg.sensor(
        name=f"{config.name}_forecasts",
        jobs=[jobs[f"{config.name}_{job}"] for job in ("forecast", "models")],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=switched_on(platform),
        description=(
            f"New hourly readings of {network_title(config.name)} are followed by the forecast of "
            "the next hours; the first of a day also by the day's models."
        ),
        tags={"network": config.name},
    )
    def forecasts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        place = read_cursor(context.cursor, Place)
        earlier = follow_up(place.asks, outcomes(context.instance, place.asks), platform.now())
        seen, run_id = materialized(context.instance, readings)
        wait = "No new hourly readings." if seen <= place.storage_id else ""
        status = None if wait else run_status(context.instance, run_id)
        if status not in (None, dg.DagsterRunStatus.SUCCESS):
            # Its blocking checks may still refuse the rows, or have refused them.
            wait = f"The run that brought the newest hourly readings: {status.value.lower()}."
        if wait:
            place = msgspec.structs.replace(place, asks=earlier.open)
            decision = Decision(place, earlier.again, wait)
        else:
            files = platform.files.day_files(config.name, "hourly_readings")
            newest = within(READ_SECONDS, lambda: newest_hour(files, files.days()))
            place = msgspec.structs.replace(place, storage_id=seen)
            decision = decide_forecasts(place, config.name, newest, earlier)
        return requested(decision.asks, config.name, decision.place, decision.reason)

    return forecasts
