"""``late_data``: days that are missing, failed or due for another look are brought in again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import msgspec

from aq_assets.raw_pulls import PULLED_AT, UNANSWERED
from aq_assets.run_partitions import partition_window
from aq_resources.network_settings import NetworkConfig
from aq_resources.platform import Platform
from aq_science.windows import DAY, midnight
from aq_sensors.asks import Ask, Instant
from aq_sensors.incidents import GivenUp
from aq_sensors.shell import (
    UNFINISHED,
    Jobs,
    Priority,
    read_cursor,
    run_request,
    switched_on,
    write_cursor,
)

NAME = "late_data"
TICK_SECONDS = 60
# After each time a day was asked for: a bad moment passes soon, an outage within hours.
WAITS = (timedelta(minutes=10), timedelta(hours=6), timedelta(minutes=10))
ATTEMPTS = len(WAITS)
# Days are looked after for a week longer than the last visit falls due: the platform or the network
# may be down on that very day.
GRACE_DAYS = 7
# The averages follow the readings within a minute or so; later than this their run has failed.
AVERAGES_WITHIN = timedelta(hours=1)
MISSING, FAILED, UNANSWERED_REASON = "missing", "failed", "unanswered"
NOT_AVERAGED = "not_averaged"


@dataclass(frozen=True)
class DayState:
    """What is known of a day: when it was last pulled, and how far that has come."""

    pulled_at: datetime | None = None
    unanswered: int = 0
    cleaned: bool = False
    averaged: bool = True
    # Storage id of the last pull: another pull makes the next request another one.
    version: int = 0


class Tried(msgspec.Struct, frozen=True):
    """How often a day was asked for, for one reason, and when last."""

    reason: str
    times: int
    at: Instant


class Late(msgspec.Struct, frozen=True):
    """One network's part of the cursor, by ISO day."""

    tried: dict[str, Tried] = {}

    @property
    def given_up(self) -> dict[str, str]:
        """Days that were asked for as often as is sensible, with the reason."""
        return {day: one.reason for day, one in self.tried.items() if one.times > ATTEMPTS}


def reach(revisit_days: tuple[int, ...]) -> int:
    """How many days back days are looked after."""
    return max(revisit_days, default=0) + 1 + GRACE_DAYS


def wanted(day: date, state: DayState, now: datetime, revisit_days: tuple[int, ...]) -> str:
    """Why the day should be pulled again; empty where it should not."""
    ended = midnight(day) + DAY
    # A day that was last pulled before its end lacks hours; `new_readings` is first to see to it.
    if state.pulled_at is None or state.pulled_at < ended <= now - DAY:
        return MISSING
    if not state.cleaned:
        return FAILED
    # Before the stations that do not answer: one that is down for weeks keeps no other from theirs.
    due = [n for n in revisit_days if state.pulled_at < ended + n * DAY <= now]
    if due:
        return f"revisit_{max(due)}"
    if state.unanswered:
        return UNANSWERED_REASON
    return "" if state.averaged or now < state.pulled_at + AVERAGES_WITHIN else NOT_AVERAGED


def decide_late_data(
    late: Late,
    days: Mapping[date, DayState],
    busy: frozenset[date],
    now: datetime,
    *,
    revisit_days: tuple[int, ...],
    limit: int,
) -> tuple[Late, list[tuple[date, date, str]]]:
    """The new state, and the ranges to pull with their reason: at most ``limit`` days.

    Oldest first; consecutive days with one reason go together. A day asked for in vain is asked
    for again after ten minutes and after six hours, alone, so that it cannot sink others; after the
    third time it is given up until another reason comes up or somebody pulls it. ``busy`` days are
    being worked on.
    """
    tried: dict[str, Tried] = {}
    chosen: list[tuple[date, str, int]] = []
    for day in sorted(days):
        reason = wanted(day, days[day], now, revisit_days)
        if not reason:
            continue
        before = late.tried.get(day.isoformat())
        if before is not None and before.reason != reason:
            before = None
        if before is not None:
            tried[day.isoformat()] = before
        times = before.times if before else 0
        if day in busy or times > ATTEMPTS:
            continue
        # A clock that was set back makes nobody wait longer.
        if before is not None and before.at <= now < before.at + WAITS[times - 1]:
            continue
        if times == ATTEMPTS:
            # Its last chance has passed as well: from now on it is reported.
            tried[day.isoformat()] = Tried(reason, times + 1, now)
        elif len(chosen) < limit:
            tried[day.isoformat()] = Tried(reason, times + 1, now)
            chosen.append((day, reason, times))
    return Late(tried), _ranges(chosen)


def _ranges(chosen: Iterable[tuple[date, str, int]]) -> list[tuple[date, date, str]]:
    ranges: list[tuple[date, date, str]] = []
    alone = True
    for day, reason, times in chosen:
        if ranges and not times and not alone:
            first, last, why = ranges[-1]
            if last + DAY == day and why == reason:
                ranges[-1] = (first, day, reason)
                continue
        ranges.append((day, day, reason))
        alone = times > 0
    return ranges


def build_late_data(platform: Platform, jobs: Jobs) -> dg.SensorDefinition:
    """One sensor for every network: it asks Dagster's records alone."""
    settings = platform.settings

    @dg.sensor(
        name=NAME,
        jobs=[jobs[f"{name}_{job}"] for name in platform.networks for job in ("readings", "daily")],
        minimum_interval_seconds=TICK_SECONDS,
        default_status=switched_on(platform),
        description=(
            "Days of the last weeks that are missing, failed or due for another look "
            f"({', '.join(map(str, settings.revisit_days))} days after they ended) are pulled "
            "again, oldest first; those whose averages failed are averaged again."
        ),
    )
    def late_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = platform.now()
        places = read_cursor(context.cursor, dict[str, Late])
        unfinished = context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        requests: list[dg.RunRequest] = []
        after: dict[str, Late] = {}
        for name, config in platform.networks.items():
            days = day_states(context.instance, config, now, settings.revisit_days)
            late, ranges = decide_late_data(
                places.get(name, Late()),
                days,
                busy_days(unfinished, name),
                now,
                revisit_days=settings.revisit_days,
                limit=settings.late_days_per_tick,
            )
            after[name] = late
            for first, last, reason in ranges:
                times = late.tried[first.isoformat()].times
                newest = max(state.version for state in days.values())
                version = f"late_data-{reason}-{newest}-{times}"
                job = f"{name}_{'daily' if reason == NOT_AVERAGED else 'readings'}"
                ask = Ask(job, first.isoformat(), last.isoformat(), version)
                requests.append(run_request(ask, name, Priority.LATE))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else _idle(after),
            cursor=write_cursor(after),
        )

    return late_data


def given_up_days(context: dg.SensorEvaluationContext) -> list[GivenUp] | None:
    """The days that `late_data` has given up, by its cursor; None before its first tick."""
    for state in context.instance.all_instigator_state():
        cursor = getattr(state.instigator_data, "cursor", None)
        if state.instigator_name == NAME and cursor:
            return [
                GivenUp(network, date.fromisoformat(day), reason)
                for network, late in read_cursor(cursor, dict[str, Late]).items()
                for day, reason in late.given_up.items()
            ]
    return None


def _idle(places: Mapping[str, Late]) -> str:
    waiting = sum(len(late.tried) - len(late.given_up) for late in places.values())
    given_up = [f"{name} {day}" for name, late in places.items() for day in late.given_up]
    reason = f"{waiting} days are being waited for." if waiting else "Nothing is late."
    return f"{reason} Given up: {', '.join(given_up)}." if given_up else reason


def day_states(
    instance: dg.DagsterInstance,
    config: NetworkConfig,
    now: datetime,
    revisit_days: tuple[int, ...],
) -> dict[date, DayState]:
    """The state of every finished day that may still be wanted, by Dagster's event log."""
    days = [now.date() - n * DAY for n in range(1, reach(revisit_days) + 1)]
    keys = {day.isoformat() for day in days if day >= config.start_date}
    raw = dg.AssetKey([config.name, "raw_pulls"])
    pulled = _newest_by_day(instance, raw, keys)
    cleaned = _newest_by_day(instance, dg.AssetKey([config.name, "hourly_readings"]), keys)
    averaged = _newest_by_day(instance, dg.AssetKey([config.name, "daily_averages"]), keys)
    found: dict[int, Mapping[str, dg.MetadataValue]] = {}
    if pulled:
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(raw, storage_ids=list(pulled.values())), limit=len(pulled)
        )
        for record in records.records:
            if record.asset_materialization is not None:
                found[record.storage_id] = record.asset_materialization.metadata
    states = {}
    for key in keys:
        version = pulled.get(key, 0)
        metadata = found.get(version, {})
        states[date.fromisoformat(key)] = DayState(
            _instant(metadata.get(PULLED_AT)) if version else None,
            int(_number(metadata.get(UNANSWERED))),
            cleaned.get(key, 0) > version,
            averaged.get(key, 0) > cleaned.get(key, 0),
            version,
        )
    return states


def _newest_by_day(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: set[str]
) -> Mapping[str, int]:
    return instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, partitions
    )


def _instant(value: dg.MetadataValue | None) -> datetime:
    """When the day was pulled; long ago for a pull recorded before that was noted."""
    return datetime.fromtimestamp(_number(value), UTC)


def _number(value: dg.MetadataValue | None) -> float:
    return float(value.value) if isinstance(value, _NUMBERS) and value.value is not None else 0.0


_NUMBERS = (dg.FloatMetadataValue, dg.IntMetadataValue)


def busy_days(runs: Iterable[dg.DagsterRun], network: str) -> frozenset[date]:
    """Days of a network that unfinished runs pull or clean, whoever started them."""
    jobs = {f"{network}_{job}" for job in ("readings", "pull", "refresh")}
    assets = {dg.AssetKey([network, name]) for name in ("raw_pulls", "hourly_readings")}
    days: set[date] = set()
    for run in runs:
        if run.job_name not in jobs and not assets & (run.asset_selection or frozenset()):
            continue
        if window := partition_window(run.tags):
            days.update(window.dates)
    return frozenset(days)
