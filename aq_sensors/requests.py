"""Runs that a sensor requests and has not seen done: retried after a failure, a few times."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import msgspec

from aq_assets.partitions import partition_or_range
from aq_sensors.cursors import Instant, write_cursor

ATTEMPTS = 3
FIRST_RETRY = timedelta(minutes=2)
PRIORITY = "dagster/priority"

# By name, as `dg.define_asset_job` makes them: Dagster does not export their type.
Jobs = Mapping[str, Any]


class RunOutcome(enum.Enum):
    """What became of a run."""

    UNDER_WAY = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


class Priority(enum.IntEnum):
    """Which runs go first where runs wait: those of the hour, then others, then late days."""

    LATE = -1
    # 0 is that of everything else.
    HOURLY = 1


class RequestedRun(msgspec.Struct, frozen=True):
    """A run over the partitions `first` to `last` of a job.

    `version` is what made it necessary: Dagster never forgets a run key, so the same partitions
    requested for another reason need another key.
    """

    job: str
    first: str
    last: str
    version: str
    attempt: int = 1
    retry_at: Instant | None = None

    @property
    def run_key(self) -> str:
        return f"{self.job}:{self.first}..{self.last}:{self.version}:{self.attempt}"


class Reconciled(msgspec.Struct, frozen=True):
    """Earlier requests: `pending` are still watched, `due` of them are to be requested now."""

    pending: tuple[RequestedRun, ...] = ()
    due: tuple[RequestedRun, ...] = ()
    abandoned: tuple[RequestedRun, ...] = ()


def reconcile(
    pending: Iterable[RequestedRun], outcomes: Mapping[str, RunOutcome], now: datetime
) -> Reconciled:
    """What to do about earlier requests.

    A failure is retried after 2, then 4 minutes, and abandoned after the third: the alert has been
    raised by then, and `late_data` comes back to the day. A request without a run has failed too:
    a tick has made its runs before the next one begins, so the run was lost or deleted.

    Args:
        pending: The requests that were still watched at the last tick.
        outcomes: What became of their runs, by run key.
        now: The time of this tick, UTC.

    Returns:
        The requests to watch, to repeat now, and those that are abandoned.
    """
    watched: list[RequestedRun] = []
    due: list[RequestedRun] = []
    abandoned: list[RequestedRun] = []
    for run in pending:
        outcome = outcomes.get(run.run_key, RunOutcome.FAILED)
        if outcome is RunOutcome.DONE:
            continue
        delay = FIRST_RETRY * 2 ** (run.attempt - 1)
        if outcome is RunOutcome.UNDER_WAY:
            watched.append(run)
        elif run.attempt >= ATTEMPTS:
            abandoned.append(run)
        elif run.retry_at is None:
            watched.append(msgspec.structs.replace(run, retry_at=now + delay))
        elif now < run.retry_at <= now + delay:
            watched.append(run)
        else:
            retried = msgspec.structs.replace(run, attempt=run.attempt + 1, retry_at=None)
            watched.append(retried)
            due.append(retried)
    return Reconciled(tuple(watched), tuple(due), tuple(abandoned))


def run_request(
    run: RequestedRun, network: str, priority: Priority = Priority.HOURLY
) -> dg.RunRequest:
    """One run for Dagster, however many partitions it has.

    Args:
        run: Job, partitions and run key.
        network: The network whose assets it materializes.
        priority: Its place where runs wait.

    Returns:
        The request, with the tags of its partitions, network and priority.
    """
    key, tags = partition_or_range(run.first, run.last)
    tags |= {"network": network, PRIORITY: str(int(priority))}
    return dg.RunRequest(run_key=run.run_key, job_name=run.job, partition_key=key, tags=tags)


def sensor_result(
    runs: Iterable[RequestedRun], network: str, cursor: object, reason: str
) -> dg.SensorResult:
    """What a tick came to.

    Args:
        runs: The runs to request.
        network: The network whose assets they materialize.
        cursor: The new cursor, a `msgspec.Struct`.
        reason: Why nothing is requested; shown where `runs` is empty.

    Returns:
        The requests, or the reason that there are none, and the new cursor.
    """
    requests = [run_request(run, network) for run in runs]
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else reason,
        cursor=write_cursor(cursor),
    )
