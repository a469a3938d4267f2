"""What every test may use: real servers, once a session, and the real recordings."""

from __future__ import annotations

import importlib
import json
import multiprocessing.util
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from aq_sandbox.server import RunningSandbox
from tests import garbage, kinds, migrations, mirrors
from tests.crashes import Crashes
from tests.servers.leftovers import ended_with_us
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.s3 import S3Server, s3_server

ROOT = Path(__file__).resolve().parents[1]

migrations.read_once()
mirrors.look_after_themselves()

_numbers = count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Profiles before Hypothesis takes the one asked for; Ctrl-C for children as Python has it."""
    config.pluginmanager.register(Crashes())
    # Not at import: modules import this file again by its other name, which undid the option.
    # A busy machine is no failure. `--hypothesis-profile` chooses: `make quick` takes the first.
    for profile, examples in {"quick": 5, "project": 100, "thorough": 2000}.items():
        settings.register_profile(
            profile,
            deadline=None,
            max_examples=examples,
            suppress_health_check=[HealthCheck.too_slow],
        )
    settings.load_profile("project")
    # A shell's `nohup … &` ignores SIGINT, and what is ignored is ignored in every child too;
    # what has a handler is not. One that does nothing ignores it here alone.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test says what it needs."""
    kinds.mark(item)


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end."""
    garbage.leave_out_what_is_here()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no core waits for another at the end."""
    kinds.long_ones_first(items)


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """A pure test is one."""
    if request.node.get_closest_marker(kinds.PURE) is None:
        yield
        return
    with kinds.alone_in_its_process():
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> Iterator[None]:
    """A run that is killed leaves no `aq up` at work."""
    with ended_with_us():
        yield


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of their own, since processes that tests kill do not tidy up."""
    # pytest's own folder is where it was: it outlives the session, to be looked at.
    tmp_path_factory.getbasetemp()
    # And multiprocessing's, which it removes itself, at the very end.
    multiprocessing.util.get_temp_dir()
    with (
        tempfile.TemporaryDirectory(prefix="aq-tests-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Postgres runs as another user where the tests run as root.
        Path(folder).chmod(0o755)
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real Postgres server."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def s3_bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, with the environment that reaches it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.create_bucket(f"test-{next(_numbers)}")


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> str:
    """Address of a new database."""
    return postgres.create_database(f"test_{next(_numbers)}")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a folder once for all of xdist's workers; whoever comes second waits for it."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        # That of the session, which holds one for each worker.
        root = root.parent

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def lightgbm() -> None:
    """Skips where LightGBM does not load (Debian: libgomp1, macOS: libomp)."""
    try:
        importlib.import_module("lightgbm")
    except OSError as error:
        pytest.skip(f"LightGBM does not load: {error}")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the platform from outside."""
    for name in [name for name in os.environ if name.startswith("AQ_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings (AQ_REAL_DATA); skips where it is absent."""
    folder = Path(os.environ.get("AQ_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the real recordings are not here (AQ_REAL_DATA)")
    return folder


@pytest.fixture
def configure(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Settings for a new AQ_HOME: a sandbox, and networks by their entries in networks.yaml."""

    def set_up(sandbox: RunningSandbox, **networks: Mapping[str, Any]) -> None:
        path = tmp_path / "networks.yaml"
        path.write_text(json.dumps({"networks": networks}))
        settings = {
            **sandbox.environment,
            "AQ_HOME": str(tmp_path / "home"),
            "AQ_NETWORKS": str(path),
            "AQ_HTTP_ATTEMPTS": "1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    return set_up
