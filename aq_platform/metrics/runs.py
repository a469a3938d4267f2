"""Measurements of runs: what waits, what works, what ended how, by Dagster's records.

Only runs that were changed since the last look are read, so that a long history costs nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from aq_resources.metrics.collector import gauge
from aq_sensors.instance_queries import UNFINISHED

FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)
# What the first look reads, so that an upkeep that fails is seen after a restart too.
FIRST_LOOK = timedelta(days=2)
# A run is recorded by the clock of the machine that executed it: looks overlap by so much.
OVERLAP = timedelta(minutes=10)
# Upper bounds of run times, seconds.
BUCKETS = (5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
# Not `job`: that is the name of what Prometheus asks.
JOB_AND_STATUS = ("job_name", "status")
# Runs of one look; the rest follows with the next one.
PAGE = 2000


class RunMetrics:
    """Counts runs as they end."""

    def __init__(
        self, instance: dg.DagsterInstance, clock: Callable[[], float] = time.time
    ) -> None:
        """Reads nothing.

        Args:
            instance: Dagster's, whose records are read.
            clock: Unix time by the machine's clock, as Dagster's records have it.
        """
        self._instance = instance
        self._clock = clock
        self._begun = clock()
        self._looked_to: float | None = None
        # Runs already counted, with when they ended; those of the overlap are kept.
        self._seen: dict[str, float] = {}
        self._ended: Counter[tuple[str, str]] = Counter()
        self._last: dict[tuple[str, str], float] = {}
        self._durations: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def measure(self) -> Iterator[Metric]:
        """Take the numbers now."""
        self._look()
        unfinished = self._instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
        for record in unfinished:
            self._know(record.dagster_run.job_name)
        yield from self._waiting(unfinished)
        yield from self._finished()

    def _look(self) -> None:
        now = self._clock()
        since = now - FIRST_LOOK.total_seconds() if self._looked_to is None else self._looked_to
        records = self._instance.get_run_records(
            dg.RunsFilter(
                statuses=list(FINISHED), updated_after=datetime.fromtimestamp(since, UTC)
            ),
            limit=PAGE,
            order_by="update_timestamp",
            ascending=True,
        )
        for record in records:
            ended = record.end_time or record.update_timestamp.timestamp()
            # A tag that is added to an old run changes it too.
            if record.dagster_run.run_id in self._seen or ended < since:
                continue
            self._seen[record.dagster_run.run_id] = ended
            self._count(record, ended)
        reached = now if len(records) < PAGE else records[-1].update_timestamp.timestamp()
        self._looked_to = reached - OVERLAP.total_seconds()
        self._seen = {run: at for run, at in self._seen.items() if at >= self._looked_to}

    def _know(self, job: str) -> None:
        """A counter has to be there at zero before its first run ends: rates need two samples."""
        for status in FINISHED:
            self._ended.setdefault((job, status.value), 0)
        self._durations.setdefault(job, [0] * (len(BUCKETS) + 1))

    def _count(self, record: dg.RunRecord, ended: float) -> None:
        job, status = record.dagster_run.job_name, record.dagster_run.status.value
        self._know(job)
        self._last[job, status] = max(ended, self._last.get((job, status), 0.0))
        # Those before are history, and would be counted by every process that starts.
        if ended < self._begun:
            return
        self._ended[job, status] += 1
        took = max(0.0, ended - (record.start_time or ended))
        self._seconds[job] = self._seconds.get(job, 0.0) + took
        buckets = self._durations[job]
        for index, bound in enumerate((*BUCKETS, float("inf"))):
            buckets[index] += took <= bound

    def _waiting(self, unfinished: Sequence[dg.RunRecord]) -> Iterator[Metric]:
        runs = gauge("aq_runs", "Runs that have not ended, by state", JOB_AND_STATUS)
        states = Counter(
            (record.dagster_run.job_name, record.dagster_run.status.value) for record in unfinished
        )
        for job in sorted({job for job, _ in self._ended}):
            for status in UNFINISHED:
                runs.add_metric([job, status.value], states[job, status.value])
        waits = [
            self._clock() - record.create_timestamp.timestamp()
            for record in unfinished
            if record.dagster_run.status == dg.DagsterRunStatus.QUEUED
        ]
        oldest = gauge("aq_run_queue_seconds", "How long the oldest queued run has waited")
        oldest.add_metric([], max(waits, default=0.0))
        yield from (runs, oldest)

    def _finished(self) -> Iterator[Metric]:
        ended = CounterMetricFamily(
            "aq_runs_finished",
            "Runs that ended since this process started, by how",
            labels=JOB_AND_STATUS,
        )
        last = gauge(
            "aq_job_last_end_timestamp_seconds",
            f"When a run of the job last ended so, Unix time; 0: not in {FIRST_LOOK.days} days",
            JOB_AND_STATUS,
        )
        for (job, status), count in self._ended.items():
            ended.add_metric([job, status], count)
            last.add_metric([job, status], self._last.get((job, status), 0.0))
        durations = HistogramMetricFamily(
            "aq_run_duration_seconds", "From the start of a run to its end", labels=["job_name"]
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        for job, counts in self._durations.items():
            durations.add_metric(
                [job], list(zip(bounds, counts, strict=True)), self._seconds.get(job, 0.0)
            )
        yield from (ended, last, durations)
