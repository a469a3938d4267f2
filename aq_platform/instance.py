"""The Dagster instance that the command, the webserver and the daemon share."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from aq_resources.failures import SettingsError
from aq_resources.network_settings import PROJECT_ROOT, NetworkConfig
from aq_resources.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

# Which process executes a run that `aq` started: nobody else would notice its death.
PROCESS_TAG = "aq/process"

# Events of a range's partitions go to the event log this many at a time.
BATCH_SIZE = 500


def prepare_home(settings: Settings) -> Path:
    """Make DAGSTER_HOME ready and name it in the environment; an operator's own is left alone."""
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))
    given = os.environ.get("DAGSTER_HOME")
    if given:
        return Path(given)
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "dagster.yaml")
    except OSError as error:
        raise SettingsError(
            f"{home} cannot be written ({error.strerror}). Point AQ_HOME at a folder that can."
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance, after marking as failed what a killed `aq` left behind as running."""
    home = prepare_home(settings)
    import dagster as dg

    with _alone(home, settings):
        opened = dg.DagsterInstance.get()
    with opened as instance:
        _end_orphans(instance)
        yield instance


@contextmanager
def _alone(home: Path, settings: Settings) -> Iterator[None]:
    """Whoever opens a new home makes its SQLite databases: Dagster cannot do that twice at once."""
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


def process_tag() -> str:
    """Identity of this process, on this machine."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _end_orphans(instance: dg.DagsterInstance) -> None:
    import dagster as dg

    # A run is recorded, then begun: death comes in between too.
    unfinished = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        host, _, pid = run.tags.get(PROCESS_TAG, "").partition(":")
        if host == socket.gethostname() and pid.isdigit() and not _alive(int(pid)):
            instance.report_run_failed(
                run, "The process that executed this run ended before the run did. Run it again."
            )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
