"""The same work asked for twice: it is done once or twice, and looks as if done once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl

from aq_sandbox.server import RunningSandbox
from tests.patience import PATIENCE_S
from tests.system.faults.conftest import (
    COMMAND,
    NOW,
    READINGS,
    At,
    differences,
    tables,
    with_stations,
)
from tests.system.integration.harness import Installation
from tests.unit.sensors.conftest import Plant


def test_two_overlapping_backfills_of_the_same_range(
    undisturbed: dict[str, pl.DataFrame], fresh: Installation
) -> None:
    with fresh.begin(*COMMAND) as one, fresh.begin(*COMMAND) as other:
        said = [process.communicate(timeout=PATIENCE_S) for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), said
    assert differences(tables(fresh), undisturbed) == {}


def test_the_same_sensor_tick_delivered_twice(
    tmp_path: Path, sandbox: RunningSandbox, at_work: At
) -> None:
    """As after a daemon that died before it could note the new cursor."""
    found = {}
    for name, times in (("twice", 2), ("once", 1)):
        installation = with_stations(tmp_path / name, sandbox)
        with at_work(installation, lambda: NOW) as work:
            plant = Plant(work.services, work.runner.instance, sandbox)
            ticks = [plant.tick("airqino_new_readings", keep=False) for _ in range(times)]
            assert len({tick.cursor for tick in ticks}) == 1
            # Dagster launches a run key once.
            assert len({request.run_key for tick in ticks for request in tick.requests}) == 1
            # Where it does so twice nevertheless, the second run changes nothing.
            for tick in ticks:
                (request,) = tick.requests
                assert plant.run(request).success
            days = sorted(plant.days("hourly_readings"))
            assert str((NOW - timedelta(hours=2)).date()) in days
            averages = plant.definitions.resolve_job_def("airqino_daily")
            for day in days:
                assert averages.execute_in_process(
                    instance=work.runner.instance, partition_key=day
                ).success
            found[name] = tables(installation, READINGS)
            assert len(work.answers()) == len({answer.url for answer in work.answers()})
    assert len(found["once"]["hourly_readings"]) > 0
    assert differences(found["twice"], found["once"]) == {}
