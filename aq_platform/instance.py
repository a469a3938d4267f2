"""The Dagster instance that the command, the webserver and the daemon share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from aq_platform.processes import gone, writing
from aq_resources.project import PROJECT_ROOT
from aq_resources.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from aq_resources.network_settings import NetworkConfig

# Which process executes a run that `aq` started. The daemon notices its death too, but runs not
# everywhere, and takes minutes.
PROCESS_TAG = "aq/process"

# Events of a range's partitions go to the event log this many at a time.
BATCH_SIZE = 500

# The event log that stores batches as batches. It needs a DAGSTER_HOME to be in, which
# `dagster dev` has none of: so it is not in the project's own dagster.yaml.
EVENT_LOG = """
event_log_storage:
  module: aq_resources.dagster_storage.event_log
  class: BatchingSqliteEventLogStorage
  config: {base_dir: {env: DAGSTER_HOME}}
"""


def prepare_home(settings: Settings) -> Path:
    """Make DAGSTER_HOME ready and name it in the environment; an operator's own is left alone."""
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))
    given = os.environ.get("DAGSTER_HOME")
    if given:
        return Path(given)
    home = settings.dagster_home
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        instance = (PROJECT_ROOT / "dagster.yaml").read_text("utf-8")
        (home / "dagster.yaml").write_text(instance + EVENT_LOG, "utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance, after marking as failed what a killed `aq` left behind as running."""
    home = prepare_home(settings)
    import dagster as dg

    with _opening_lock(home, settings):
        opened = dg.DagsterInstance.get()
    with opened as instance:
        _fail_orphans(instance, settings.home)
        yield instance


@contextmanager
def _opening_lock(home: Path, settings: Settings) -> Iterator[None]:
    """The first to open a home makes its SQLite databases: Dagster cannot do that twice at once."""
    if home != settings.dagster_home:
        yield
        return
    with FileLock(home / "opening.lock"):
        yield


def set_pool_limits(instance: dg.DagsterInstance, networks: Iterable[NetworkConfig]) -> None:
    """Bound the queue's runs that ask a network at once; the pool has the network's name.

    Set before the daemon starts: it takes a pool without a limit for an unbounded one.
    """
    for config in networks:
        instance.event_log_storage.set_concurrency_slots(config.name, config.concurrent_pulls)


def _fail_orphans(instance: dg.DagsterInstance, home: Path) -> None:
    import dagster as dg

    # A run is recorded, then begun: a process may end in between too.
    unfinished = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    for identity in gone(home):
        own = dg.RunsFilter(statuses=unfinished, tags={PROCESS_TAG: identity})
        for run in instance.get_runs(own):
            instance.report_run_failed(
                run, "The process that executed this run ended before the run did. Run it again."
            )
