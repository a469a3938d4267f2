"""A run is alive while its count moves, and dead once it has stood still for long enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.runs import SqlRunStorage

from aq_resources.dagster_storage.run_health import (
    BeatWatch,
    HealthCheckedRunLauncher,
    beating,
    forget_counts,
)

PATIENCE = 120


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def looks(watch: BeatWatch, clock: Clock, pause: float, *counts: str | None) -> list[bool]:
    """What the watch says of one run, looked at after each pause."""
    said = []
    for count in counts:
        clock.now += pause
        said.append(watch.is_dead("run", count))
    return said


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> BeatWatch:
    return BeatWatch(PATIENCE, clock)


def test_a_count_that_stands_still_is_a_dead_run(watch: BeatWatch, clock: Clock) -> None:
    assert looks(watch, clock, 60, "7", "7", "7") == [False, False, True]


def test_a_count_that_moves_is_a_run_at_work(watch: BeatWatch, clock: Clock) -> None:
    assert not any(looks(watch, clock, 60, "1", "1", "2", "2", "3", "3", "4"))


def test_quick_looks_alone_say_nothing(watch: BeatWatch, clock: Clock) -> None:
    assert not any(looks(watch, clock, 1, *["7"] * (PATIENCE - 1)))


def test_after_a_storage_that_was_away_the_run_may_be_the_later_one(
    watch: BeatWatch, clock: Clock
) -> None:
    assert looks(watch, clock, 3600, "7", "7", "8") == [False, False, False]


def test_a_run_that_never_counted_is_not_ours_to_end(watch: BeatWatch, clock: Clock) -> None:
    assert not any(looks(watch, clock, 3600, None, None, None, None))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text(
        "run_launcher: {module: aq_resources.dagster_storage.run_health, "
        "class: HealthCheckedRunLauncher, config: {patience_seconds: 0}}"
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@dg.job
def some_job() -> None: ...


@pytest.mark.server
def test_the_daemons_question_follows_the_count(kept: dg.DagsterInstance) -> None:
    launcher = kept.run_launcher
    assert isinstance(launcher, HealthCheckedRunLauncher)
    run = kept.create_run_for_job(some_job)

    def statuses(number: int) -> list[WorkerStatus]:
        return [launcher.check_run_worker_health(run).status for _ in range(number)]

    assert statuses(4) == [WorkerStatus.RUNNING] * 4
    kept.daemon_cursor_storage.set_cursor_values({f"aq/beats/{run.run_id}": "5"})
    assert statuses(3) == [WorkerStatus.RUNNING] * 2 + [WorkerStatus.NOT_FOUND]
    with beating(kept, run.run_id):
        assert statuses(2) == [WorkerStatus.RUNNING] * 2
    assert kept.daemon_cursor_storage.get_cursor_values({f"aq/beats/{run.run_id}"}) == {}


@pytest.mark.server
def test_a_killed_runs_count_goes_with_the_old_history(kept: dg.DagsterInstance) -> None:
    counts = {f"aq/beats/{run_id}": "5" for run_id in ("killed", "at work")}
    kept.daemon_cursor_storage.set_cursor_values({**counts, "aq/beat": "not a run's"})
    assert isinstance(kept.run_storage, SqlRunStorage)
    forget_counts(kept.run_storage, ["at work"])
    left = kept.daemon_cursor_storage.get_cursor_values({*counts, "aq/beat"})
    assert left == {"aq/beats/at work": "5", "aq/beat": "not a run's"}
