"""`late_data`: days that are missing, failed or due for another look are pulled again."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg
import msgspec

from aq_resources.services import Services
from aq_science.windows import DAY, midnight
from aq_sensors.alerts.evidence import AbandonedDay
from aq_sensors.cursors import Instant, read_cursor, write_cursor
from aq_sensors.day_states import DayState, busy_days, day_states
from aq_sensors.instance_queries import UNFINISHED
from aq_sensors.requests import Jobs, Priority, RequestedRun, run_request
from aq_sensors.switches import sensor_status

NAME = "late_data"
TICK_SECONDS = 60
# After each time a day was requested: a bad moment passes soon, an outage within hours.
WAITS = (timedelta(minutes=10), timedelta(hours=6), timedelta(minutes=10))
ATTEMPTS = len(WAITS)
# Days are looked at for a week longer than the last visit falls due: the platform or the network
# may be down on that very day.
GRACE_DAYS = 7
# The averages follow the readings within a minute or so; later than this their run has failed.
AVERAGES_WITHIN = timedelta(hours=1)


class Kind(enum.StrEnum):
    """What is wrong with a day."""

    MISSING = "missing"
    FAILED = "failed"
    REVISIT = "revisit"
    UNANSWERED = "unanswered"
    NOT_AVERAGED = "not_averaged"


@dataclass(frozen=True)
class Reason:
    """Why a day is pulled again; a revisit also says how many days after the day's end it is due.

    Each revisit is a reason of its own: a day that was abandoned at one gets its attempts at the
    next.
    """

    kind: Kind
    after_days: int | None = None

    def __str__(self) -> str:
        """As the cursor and the run keys have it."""
        return self.kind if self.after_days is None else f"{self.kind}_{self.after_days}"


class Attempt(msgspec.Struct, frozen=True):
    """How often a day was requested, for one reason, and when last."""

    reason: str
    times: int
    at: Instant


class BackfillState(msgspec.Struct, frozen=True, rename={"attempts": "tried"}):
    """One network's part of the cursor, by ISO day."""

    attempts: dict[str, Attempt] = {}

    @property
    def abandoned(self) -> dict[str, str]:
        """Days that were requested as often as is sensible, with the reason."""
        return {day: one.reason for day, one in self.attempts.items() if one.times > ATTEMPTS}


@dataclass(frozen=True)
class DayRange:
    """Consecutive days to pull in one run, both included."""

    first: date
    last: date
    reason: Reason


def reach(revisit_days: tuple[int, ...]) -> int:
    """How many days back days are looked at."""
    return max(revisit_days, default=0) + 1 + GRACE_DAYS


def repull_reason(
    day: date, state: DayState, now: datetime, revisit_days: tuple[int, ...]
) -> Reason | None:
    """Why the day should be pulled again.

    Args:
        day: A UTC day that is over.
        state: What is known of it.
        now: The time of this tick, UTC.
        revisit_days: Days after its end at which a day is pulled again.

    Returns:
        The first reason that holds; None where the day is as it should be.
    """
    ended = midnight(day) + DAY
    # A day that was last pulled before its end lacks hours; `new_readings` is first to see to it.
    if state.pulled_at is None or state.pulled_at < ended <= now - DAY:
        return Reason(Kind.MISSING)
    if not state.cleaned:
        return Reason(Kind.FAILED)
    # Before the stations that do not answer: one that is down for weeks keeps no other from theirs.
    due = [n for n in revisit_days if state.pulled_at < ended + n * DAY <= now]
    if due:
        return Reason(Kind.REVISIT, max(due))
    if state.unanswered:
        return Reason(Kind.UNANSWERED)
    if not state.averaged and now >= state.pulled_at + AVERAGES_WITHIN:
        return Reason(Kind.NOT_AVERAGED)
    return None


def decide_late_data(
    before: BackfillState,
    days: Mapping[date, DayState],
    busy: frozenset[date],
    now: datetime,
    *,
    revisit_days: tuple[int, ...],
    limit: int,
) -> tuple[BackfillState, list[DayRange]]:
    """Which days of a network to pull again.

    Oldest first; consecutive days with one reason go together. A day requested in vain is
    requested again after ten minutes and after six hours, alone, so that it cannot make
    others fail; after the third time it is abandoned until another reason comes up or it is pulled.

    Args:
        before: The network's state after the last tick.
        days: What is known of each finished day, by UTC date.
        busy: Days that unfinished runs work on.
        now: The time of this tick, UTC.
        revisit_days: Days after its end at which a day is pulled again.
        limit: The most days of one tick.

    Returns:
        The new state, and the ranges to pull.
    """
    attempts: dict[str, Attempt] = {}
    chosen: list[tuple[date, Reason, int]] = []
    for day in sorted(days):
        reason = repull_reason(day, days[day], now, revisit_days)
        if reason is None:
            continue
        last = before.attempts.get(day.isoformat())
        if last is not None and last.reason != str(reason):
            last = None
        if last is not None:
            attempts[day.isoformat()] = last
        if day in busy or not _is_due(last, now):
            continue
        times = last.times if last else 0
        if times < ATTEMPTS:
            if len(chosen) == limit:
                continue
            chosen.append((day, reason, times))
        # Where its last chance has passed as well, it counts as abandoned from now on.
        attempts[day.isoformat()] = Attempt(str(reason), times + 1, now)
    return BackfillState(attempts), _ranges(chosen)


def _is_due(last: Attempt | None, now: datetime) -> bool:
    if last is None:
        return True
    # A clock that was set back makes no day wait longer.
    return last.times <= ATTEMPTS and not last.at <= now < last.at + WAITS[last.times - 1]


def _ranges(chosen: Iterable[tuple[date, Reason, int]]) -> list[DayRange]:
    ranges: list[DayRange] = []
    alone = True
    for day, reason, times in chosen:
        newest = ranges[-1] if ranges and not times and not alone else None
        if newest is not None and newest.last + DAY == day and newest.reason == reason:
            ranges[-1] = DayRange(newest.first, day, reason)
            continue
        ranges.append(DayRange(day, day, reason))
        alone = times > 0
    return ranges


def build_late_data(services: Services, jobs: Jobs) -> dg.SensorDefinition:
    """One sensor for every network: it asks Dagster's records alone."""
    settings = services.settings

    @dg.sensor(
        name=NAME,
        jobs=[jobs[f"{name}_{job}"] for name in services.networks for job in ("readings", "daily")],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=sensor_status(services),
        description=(
            "Days of the last weeks that are missing, failed or due for another look "
            f"({', '.join(map(str, settings.revisit_days))} days after they ended) are pulled "
            "again, oldest first; those whose averages failed are averaged again."
        ),
    )
    def late_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = services.now()
        before = read_cursor(context.cursor, dict[str, BackfillState])
        unfinished = context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        requests: list[dg.RunRequest] = []
        after: dict[str, BackfillState] = {}
        for name, config in services.networks.items():
            days = day_states(context.instance, config, now, reach(settings.revisit_days))
            after[name], ranges = decide_late_data(
                before.get(name, BackfillState()),
                days,
                busy_days(unfinished, name),
                now,
                revisit_days=settings.revisit_days,
                limit=settings.late_days_per_tick,
            )
            newest = max((state.version for state in days.values()), default=0)
            runs = _runs(name, ranges, after[name], newest)
            requests += [run_request(run, name, Priority.LATE) for run in runs]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else _idle(after),
            cursor=write_cursor(after),
        )

    return late_data


def _runs(
    network: str, ranges: Iterable[DayRange], state: BackfillState, newest_pull: int
) -> Iterator[RequestedRun]:
    """A run a range; its version makes a request after another pull another one."""
    for days in ranges:
        times = state.attempts[days.first.isoformat()].times
        job = "daily" if days.reason.kind is Kind.NOT_AVERAGED else "readings"
        yield RequestedRun(
            f"{network}_{job}",
            days.first.isoformat(),
            days.last.isoformat(),
            f"{NAME}-{days.reason}-{newest_pull}-{times}",
        )


def _idle(states: Mapping[str, BackfillState]) -> str:
    waiting = sum(len(state.attempts) - len(state.abandoned) for state in states.values())
    abandoned = [f"{name} {day}" for name, state in states.items() for day in state.abandoned]
    reason = f"{waiting} days are being waited for." if waiting else "Nothing is late."
    return f"{reason} Given up: {', '.join(abandoned)}." if abandoned else reason


def abandoned_days(context: dg.SensorEvaluationContext) -> list[AbandonedDay] | None:
    """The days that `late_data` has given up, by its cursor; None before its first tick."""
    for state in context.instance.all_instigator_state():
        cursor = getattr(state.instigator_data, "cursor", None)
        if state.instigator_name == NAME and cursor:
            return [
                AbandonedDay(network, date.fromisoformat(day), reason)
                for network, kept in read_cursor(cursor, dict[str, BackfillState]).items()
                for day, reason in kept.abandoned.items()
            ]
    return None
