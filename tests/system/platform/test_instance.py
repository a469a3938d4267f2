"""The instance that `aq` opens: what a killed `aq` left as unfinished is marked failed."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import dagster as dg
import pytest

from aq_platform.instance import PROCESS_TAG, open_instance, prepare_home
from aq_platform.processes import gone, own_identity
from aq_resources.settings import Settings
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, days_ago

UNFINISHED = ("NOT_STARTED", "STARTING", "STARTED")


@dg.op
def nothing() -> None:
    pass


@dg.job
def some_job() -> None:
    nothing()


@pytest.fixture
def settings(
    fresh: Installation, clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    for name, value in fresh.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AQ_HOME", str(fresh.home))
    # Opening the instance sets it; set first, it is put back after the test.
    monkeypatch.setenv("DAGSTER_HOME", "")
    return Settings()


@pytest.fixture
def dead(settings: Settings) -> str:
    """Identity of a process of this home that has ended."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(own_identity, settings.home).result()


def status_after(settings: Settings, status: str, tags: dict[str, str]) -> str:
    """A run's status after the instance has been opened again."""
    # By the storage itself: to open it by the platform's own function is what is tested.
    prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        run = instance.create_run_for_job(some_job, tags=tags, status=dg.DagsterRunStatus(status))
    with open_instance(settings) as instance:
        found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_run_of_a_dead_process_has_failed(settings: Settings, dead: str, status: str) -> None:
    assert status_after(settings, status, {PROCESS_TAG: dead}) == "FAILURE"
    assert list(gone(settings.home)) == []


@pytest.mark.parametrize("status", ["SUCCESS", "CANCELED"])
def test_a_run_that_had_ended_stays_as_it_is(settings: Settings, dead: str, status: str) -> None:
    assert status_after(settings, status, {PROCESS_TAG: dead}) == status


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_run_of_this_process_is_left_alone(settings: Settings, status: str) -> None:
    assert status_after(settings, status, {PROCESS_TAG: own_identity(settings.home)}) == status


@pytest.mark.parametrize(
    "tags", [{PROCESS_TAG: "of-another-machine"}, {}], ids=["elsewhere", "its"]
)
@pytest.mark.parametrize("status", UNFINISHED)
def test_a_run_of_anybody_else_is_left_alone(
    settings: Settings, dead: str, status: str, tags: dict[str, str]
) -> None:
    assert status_after(settings, status, tags) == status


def pool_limits(installation: Installation) -> dict[str, int]:
    with installation.instance() as instance:
        return {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}


def test_prepare_sets_every_pools_limit(fresh: Installation) -> None:
    assert "airqino: 2 pulls at once" in fresh.succeed("prepare").stdout
    assert pool_limits(fresh) == {"airqino": 2}
    entry = {"start_date": days_ago(30), "stations": STATIONS, "concurrent_pulls": 1}
    fresh.with_networks(airqino=entry).succeed("prepare")
    assert pool_limits(fresh) == {"airqino": 1}


def test_the_command_waits_for_no_pool(fresh: Installation) -> None:
    fresh.succeed("prepare")
    with fresh.instance() as instance:
        instance.event_log_storage.set_concurrency_slots("airqino", 0)
    day = days_ago(2)
    fresh.backfill(day, day)
    assert set(fresh.files("raw_pulls")) != set()
    assert pool_limits(fresh) == {"airqino": 0}
