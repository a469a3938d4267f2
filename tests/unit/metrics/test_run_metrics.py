"""Runs are counted once each, as they end."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from aq_platform.metrics.runs import FIRST_LOOK, OVERLAP, RunMetrics


@dg.op
def step(context: dg.OpExecutionContext) -> None:
    if context.run.tags.get("fails"):
        raise ValueError("as asked")


@dg.job
def work() -> None:
    step()


class Watched(Collector):
    """`RunMetrics` as Prometheus sees it, with a clock that the test sets."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.offset = 0.0
        self.metrics = RunMetrics(instance, lambda: time.time() + self.offset)
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        return self.metrics.measure()

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def ended(self, status: str) -> float | None:
        return self("aq_runs_finished_total", job_name="work", status=status)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def run(instance: dg.DagsterInstance, **tags: str) -> str:
    done = work.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    return done.run_id


def test_runs_are_counted_once_by_how_they_ended(instance: dg.DagsterInstance) -> None:
    watched = Watched(instance)
    assert watched.ended("SUCCESS") is None
    run(instance)
    run(instance, fails="yes")
    for _ in range(3):
        assert (watched.ended("SUCCESS"), watched.ended("FAILURE")) == (1.0, 1.0)
    assert watched("aq_run_duration_seconds_count", job_name="work") == 2.0
    run(instance)
    assert watched.ended("SUCCESS") == 2.0
    # There from the start, so that a rate sees the first one too.
    assert watched.ended("CANCELED") == 0.0


def test_a_tag_on_an_old_run_counts_it_no_second_time(instance: dg.DagsterInstance) -> None:
    watched = Watched(instance)
    run_id = run(instance)
    assert watched.ended("SUCCESS") == 1.0
    watched.offset = 3 * OVERLAP.total_seconds()
    assert watched.ended("SUCCESS") == 1.0
    instance.add_run_tags(run_id, {"seen": "yes"})
    assert watched.ended("SUCCESS") == 1.0


def test_what_ended_before_is_known_and_not_counted(instance: dg.DagsterInstance) -> None:
    run(instance, fails="yes")
    watched = Watched(instance)
    assert watched.ended("FAILURE") == 0.0
    failed = watched("aq_job_last_end_timestamp_seconds", job_name="work", status="FAILURE")
    succeeded = watched("aq_job_last_end_timestamp_seconds", job_name="work", status="SUCCESS")
    assert failed
    assert succeeded == 0.0
    run(instance)
    later = watched("aq_job_last_end_timestamp_seconds", job_name="work", status="SUCCESS")
    assert later
    assert later > failed


def test_history_of_long_ago_is_not_read(instance: dg.DagsterInstance) -> None:
    run(instance)
    metrics = RunMetrics(instance, lambda: time.time() + 2 * FIRST_LOOK.total_seconds())
    assert not [s for family in metrics.measure() for s in family.samples if "job_name" in s.labels]


def test_waiting_runs_are_there_by_state_and_age(instance: dg.DagsterInstance) -> None:
    watched = Watched(instance)
    place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("air_quality"), "__repository__")
    created = instance.create_run_for_job(
        work, status=dg.DagsterRunStatus.QUEUED, remote_job_origin=RemoteJobOrigin(place, "work")
    )
    watched.offset = 90.0
    assert watched("aq_runs", job_name="work", status="QUEUED") == 1.0
    waited = watched("aq_run_queue_seconds")
    assert waited is not None
    assert waited >= 90.0
    instance.report_run_canceled(created)
    assert watched("aq_runs", job_name="work", status="QUEUED") == 0.0
    assert watched("aq_run_queue_seconds") == 0.0
