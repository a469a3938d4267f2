"""What every test may use: real servers, once a session, and the real recordings."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from aq_sandbox.server import RunningSandbox
from tests.servers import PostgresServer, S3Server, postgres_server, s3_server

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no failure.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

_numbers = count(1)

# Folders whose tests start whole platforms.
_LONG = ("integration", "faults", "browser", "platform")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no core waits for the other at the end."""
    items.sort(key=lambda item: not any(name in item.path.parts for name in _LONG))


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of their own, since processes that tests kill do not tidy up."""
    # pytest's own folder is where it was: it outlives the session, to be looked at.
    tmp_path_factory.getbasetemp()
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
