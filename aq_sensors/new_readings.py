"""``<network>_new_readings``: a new hour at the network is pulled and cleaned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg
import msgspec

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import network_title
from aq_resources.platform import Platform
from aq_science.windows import DAY, HOUR, midnight
from aq_sensors.asks import Ask, FollowUp, Instant, follow_up
from aq_sensors.shell import (
    Jobs,
    materialized,
    outcomes,
    read_cursor,
    requested,
    switched_on,
    within,
)

TICK_SECONDS = 10
ANSWER_SECONDS = 15.0
# After a longer pause the older days are for `late_data`, a bounded number at a time.
LONGEST = 3 * DAY
_SOONEST, _LATEST = timedelta(seconds=10), timedelta(minutes=5)
_FIRST_BACKOFF, _LONGEST_BACKOFF = timedelta(seconds=30), timedelta(minutes=15)


class Place(msgspec.Struct, frozen=True):
    """The cursor: newest hour asked for, the runs to watch, and when to ask the network again."""

    hour: Instant | None = None
    asks: tuple[Ask, ...] = ()
    failures: int = 0
    ask_at: Instant | None = None


@dataclass(frozen=True)
class Terms:
    """What the decision needs to know about a network."""

    title: str
    job: str
    start_date: date
    look_back: timedelta


@dataclass(frozen=True)
class Decision:
    """The new place, what to request, and why there is nothing where there is nothing."""

    place: Place
    asks: tuple[Ask, ...] = ()
    reason: str = ""


Question = Callable[[], datetime | None]


def decide_new_readings(
    place: Place, terms: Terms, earlier: FollowUp, newest_hour: Question, now: datetime
) -> Decision:
    """What to request at ``now``; ``newest_hour`` is asked only where a new hour is possible.

    The network is left alone while its last complete hour is in, asked less often the longer a new
    one is due, and less and less often while it fails.
    """
    place = msgspec.structs.replace(place, asks=earlier.open)
    if place.hour is not None and place.hour > now:
        # The clock was set back: an hour to come must not silence the network until it comes.
        place = msgspec.structs.replace(place, hour=None)
    reason = _no_need(place, terms.title, now)
    if reason:
        return Decision(place, earlier.again, reason)
    try:
        newest = newest_hour()
    except (TransientFailure, PermanentFailure) as failure:
        return _failed(place, terms.title, failure, earlier.again, now)
    place = msgspec.structs.replace(place, failures=0, ask_at=None)
    old = place.hour or midnight(terms.start_date) - HOUR
    if newest is None or newest <= old:
        waited = now - (old + 2 * HOUR)
        ask_at = now + min(_LATEST, max(_SOONEST, waited / 20))
        found = (
            "no reading of the last hours" if newest is None else f"no hour after {newest:%H:%M}Z"
        )
        return Decision(
            msgspec.structs.replace(place, ask_at=ask_at),
            earlier.again,
            f"{terms.title} shows {found}; asked again at {ask_at:%H:%M:%S}Z.",
        )
    ask = _request(place.hour, newest, terms)
    # The new run pulls the days of an earlier failure again.
    others = tuple(one for one in earlier.open if one.first < ask.first)
    again = tuple(one for one in earlier.again if one in others)
    place = msgspec.structs.replace(place, hour=newest, asks=(*others, ask))
    return Decision(place, (*again, ask))


def _no_need(place: Place, title: str, now: datetime) -> str:
    # A clock set back must not silence the network for longer than a pause can be.
    if place.ask_at is not None and now < place.ask_at <= now + _LONGEST_BACKOFF:
        why = (
            f"{title} failed {place.failures} times in a row"
            if place.failures
            else f"No new hour at {title} yet"
        )
        return f"{why}; asked again at {place.ask_at:%H:%M:%S}Z."
    if place.hour is not None and now < place.hour + 2 * HOUR:
        over = place.hour + 2 * HOUR
        return f"{title}'s hour {place.hour:%H:%M}Z is in; the next is over at {over:%H:%M}Z."
    return ""


def _failed(
    place: Place,
    title: str,
    failure: TransientFailure | PermanentFailure,
    again: tuple[Ask, ...],
    now: datetime,
) -> Decision:
    failures = place.failures + 1
    delay = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(failures - 1, 10))
    if isinstance(failure, TransientFailure) and failure.retry_after:
        delay = max(delay, min(timedelta(seconds=failure.retry_after), _LONGEST_BACKOFF))
    ask_at = now + delay
    return Decision(
        msgspec.structs.replace(place, failures=failures, ask_at=ask_at),
        again,
        f"{title} could not be asked, {failures} times in a row: {failure.message} "
        f"Asked again at {ask_at:%H:%M:%S}Z.",
    )


def _request(known: datetime | None, newest: datetime, terms: Terms) -> Ask:
    """The days from the first unseen hour, or the look-back if that is longer, to the newest."""
    start = newest - terms.look_back
    if known is not None:
        start = min(start, max(known + HOUR, newest - LONGEST))
    first = max(start.date(), terms.start_date)
    return Ask(terms.job, first.isoformat(), newest.date().isoformat(), newest.isoformat())


def build_new_readings(
    platform: Platform, config: NetworkConfig, jobs: Jobs
) -> dg.SensorDefinition:
    """The sensor of one network. Alone in asking a network anything."""
    title = network_title(config.name)
    stations = dg.AssetKey([config.name, "stations"])

    @dg.sensor(
        name=f"{config.name}_new_readings",
        jobs=[jobs[f"{config.name}_{job}"] for job in ("readings", "pull")],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=switched_on(platform),
        description=f"Asks {title} which hour is newest; a new one is pulled and cleaned.",
        tags={"network": config.name},
    )
    def new_readings(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        place = read_cursor(context.cursor, Place)
        described, _ = materialized(context.instance, stations)
        terms = Terms(
            title,
            # Daily averages need the stations' time zones: the first run describes them too.
            f"{config.name}_{'readings' if described else 'pull'}",
            config.start_date,
            platform.settings.look_back_hours * HOUR,
        )
        now = platform.now()
        earlier = follow_up(place.asks, outcomes(context.instance, place.asks), now)
        decision = decide_new_readings(
            place,
            terms,
            earlier,
            lambda: within(ANSWER_SECONDS, platform.client(config.name).newest_hour),
            now,
        )
        return requested(decision.asks, config.name, decision.place, decision.reason)

    return new_readings
