"""One sandbox for each kind of configuration; every test finds it as it was at the start."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.patience import PATIENCE_S

NOW = datetime(2025, 6, 18, 9, 20, tzinfo=UTC)


@pytest.fixture(scope="session")
def _open_server() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(stations=5, now=NOW)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _closed_server() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(now=NOW, auth=True, token_seconds=300)) as sandbox:
        yield sandbox


@pytest.fixture
def now() -> datetime:
    """Where the sandboxes' clocks stand."""
    return NOW


@pytest.fixture
def sandbox(_open_server: RunningSandbox) -> RunningSandbox:
    _open_server.reset()
    return _open_server


@pytest.fixture
def guarded(_closed_server: RunningSandbox) -> RunningSandbox:
    """A sandbox that asks for a token."""
    _closed_server.reset()
    return _closed_server


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


@pytest.fixture
def guarded_client(guarded: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client
