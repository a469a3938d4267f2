"""`aq up --sandbox`: UI, daemon and code server at one address, used as the UI uses them."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from tests.patience import PATIENCE_S
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, days_ago
from tests.system.running import (
    BACKFILL,
    CHAIN,
    LAUNCH_BACKFILL,
    LAUNCH_RUN,
    RUN,
    Platform,
    Running,
    ended,
    execution,
    free_port,
    key,
    launch,
    wait_until,
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("up")
    installation = (
        Installation(folder)
        .with_networks(
            airqino={"start_date": days_ago(12), "stations": STATIONS, "concurrent_pulls": 3}
        )
        # Nothing runs here but what the tests launch.
        .with_settings(AQ_SENSORS="false")
    )
    ports = free_port(), free_port()
    running = Running(
        installation,
        *("--sandbox", "--port", str(ports[0]), "--read-only-port", str(ports[1])),
        *("--api-port", str(free_port())),
    )
    try:
        running.wait_for("Ready:")
        yield Platform(installation, running, *ports)
    finally:
        running.end()


def test_runs_begin_as_copies_of_a_process_that_is_ready(platform: Platform) -> None:
    def warm() -> list[psutil.Process]:
        servers = psutil.Process(platform.running.process.pid).children(recursive=True)
        return [one for one in servers if "multiprocessing.forkserver" in " ".join(one.cmdline())]

    if sys.platform == "linux":
        # Its turn comes after the servers'.
        assert len(wait_until(warm)) == 1
    else:
        assert not warm()


def test_the_ui_knows_every_asset_group(platform: Platform) -> None:
    nodes = platform.ask("{ assetNodes { groupName assetKey { path } } }")["assetNodes"]
    assert {node["groupName"] for node in nodes} == {"air_quality", "airqino", "upkeep"}
    names = {"/".join(node["assetKey"]["path"]) for node in nodes}
    assert names >= {f"airqino/{name}" for name in ("stations", *CHAIN, "forecasts")}


def test_the_ui_itself_is_served(platform: Platform) -> None:
    page = httpx.get(f"http://127.0.0.1:{platform.port}/", timeout=PATIENCE_S, trust_env=False)
    assert page.status_code == 200
    assert "<html" in page.text


def test_the_api_is_served_beside_it(platform: Platform) -> None:
    begin = "The dashboard and the API: "
    [line] = [line for line in platform.running.said if line.startswith(begin)]
    url = line.removeprefix(begin).strip()

    def described() -> dict[str, object] | None:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/v1/openapi.json", trust_env=False, timeout=60).json()
        return None

    assert "/v1/latest" in wait_until(described)["paths"]
    page = httpx.get(url, timeout=PATIENCE_S, trust_env=False)
    assert page.headers["content-type"].startswith("text/html")


def test_a_backfill_and_single_runs_launched_in_the_ui_succeed(platform: Platform) -> None:
    first, last = days_ago(9), days_ago(5)
    days = [days_ago(n) for n in range(9, 4, -1)]
    single = days_ago(3)
    run_ids = [
        launch(platform, ["stations"], None),
        launch(platform, ["raw_pulls", "hourly_readings"], single),
    ]
    assert [wait_until(partial(ended, platform, i)) for i in run_ids] == ["SUCCESS"] * 2
    assert set(platform.installation.files("hourly_readings")) == {
        f"date={single}/readings.parquet"
    }

    launched = platform.ask(
        LAUNCH_BACKFILL,
        params={"assetSelection": [key(name) for name in CHAIN], "partitionNames": days},
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def finished() -> str | None:
        found = platform.ask(BACKFILL, id=launched["backfillId"])["partitionBackfillOrError"]
        status: str = found["status"]
        return status if status.startswith(("COMPLETED", "FAILED", "CANCELED")) else None

    assert wait_until(finished) == "COMPLETED_SUCCESS"
    averages = platform.installation.table("daily_averages")
    assert sorted({str(day) for day in averages["date"]}) == days
    assert set(averages["station_id"]) == set(STATIONS)
    (span,) = {path.split("/")[0] for path in platform.installation.files("raw_pulls")} - {
        f"date={single}"
    }
    # One request a station for all days, since the range is one run.
    assert span == f"span={first}..{last}"


def test_pulls_of_a_network_share_a_pool_with_a_limit(platform: Platform) -> None:
    pools = platform.ask(
        "{ instance { poolConfig { poolGranularity } concurrencyLimits { concurrencyKey limit } } }"
    )["instance"]
    assert pools["poolConfig"]["poolGranularity"] == "run"
    limits = {entry["concurrencyKey"]: entry["limit"] for entry in pools["concurrencyLimits"]}
    assert limits == {"airqino": 3}
    nodes = platform.ask("{ assetNodes { assetKey { path } pools } }")["assetNodes"]
    pooled = {node["assetKey"]["path"][-1] for node in nodes if node["pools"] == ["airqino"]}
    assert pooled == {"stations", "raw_pulls"}


def test_a_run_waits_for_a_place_in_the_pool_and_holds_up_nobody(platform: Platform) -> None:
    day = days_ago(4)

    def limit(places: int) -> None:
        with platform.installation.instance() as instance:
            instance.event_log_storage.set_concurrency_slots("airqino", places)

    limit(0)
    try:
        waiting = launch(platform, ["raw_pulls"], day)
        other = launch(platform, ["hourly_readings"], day)
        assert wait_until(lambda: ended(platform, other)) == "SUCCESS"
        status = platform.ask(RUN, id=waiting)["runOrError"]["status"]
    finally:
        limit(3)
    assert status == "QUEUED"
    assert wait_until(lambda: ended(platform, waiting)) == "SUCCESS"


PERMISSIONS = "{ permissions { permission value } }"


def test_the_second_webserver_shows_everything_and_changes_nothing(platform: Platform) -> None:
    read_only = platform.read_only_port

    def shown() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return bool(platform.ask("{ assetNodes { groupName } }", port=read_only)["assetNodes"])
        return False

    wait_until(shown)

    def allowed(port: int) -> dict[str, bool]:
        found = platform.ask(PERMISSIONS, port=port)["permissions"]
        return {entry["permission"]: entry["value"] for entry in found}

    assert allowed(platform.port)["launch_pipeline_execution"]
    assert read_only is not None
    assert not any(allowed(read_only).values())
    refused = platform.ask(LAUNCH_RUN, port=read_only, params=execution(["stations"]))
    assert refused["launchRun"]["__typename"] == "UnauthorizedError"


def test_runs_of_the_command_are_in_the_same_instance(platform: Platform) -> None:
    url = platform.running.said[-1]
    assert f"http://127.0.0.1:{platform.port}" in url
    with platform.installation.instance() as instance:
        before = {run.run_id for run in instance.get_runs()}
    from aq_sandbox.server import SandboxConfig, running_sandbox

    with running_sandbox(SandboxConfig(stations=5)) as sandbox:
        command = platform.installation.with_settings(**sandbox.environment)
        command.backfill(days_ago(2), days_ago(2))
    found = platform.ask("{ runsOrError { ... on Runs { results { runId jobName status } } } }")[
        "runsOrError"
    ]["results"]
    runs = {run["jobName"]: run["status"] for run in found if run["runId"] not in before}
    assert runs == {"airqino_refresh": "SUCCESS", "airqino_publish": "SUCCESS"}


def test_a_second_one_on_the_same_home_is_refused(platform: Platform) -> None:
    done = platform.installation.run("up", "--sandbox", "--port", str(free_port()))
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert f"`aq up` runs on {platform.installation.home} already" in line
    assert f"process {platform.running.process.pid} on " in line
    assert f"with the UI at http://127.0.0.1:{platform.port}" in line


def test_ctrl_c_stops_everything(platform: Platform) -> None:
    # The last test of this file: it ends what the others use.
    family = platform.running.family()
    assert len(family) >= 3
    platform.running.process.send_signal(signal.SIGINT)
    assert platform.running.process.wait(PATIENCE_S) == 0
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", platform.port), 2):
        pass


@pytest.mark.parametrize("option", ["--port", "--read-only-port", "--api-port"])
def test_a_port_in_use_ends_the_command(tmp_path: Path, option: str) -> None:
    installation = Installation(tmp_path).with_networks(
        airqino={"start_date": days_ago(12), "stations": STATIONS}
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done: subprocess.CompletedProcess[str] = installation.run(
            *("up", "--sandbox", "--port", str(free_port())),
            *(option, str(taken.getsockname()[1])),
            timeout=PATIENCE_S,
        )
    assert done.returncode == 1
    assert "Ready" not in done.stdout
    assert f"choose another port with {option}." in done.stderr


def test_both_webservers_cannot_share_a_port(tmp_path: Path) -> None:
    port = str(free_port())
    done = Installation(tmp_path).run("up", "--sandbox", "--port", port, "--read-only-port", port)
    assert done.returncode == 1
    assert "--read-only-port must differ" in done.stderr
