"""Runs whose process is gone are ended: the process of a run counts up in Dagster's storage.

Dagster's own launcher learns of a dead worker from the code server that started it, and from
no one once that server, or its watching thread, has ended too. A run of the command has no such
watcher at all, and in containers no process can look at another's. A count that stands still says
it of all of them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg
from dagster._config import UserConfigSchema
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import KeyValueStoreTable
from dagster._serdes import ConfigurableClassData

from aq_resources.dagster_storage.run_traces import traced
from aq_resources.logs import logs_of_run

_LOG = logging.getLogger("aq.runs")
_BEAT_SECONDS = 15.0
_PATIENCE_SECONDS = 120
_LOOKS = 3
_BEATS = "aq/beats/"


@contextmanager
def beating(
    instance: dg.DagsterInstance, run_id: str, seconds: float = _BEAT_SECONDS
) -> Iterator[None]:
    """Count up under the run's name until the block ends; a killed process leaves its last count.

    Args:
        instance: Where the count is kept. An ephemeral one has no watcher and keeps none.
        run_id: The run that this process executes.
        seconds: Pause between two counts.

    Yields:
        Nothing.
    """
    if instance.is_ephemeral:
        yield
        return
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(instance, run_id, seconds, ended), daemon=True)
    beats.start()
    try:
        yield
    finally:
        ended.set()
        beats.join()
        _forget(instance, run_id)


def _beat(
    instance: dg.DagsterInstance, run_id: str, seconds: float, ended: threading.Event
) -> None:
    count = 0
    while True:
        try:
            instance.daemon_cursor_storage.set_cursor_values({_key(run_id): str(count)})
        except Exception as error:  # noqa: BLE001 (each storage has its own, and all mean: later)
            # The storage is away for a while: no one can look at the count meanwhile either.
            _LOG.warning("Run %s could not say that it is alive (%s).", run_id, error)
        count += 1
        if ended.wait(seconds):
            return


def _forget(instance: dg.DagsterInstance, run_id: str) -> None:
    # Dagster's cursors have no removal, and a row a run would stay permanently.
    with cast("SqlRunStorage", instance.run_storage).connect() as connection:
        connection.execute(
            KeyValueStoreTable.delete().where(KeyValueStoreTable.c.key == _key(run_id))
        )


def forget_counts(runs: SqlRunStorage, unfinished: Collection[str]) -> None:
    """Forget the counts of all other runs: those that were killed, and ended by their server."""
    key = KeyValueStoreTable.c.key
    with runs.connect() as connection:
        connection.execute(
            KeyValueStoreTable.delete().where(
                key.startswith(_BEATS), key.not_in([_key(run_id) for run_id in unfinished])
            )
        )


def _key(run_id: str) -> str:
    return _BEATS + run_id


@dataclass(frozen=True)
class _Standstill:
    """A count, since when it has been this, and how often it was looked at."""

    count: str
    since: float
    looks: int = 1


class BeatWatch:
    """Tells a run that works from one whose count stands still.

    Time is the watcher's own, so that no two machines' clocks are compared, and a laptop's sleep
    counts for neither side. A few looks are needed too: after a storage that was away the watcher
    may be sooner than the run.

    Args:
        patience: Seconds that a count may stand still.
        clock: Seconds that only go forward.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._seen: dict[str, _Standstill] = {}

    def is_dead(self, run_id: str, count: str | None) -> bool:
        """Whether the run's process is gone; False for one that never counted."""
        before = self._seen.get(run_id)
        if count is None:
            self._seen.pop(run_id, None)
            return False
        if before is None or before.count != count:
            self._seen[run_id] = _Standstill(count, self._clock())
            return False
        now = self._seen[run_id] = _Standstill(count, before.since, before.looks + 1)
        return now.looks >= _LOOKS and self._clock() - now.since >= self._patience


class HealthCheckedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher; the daemon's monitoring ends its runs when their process is gone.

    Args:
        inst_data: Dagster's own.
        patience_seconds: How long a run may say nothing.
    """

    def __init__(
        self,
        inst_data: ConfigurableClassData | None = None,
        patience_seconds: int = _PATIENCE_SECONDS,
    ) -> None:
        super().__init__(inst_data)
        self._watch = BeatWatch(patience_seconds)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Dagster's hook: the instance file's `config`."""
        return {"patience_seconds": dg.Field(int, default_value=_PATIENCE_SECONDS)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> HealthCheckedRunLauncher:
        """Dagster's hook: a launcher by the instance file."""
        return cls(inst_data, **config_value)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Dagster's hook."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Dagster's hook: called for each run in progress, every `poll_interval_seconds`."""
        key = _key(run.run_id)
        count = self._instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
        if not self._watch.is_dead(run.run_id, count):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        _forget(self._instance, run.run_id)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")


class _BeatingExecutor(InProcessExecutor):
    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        run = plan_context.dagster_run
        with (
            logs_of_run(run.run_id, run.job_name, run.tags),
            beating(plan_context.instance, run.run_id),
        ):
            yield from traced(run, super().execute(plan_context, execution_plan))


def _executor(context: dg.InitExecutorContext) -> _BeatingExecutor:
    config: Mapping[str, Any] = context.executor_config
    retries = RetryMode.from_config(config["retries"])
    return _BeatingExecutor(retries or RetryMode.ENABLED)


BEATING_EXECUTOR = dg.ExecutorDefinition(
    name=dg.in_process_executor.name,
    config_schema=IN_PROC_CONFIG,
    executor_creation_fn=_executor,
    description="All steps in one process, which counts up while it works.",
)
