"""A sandbox with the real clock, an installation that has loaded a few days, and ways to call."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aq_platform.cli import app
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.system.integration.harness import Installation

STATIONS = ["283164601", "283181971"]


def today() -> date:
    return datetime.now(UTC).date()


def days_ago(days: int) -> str:
    return (today() - timedelta(days=days)).isoformat()


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(stations=5)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: RunningSandbox) -> RunningSandbox:
    _sandbox.reset()
    return _sandbox


@dataclass(frozen=True)
class Loaded:
    """An installation and the days it holds."""

    installation: Installation
    first: str
    last: str
    output: str


@pytest.fixture(scope="session")
def loaded(_sandbox: RunningSandbox, once: Callable[[str, Callable[[Path], None]], Path]) -> Loaded:
    """Two stations and three days, by the real command; not to be changed."""

    def make(folder: Path) -> None:
        first, last = days_ago(4), days_ago(2)
        installation = (
            Installation(folder)
            .with_networks(airqino={"start_date": days_ago(30), "stations": STATIONS})
            .with_settings(**_sandbox.environment)
        )
        said = installation.backfill(first, last)
        (folder / "loaded.json").write_text(json.dumps([first, last, said]))

    folder = once("loaded", make)
    first, last, said = json.loads((folder / "loaded.json").read_text())
    networks = str(folder / "networks.yaml")
    installation = Installation(folder).with_settings(AQ_NETWORKS=networks, **_sandbox.environment)
    return Loaded(installation, first, last, said)


@pytest.fixture
def fresh(sandbox: RunningSandbox, tmp_path: Path) -> Installation:
    """An installation that has done nothing yet."""
    return (
        Installation(tmp_path)
        .with_networks(airqino={"start_date": days_ago(30), "stations": STATIONS})
        .with_settings(**sandbox.environment, AQ_HTTP_ATTEMPTS="1")
    )


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Calls `aq` within this process, in an installation's environment and folder."""

    def call(installation: Installation, *arguments: str) -> Result:
        with monkeypatch.context() as patch:
            for name in [*os.environ, "DAGSTER_HOME"]:
                patch.setenv(name, "")
                patch.delenv(name)
            for name, value in installation.environment.items():
                patch.setenv(name, value)
            patch.chdir(installation.folder)
            # A real exception shows up as one, not as an exit code.
            result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call
