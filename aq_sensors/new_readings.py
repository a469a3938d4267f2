"""`<network>_new_readings`: a new hour at the network is pulled and cleaned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg
import msgspec

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_title
from aq_resources.services import Services
from aq_science.windows import DAY, HOUR, midnight
from aq_sensors.cursors import Instant, read_cursor
from aq_sensors.instance_queries import newest_materialization, run_outcomes
from aq_sensors.requests import Jobs, Reconciled, RequestedRun, reconcile, sensor_result
from aq_sensors.switches import sensor_status
from aq_sensors.time_limit import within

TICK_SECONDS = 10
ANSWER_SECONDS = 15.0
# After a longer pause the older days are for `late_data`, a bounded number at a time.
LONGEST = 3 * DAY
_SOONEST, _LATEST = timedelta(seconds=10), timedelta(minutes=5)
_FIRST_BACKOFF, _LONGEST_BACKOFF = timedelta(seconds=30), timedelta(minutes=15)


class NewReadingsCursor(
    msgspec.Struct, frozen=True, rename={"pending": "asks", "retry_at": "ask_at"}
):
    """Newest hour requested, the runs to watch, and when to ask the network again."""

    hour: Instant | None = None
    pending: tuple[RequestedRun, ...] = ()
    failures: int = 0
    retry_at: Instant | None = None


@dataclass(frozen=True)
class NetworkPolicy:
    """What the decision needs to know about a network."""

    title: str
    job: str
    start_date: date
    look_back: timedelta


@dataclass(frozen=True)
class Decision:
    """The new cursor, the runs to request, and the reason where there are none."""

    cursor: NewReadingsCursor
    runs: tuple[RequestedRun, ...] = ()
    reason: str = ""


def decide_new_readings(
    cursor: NewReadingsCursor,
    policy: NetworkPolicy,
    earlier: Reconciled,
    fetch_newest_hour: Callable[[], datetime | None],
    now: datetime,
) -> Decision:
    """What to request.

    The network is left alone while its last complete hour is in, asked less often the longer a new
    one is due, and less and less often while it fails.

    Args:
        cursor: The cursor of the last tick.
        policy: What is asked of the network, and from when on.
        earlier: What to do about the runs requested before.
        fetch_newest_hour: Asks the network for the UTC start of its newest complete hour; called
            only where a new hour is possible.
        now: The time of this tick, UTC.

    Returns:
        The new cursor and the runs to request. A failure of the network is a reason, not an error.
    """
    cursor = msgspec.structs.replace(cursor, pending=earlier.pending)
    if cursor.hour is not None and cursor.hour > now:
        # The clock was set back: an hour that is still to come must not silence the network.
        cursor = msgspec.structs.replace(cursor, hour=None)
    reason = _reason_to_wait(cursor, policy.title, now)
    if reason:
        return Decision(cursor, earlier.due, reason)
    try:
        newest = fetch_newest_hour()
    except (TransientFailure, PermanentFailure) as failure:
        return _after_failure(cursor, policy.title, failure, earlier.due, now)
    cursor = msgspec.structs.replace(cursor, failures=0, retry_at=None)
    known = cursor.hour or midnight(policy.start_date) - HOUR
    if newest is None or newest <= known:
        # The longer the next hour is due, the longer the pause.
        pause = min(_LATEST, max(_SOONEST, (now - (known + 2 * HOUR)) / 20))
        cursor = msgspec.structs.replace(cursor, retry_at=now + pause)
        return Decision(cursor, earlier.due, _no_news(policy.title, newest, now + pause))
    run = _readings_run(cursor.hour, newest, policy)
    # The new run pulls the days of an earlier failure again.
    others = tuple(one for one in earlier.pending if one.first < run.first)
    due = tuple(one for one in earlier.due if one in others)
    cursor = msgspec.structs.replace(cursor, hour=newest, pending=(*others, run))
    return Decision(cursor, (*due, run))


def _reason_to_wait(cursor: NewReadingsCursor, title: str, now: datetime) -> str:
    # A clock set back must not silence the network for longer than a pause can be.
    if cursor.retry_at is not None and now < cursor.retry_at <= now + _LONGEST_BACKOFF:
        why = (
            f"{title} failed {cursor.failures} times in a row"
            if cursor.failures
            else f"No new hour at {title} yet"
        )
        return f"{why}; asked again at {cursor.retry_at:%H:%M:%S}Z."
    if cursor.hour is not None and now < cursor.hour + 2 * HOUR:
        over = cursor.hour + 2 * HOUR
        return f"{title}'s hour {cursor.hour:%H:%M}Z is in; the next is over at {over:%H:%M}Z."
    return ""


def _no_news(title: str, newest: datetime | None, retry_at: datetime) -> str:
    found = "no reading of the last hours" if newest is None else f"no hour after {newest:%H:%M}Z"
    return f"{title} shows {found}; asked again at {retry_at:%H:%M:%S}Z."


def _after_failure(
    cursor: NewReadingsCursor,
    title: str,
    failure: TransientFailure | PermanentFailure,
    due: tuple[RequestedRun, ...],
    now: datetime,
) -> Decision:
    failures = cursor.failures + 1
    delay = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(failures - 1, 10))
    if isinstance(failure, TransientFailure) and failure.retry_after:
        delay = max(delay, min(timedelta(seconds=failure.retry_after), _LONGEST_BACKOFF))
    retry_at = now + delay
    return Decision(
        msgspec.structs.replace(cursor, failures=failures, retry_at=retry_at),
        due,
        f"{title} could not be asked, {failures} times in a row: {failure.message} "
        f"Asked again at {retry_at:%H:%M:%S}Z.",
    )


def _readings_run(known: datetime | None, newest: datetime, policy: NetworkPolicy) -> RequestedRun:
    """The days from the first unseen hour, or the look-back if that is longer, to the newest."""
    start = newest - policy.look_back
    if known is not None:
        start = min(start, max(known + HOUR, newest - LONGEST))
    first = max(start.date(), policy.start_date)
    return RequestedRun(
        policy.job, first.isoformat(), newest.date().isoformat(), newest.isoformat()
    )


def build_new_readings(
    services: Services, config: NetworkConfig, jobs: Jobs
) -> dg.SensorDefinition:
    """The sensor of one network, the only one that asks the network anything.

    Args:
        services: Clients, settings and clock.
        config: The network's entry in networks.yaml.
        jobs: The jobs of all networks, by name.

    Returns:
        The sensor `<network>_new_readings`.
    """
    title = network_title(config.name)
    stations = dg.AssetKey([config.name, "stations"])

    @dg.sensor(
        name=f"{config.name}_new_readings",
        jobs=[jobs[f"{config.name}_{job}"] for job in ("readings", "pull")],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=sensor_status(services),
        description=f"Asks {title} which hour is newest; a new one is pulled and cleaned.",
        tags={"network": config.name},
    )
    def new_readings(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = read_cursor(context.cursor, NewReadingsCursor)
        described, _ = newest_materialization(context.instance, stations)
        policy = NetworkPolicy(
            title,
            # Daily averages need the stations' time zones: the first run describes them too.
            f"{config.name}_{'readings' if described else 'pull'}",
            config.start_date,
            services.settings.look_back_hours * HOUR,
        )
        now = services.now()
        outcomes = run_outcomes(context.instance, cursor.pending)
        decision = decide_new_readings(
            cursor,
            policy,
            reconcile(cursor.pending, outcomes, now),
            lambda: within(ANSWER_SECONDS, services.client(config.name).newest_hour),
            now,
        )
        return sensor_result(decision.runs, config.name, decision.cursor, decision.reason)

    return new_readings
