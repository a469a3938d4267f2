"""The clock, the blocking server, and what keeps the sandbox apart from the platform."""

import ast
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import aq_sandbox
from aq_sandbox import clock
from aq_sandbox.clock import SandboxClock
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from tests.patience import PATIENCE_S

PACKAGE = Path(aq_sandbox.__file__).parent


def test_clock_is_real_by_default() -> None:
    clock = SandboxClock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=1)
    assert clock.describe()["speed"] == 1.0


def test_clock_stands_still_or_runs_fast_from_an_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 100.0
    # Not of the module `time`: servers of other tests live by that in this process.
    monkeypatch.setattr(clock, "monotonic", lambda: seconds)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    fixed, fast = SandboxClock(start), SandboxClock(start, speed=3600)
    seconds += 2
    assert fixed.now() == start
    assert fast.now() == start + timedelta(hours=2)
    fast.set(speed=60)
    seconds += 1
    assert fast.now() == start + timedelta(hours=2, minutes=1)
    fixed.set()
    assert fixed.describe()["speed"] == 1.0


def test_clock_takes_a_time_without_zone_as_utc() -> None:
    assert SandboxClock(datetime(2026, 1, 1)).now() == datetime(2026, 1, 1, tzinfo=UTC)


def test_clock_is_set_over_http(client: httpx.Client) -> None:
    assert client.get("/_sandbox/clock").json() == {"now": "2025-06-18T09:20:00Z", "speed": 0.0}
    client.post("/_sandbox/clock", json={"now": "2026-01-01T00:30:00Z"})
    assert client.get("/_sandbox/clock").json()["now"] == "2026-01-01T00:30:00Z"
    newest = client.get("/v3/getStationHourlyAvg/283181971").json()["data"][-1]["timestamp"]
    assert "2025-12-31 20:00:00" <= newest <= "2026-01-01 00:00:00"
    assert client.post("/_sandbox/clock", json={"now": "noon"}).status_code == 400


def test_port_is_freed_and_two_sandboxes_run_side_by_side(sandbox: RunningSandbox) -> None:
    with running_sandbox(SandboxConfig(stations=1)) as other:
        assert other.url != sandbox.url
        assert len(httpx.get(other.url + "/api/station", trust_env=False).json()) == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(other.url + "/api/station", trust_env=False)


def test_taken_port_is_refused(sandbox: RunningSandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), running_sandbox(SandboxConfig(), port=port):
        pass


SERVE = """
from aq_sandbox.server import SandboxConfig, serve
serve(SandboxConfig(), "127.0.0.1", 0, lambda url, settings: print(url, flush=True))
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_tells_its_address_and_stops_on_a_signal_in_silence(stop: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE],
        cwd=PACKAGE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(url + "/api/station", trust_env=False).status_code == 200
        process.send_signal(stop)
        rest, errors = process.communicate(timeout=PATIENCE_S)
    assert (rest, errors) == ("", "")


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_sandbox_imports_nothing_of_the_platform(module: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    ours = {name.partition(".")[0] for name in imported if name.startswith("aq_")}
    assert ours <= {"aq_sandbox"}
