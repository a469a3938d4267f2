"""A platform under `aq up`: its process, its GraphQL, and how to wait for what it does."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.system.integration.harness import Installation

# Run workers start in no time with it.
STARTUP = Path(__file__).parent / "startup"
CHAIN = ("raw_pulls", "hourly_readings", "daily_averages")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Running:
    """An `aq up` and the lines it prints."""

    def __init__(self, installation: Installation, *arguments: str) -> None:
        paths = (str(STARTUP), str(ROOT), installation.environment.get("PYTHONPATH"))
        warmed = installation.with_settings(PYTHONPATH=os.pathsep.join(filter(None, paths)))
        # Most tests ask the UI alone.
        api = () if "--api-port" in arguments else ("--no-api",)
        self.process = warmed.start("up", *arguments, *api)
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        self._open_streams = len(self._readers)
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, text: str) -> None:
        """Until it says so."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(text in line for line in self.said):
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {text!r} within {PATIENCE_S} s: {self.said}")
            if line is not None:
                self.said.append(line)
                continue
            # The other stream may still hold what is waited for.
            self._open_streams -= 1
            if not self._open_streams:
                pytest.fail(f"ended with {self.process.wait()}: {self.said}")

    def drain(self) -> None:
        """Take what it has printed meanwhile into `said`."""
        with contextlib.suppress(queue.Empty):
            while True:
                line = self._lines.get_nowait()
                if line is not None:
                    self.said.append(line)

    def servers(self) -> list[psutil.Process]:
        """Those it started itself; below them others come and go."""
        return psutil.Process(self.process.pid).children()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        """Whatever is left, stopped."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = self.family()
            self.process.kill()
            for child in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()


@dataclass
class Platform:
    installation: Installation
    running: Running
    port: int
    read_only_port: int | None = None

    def ask(self, query: str, *, port: int | None = None, **variables: Any) -> Any:
        answer = httpx.post(
            f"http://127.0.0.1:{port or self.port}/graphql",
            json={"query": query, "variables": variables},
            timeout=PATIENCE_S,
            trust_env=False,
        )
        body = answer.json()
        assert "errors" not in body, body
        return body["data"]


@contextlib.contextmanager
def up(installation: Installation, *arguments: str) -> Iterator[Platform]:
    """`aq up` with these arguments on a free port, until the block ends."""
    port = free_port()
    running = Running(installation, *arguments, "--port", str(port))
    try:
        running.wait_for("Ready:")
        yield Platform(installation, running, port)
    finally:
        running.end()


def wait_until(look: Callable[[], Any], pause: float = 0.5) -> Any:
    """What `look` returns once that is true; asked again after a pause, in seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(pause)
    return found


SELECTOR = {"repositoryLocationName": "air_quality", "repositoryName": "__repository__"}

LAUNCH_RUN = """mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""

LAUNCH_BACKFILL = """mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""

RUN = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"""

BACKFILL = """query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""


def key(name: str) -> dict[str, list[str]]:
    return {"path": ["airqino", name]}


def execution(assets: list[str], partition: str | None = None) -> dict[str, Any]:
    tags = [{"key": "dagster/partition", "value": partition}] if partition else []
    return {
        "selector": {
            **SELECTOR,
            "jobName": "__ASSET_JOB",
            "assetSelection": [key(name) for name in assets],
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": tags},
    }


def launch(platform: Platform, assets: list[str], partition: str | None) -> str:
    launched = platform.ask(LAUNCH_RUN, params=execution(assets, partition))["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id: str = launched["run"]["runId"]
    return run_id


def ended(platform: Platform, run_id: str) -> str | None:
    status: str = platform.ask(RUN, id=run_id)["runOrError"]["status"]
    return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None
