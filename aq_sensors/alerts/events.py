"""What Dagster's event log says of runs and checks since the last tick.

Reads by storage id, so that nothing between two ticks is missed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import takewhile

import dagster as dg

from aq_assets.partitions import partition_window
from aq_resources.run_failures import check_detail, step_failure_reason
from aq_sensors.alerts.evidence import CheckEvaluated, Evidence, RunFailed, RunSucceeded
from aq_sensors.alerts.state import AlertState

# Events of each kind that a tick looks at; the next tick goes on where it ended.
PAGE = 100
# A storage id is given before its transaction is over: a lower one may come into sight later.
SETTLE_SECONDS = 10.0
# How long a retry that Dagster has announced is waited for.
RETRY_PATIENCE = timedelta(hours=1)

_READ = (
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
)
_RETRIED_BY = "dagster/auto_retry_run_id"
_STEP_FAILURES = 20
_LOG = logging.getLogger("aq.alerts")


def read_events(
    context: dg.SensorEvaluationContext, state: AlertState, now: datetime
) -> list[Evidence]:
    """What happened since the last tick.

    Args:
        context: The tick, with Dagster's instance and the repository's jobs.
        state: Where the last tick ended; moved on to where this one ends.
        now: The time of this tick, UTC.

    Returns:
        What the events say, in their order.
    """
    instance = context.instance
    entries = _new_entries(instance, state.after or 0)
    if entries:
        state.after = entries[-1][0]
    else:
        # A log that was replaced by an older one would otherwise be waited for.
        newest = instance.event_log_storage.get_maximum_record_id() or 0
        state.after = min(state.after or 0, newest)
    ids = {entry.run_id for _, entry in entries} | set(state.awaited)
    if not ids:
        return []
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=list(ids)))}
    reader = _Reader(context, runs)
    evidence: list[Evidence] = [*_unretried(state, runs, reader, now)]
    for _, entry in entries:
        event = entry.get_dagster_event()
        run = runs.get(entry.run_id)
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evidence += reader.check_evaluated(event, run, entry.run_id)
        elif run is None:
            continue
        elif event.event_type == dg.DagsterEventType.RUN_SUCCESS:
            evidence.append(reader.run_succeeded(run))
        elif run.is_complete_and_waiting_to_retry:
            state.awaited[run.run_id] = now
        elif _RETRIED_BY not in run.tags:
            evidence += reader.run_failed(run, event.message or "")
    return evidence


def _unretried(
    state: AlertState, runs: Mapping[str, dg.DagsterRun], reader: _Reader, now: datetime
) -> Iterator[RunFailed]:
    """Failures of runs that were to be retried and were not; forgets those that were."""
    for run_id, since in list(state.awaited.items()):
        run = runs.get(run_id)
        if run and run.is_complete_and_waiting_to_retry and now - since < RETRY_PATIENCE:
            continue
        del state.awaited[run_id]
        if run and _RETRIED_BY not in run.tags:
            yield from reader.run_failed(run, "It crashed, and Dagster did not retry it.")


def _new_entries(instance: dg.DagsterInstance, after: int) -> list[tuple[int, dg.EventLogEntry]]:
    """Events of the kinds that matter with a higher storage id, in order, at most a page of each.

    The one reader of several kinds that asks the index of SQLite storage, not a file a run.
    """
    read = instance.event_log_storage.get_logs_for_all_runs_by_log_id
    pages = [sorted(read(after, kind, PAGE).items()) for kind in _READ]
    # Beyond the end of a full page its kind is unknown, and the order of kinds matters.
    ends = [page[-1][0] for page in pages if len(page) == PAGE]
    found = sorted((item for page in pages for item in page), key=lambda item: item[0])
    present = time.time()
    return list(
        takewhile(
            lambda item: (
                (not ends or item[0] <= min(ends))
                and not 0 <= present - item[1].timestamp < SETTLE_SECONDS
            ),
            found,
        )
    )


class _Reader:
    """Events as evidence."""

    def __init__(
        self, context: dg.SensorEvaluationContext, runs: Mapping[str, dg.DagsterRun]
    ) -> None:
        self.context = context
        self.runs = runs

    def run_failed(self, run: dg.DagsterRun, message: str) -> Iterator[RunFailed]:
        """Nothing where a blocking check was the cause: the check speaks for itself."""
        records = self.context.instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=_STEP_FAILURES
        ).records
        failures = [record.event_log_entry.get_dagster_event() for record in records]
        named = [set(_error_names(event)) for event in failures]
        if failures and all("DagsterAssetCheckFailedError" in names for names in named):
            return
        selected = self._assets(run)
        steps = {event.step_key for event in failures}
        broken = frozenset(name for name in selected if name.replace("/", "__") in steps)
        reasons = dict.fromkeys(step_failure_reason(event) for event in failures)
        yield RunFailed(
            run.run_id,
            run.job_name,
            broken or selected,
            partition_window(run.tags),
            "; ".join(reasons) or message or "the run's worker died",
            transient=bool(named) and all("TransientFailure" in names for names in named),
        )

    def run_succeeded(self, run: dg.DagsterRun) -> RunSucceeded:
        return RunSucceeded(run.run_id, run.job_name, self._assets(run), partition_window(run.tags))

    def check_evaluated(
        self, event: dg.DagsterEvent, run: dg.DagsterRun | None, run_id: str
    ) -> Iterator[CheckEvaluated]:
        """Nothing for a warning: it is in the log and the UI."""
        check = event.asset_check_evaluation_data
        asset = check.asset_key.to_user_string()
        detail = check.description or check_detail(check)
        if not check.passed and check.severity == dg.AssetCheckSeverity.WARN:
            _LOG.warning("%s: check %s warns. %s", asset, check.check_name, detail)
            return
        window = partition_window(run.tags) if run else None
        yield CheckEvaluated(run_id, asset, check.check_name, check.passed, detail, window)

    def _assets(self, run: dg.DagsterRun) -> frozenset[str]:
        """The assets that the run was to bring: its selection, else its job's."""
        keys: Iterable[dg.AssetKey] = run.asset_selection or ()
        repository = self.context.repository_def
        if not keys and repository is not None and repository.has_job(run.job_name):
            keys = repository.get_job(run.job_name).asset_layer.executable_asset_keys
        return frozenset(key.to_user_string() for key in keys)


def _error_names(event: dg.DagsterEvent) -> Iterator[str]:
    error = event.step_failure_data.error
    while error is not None:
        yield error.cls_name or ""
        error = error.cause
