"""What the sensors' shells share: cursors, run requests, and questions to Dagster's instance."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

import dagster as dg
import msgspec

from aq_assets.run_partitions import partition_or_range
from aq_resources.failures import TransientFailure
from aq_resources.platform import Platform
from aq_sensors.asks import Ask, Outcome

RUN_KEY = "dagster/run_key"
PRIORITY = "dagster/priority"
WILL_RETRY = "dagster/will_retry"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

# By name, as `dg.define_asset_job` makes them: Dagster does not export their type.
Jobs = Mapping[str, Any]

Cursor = TypeVar("Cursor")
Answer = TypeVar("Answer")


def read_cursor(text: str | None, kind: type[Cursor]) -> Cursor:
    """The sensor's place; a new one where there is none or an older version wrote it."""
    if text:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError:
            return kind()
    return kind()


def write_cursor(place: object) -> str:
    """The place as the text that Dagster keeps."""
    return msgspec.json.encode(place).decode()


def switched_on(platform: Platform) -> dg.DefaultSensorStatus:
    """How a sensor begins; afterwards its switch in the UI counts."""
    return (
        dg.DefaultSensorStatus.RUNNING
        if platform.settings.sensors
        else dg.DefaultSensorStatus.STOPPED
    )


class Priority(enum.IntEnum):
    """Who goes first where runs wait: what people wait for, then what can wait."""

    LATE = -1
    # 0 is that of everything else.
    HOURLY = 1


def run_request(ask: Ask, network: str, priority: Priority = Priority.HOURLY) -> dg.RunRequest:
    """The run that an ask stands for: one run, however many partitions."""
    key, tags = partition_or_range(ask.first, ask.last)
    tags |= {"network": network, PRIORITY: str(int(priority))}
    return dg.RunRequest(run_key=ask.run_key, job_name=ask.job, partition_key=key, tags=tags)


def requested(asks: Iterable[Ask], network: str, place: object, otherwise: str) -> dg.SensorResult:
    """A tick's outcome: the runs asked for, or the reason why there are none; and the new place."""
    requests = [run_request(ask, network) for ask in asks]
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else otherwise,
        cursor=write_cursor(place),
    )


def outcomes(instance: dg.DagsterInstance, asks: Iterable[Ask]) -> dict[str, Outcome]:
    """What became of the asks' runs; nothing for one that has no run."""
    found = {}
    for ask in asks:
        for run in instance.get_runs(dg.RunsFilter(tags={RUN_KEY: ask.run_key}), limit=1):
            found[ask.run_key] = _outcome(run)
    return found


def _outcome(run: dg.DagsterRun) -> Outcome:
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return Outcome.DONE
    if run.status == dg.DagsterRunStatus.FAILURE:
        # A crashed worker is started again by Dagster itself.
        again = run.tags.get(WILL_RETRY) == "true"
        return Outcome.UNDER_WAY if again else Outcome.FAILED
    # Somebody who cancels a run does not want it back.
    return Outcome.DONE if run.status == dg.DagsterRunStatus.CANCELED else Outcome.UNDER_WAY


def within(seconds: float, ask: Callable[[], Answer]) -> Answer:
    """The answer, or `TransientFailure` once the time is up: a tick must end, whatever hangs."""
    future: Future[Answer] = Future()

    def work() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:  # noqa: BLE001  # raised again by future.result
            future.set_exception(error)

    threading.Thread(target=work, name="question", daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except FutureTimeoutError:
        raise TransientFailure(f"no answer within {seconds:g} s") from None


def materialized(instance: dg.DagsterInstance, key: dg.AssetKey) -> tuple[int, str]:
    """Storage id and run of the asset's newest materialization; (0, "") without any."""
    for record in instance.get_asset_records([key]):
        newest = record.asset_entry.last_materialization_record
        if newest is not None:
            return newest.storage_id, newest.run_id
    return 0, ""


def run_status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    """The run's status; success for one that was pruned, since only finished runs are."""
    run = instance.get_run_by_id(run_id)
    return dg.DagsterRunStatus.SUCCESS if run is None else run.status
