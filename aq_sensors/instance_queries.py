"""What the sensors ask Dagster's instance: what became of runs, what was materialized last."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from aq_sensors.requests import RequestedRun, RunOutcome

RUN_KEY = "dagster/run_key"
WILL_RETRY = "dagster/will_retry"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_outcomes(
    instance: dg.DagsterInstance, pending: Iterable[RequestedRun]
) -> dict[str, RunOutcome]:
    """What became of requested runs, by run key; nothing for one that has no run."""
    found = {}
    for requested in pending:
        for run in instance.get_runs(dg.RunsFilter(tags={RUN_KEY: requested.run_key}), limit=1):
            found[requested.run_key] = _outcome(run)
    return found


def _outcome(run: dg.DagsterRun) -> RunOutcome:
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return RunOutcome.DONE
    if run.status == dg.DagsterRunStatus.FAILURE:
        # A crashed worker is started again by Dagster itself.
        retried = run.tags.get(WILL_RETRY) == "true"
        return RunOutcome.UNDER_WAY if retried else RunOutcome.FAILED
    # Who cancels a run does not want it back.
    canceled = run.status == dg.DagsterRunStatus.CANCELED
    return RunOutcome.DONE if canceled else RunOutcome.UNDER_WAY


def newest_materialization(instance: dg.DagsterInstance, key: dg.AssetKey) -> tuple[int, str]:
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
