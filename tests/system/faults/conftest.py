"""Every fault of a bad day, and the tables as if it had not been one.

One installation does its work undisturbed (`undisturbed`); each test has another do the same work
against the same readings, disturbs it, lets it recover, and compares every table row for row.

==============================================  ============================================
fault                                           test
==============================================  ============================================
429 with Retry-After, 500s, timeouts,           `test_network_faults.py`: those that pass and
connection resets, truncated JSON,              those that outlast the retries, for one
HTML error pages                                station and for all
a network down for six hours                    `test_time_faults.py`
one network down, one busy, one with another    `test_four_networks.py`
form, one well
an answer revised later                         `test_time_faults.py`
clock stepping back                             `test_time_faults.py`; every order of steps in
                                                `tests/unit/resources/test_raw_pulls.py`
daemon killed mid-run                           `test_worker_faults.py`
run worker killed mid-write, ten moments        `test_worker_faults.py` (the run launcher's);
                                                `test_kill.py` (that of `aq backfill`, eight)
S3 refusing writes for a minute                 `test_storage_faults.py`
Postgres restarted mid-run                      `test_storage_faults.py`
disk full                                       `test_storage_faults.py`
two overlapping backfills of the same range     `test_overlap.py`
the same sensor tick delivered twice            `test_overlap.py`
files cut, changed or lost on disk              `test_damaged_files.py`
any of it, as a number decides                  `test_simulation.py`
==============================================  ============================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from aq_platform.definitions import build_defs
from aq_platform.runs import Runner, RunResult
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawAnswer, RawPullStore
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.system.integration.harness import Installation

STATIONS = ["283164601", "283181971", "283249436"]
FIRST, LAST = date(2025, 6, 5), date(2025, 6, 8)
DAYS = (str(FIRST), str(LAST))
# Long after the days, so that the network has corrected all it will.
NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)
COMMAND = ("backfill", "airqino", "--start", DAYS[0], "--end", DAYS[1], "--forecasts")
READINGS = ("stations", "hourly_readings", "daily_averages")
TABLES = (*READINGS, "forecasts")


def with_stations(folder: Path, sandbox: RunningSandbox, **settings: str) -> Installation:
    """An installation for the sandbox's stations that has done nothing yet."""
    # One of them off UTC, so that its local days are not the partitions'.
    entry = {
        "start_date": DAYS[0],
        "stations": STATIONS,
        "overrides": {STATIONS[1]: {"timezone": "Asia/Kolkata"}},
    }
    return (
        Installation(folder)
        .with_networks(airqino=entry)
        .with_settings(**sandbox.environment, **settings)
    )


def differences(
    found: Mapping[str, pl.DataFrame], expected: Mapping[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """By table that differs, the rows that one side alone has."""
    different = {}
    for name, rows in found.items():
        if not rows.equals(expected[name]):
            sides = [
                side.with_columns(pl.lit(label).alias("only_in"))
                for side, label in ((rows, "found"), (expected[name], "expected"))
            ]
            keys = rows.columns
            different[name] = pl.concat(sides).filter(pl.struct(keys).is_unique())

    return different


def tables(installation: Installation, names: tuple[str, ...] = TABLES) -> dict[str, pl.DataFrame]:
    """The installation's tables without the times of work."""
    return {name: installation.table(name) for name in names}


@dataclass
class AtWork:
    """The platform of an installation within this process, and what its waits would have been."""

    services: Services
    runner: Runner
    waits: list[float] = field(default_factory=list)

    def backfill(
        self, first: date = FIRST, last: date = LAST, *, forecasts: bool = False
    ) -> list[RunResult]:
        """As `aq backfill`."""
        config = self.services.networks["airqino"]
        return list(self.runner.backfill(config, first, last, forecasts=forecasts))

    def refresh(self) -> list[RunResult]:
        """As `aq refresh`."""
        return list(self.runner.refresh(self.services.networks["airqino"]))

    def answers(self) -> list[RawAnswer]:
        """Every stored answer."""
        pulls = RawPullStore(self.services.object_store, "airqino")
        folders = pulls.store.folders(pulls.root)
        return [answer for folder in folders for answer in pulls.read(folder)]


At = Callable[..., AbstractContextManager[AtWork]]


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> At:
    """Opens an installation in this process; retries there do not wait, but say how long."""

    @contextmanager
    def opened(
        installation: Installation, now: Callable[[], datetime] | None = None
    ) -> Iterator[AtWork]:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("AQ_", "AWS_"))]:
                patch.delenv(name)
            for name, value in installation.environment.items():
                patch.setenv(name, value)
            with (
                closing(Services.from_environment(now)) as services,
                dg.DagsterInstance.ephemeral() as instance,
            ):
                work = AtWork(services, Runner(services, build_defs(services), instance))
                client = services.client("airqino")
                client._http._retrying.sleep = work.waits.append  # type: ignore[attr-defined]
                yield work

    return opened


@pytest.fixture(scope="session")
def _calm_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(now=NOW)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_calm_sandbox: RunningSandbox) -> RunningSandbox:
    _calm_sandbox.reset()
    return _calm_sandbox


@pytest.fixture(scope="session")
def undisturbed(
    _calm_sandbox: RunningSandbox, once: Callable[[str, Callable[[Path], None]], Path]
) -> dict[str, pl.DataFrame]:
    """The tables of an installation to which nothing happened, by the real command."""

    def make(folder: Path) -> None:
        _calm_sandbox.reset()
        installation = with_stations(folder, _calm_sandbox)
        installation.succeed(*COMMAND)

    # Where the tables are is the same for every worker's sandbox.
    found = tables(Installation(once("undisturbed", make)))
    hours = 24 * ((LAST - FIRST).days + 1)
    assert len(found["forecasts"]) == hours * len(STATIONS) * 2 * 2
    assert len(found["daily_averages"]) == hours // 24 * len(STATIONS) * 7
    assert len(found["hourly_readings"]) > 0.8 * hours * len(STATIONS) * 7
    return found


@pytest.fixture
def fresh(sandbox: RunningSandbox, tmp_path: Path) -> Installation:
    """An installation that has done nothing yet."""
    return with_stations(tmp_path, sandbox)
