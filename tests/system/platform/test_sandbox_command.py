"""`aq sandbox`: prints what to export, serves until interrupted."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.patience import PATIENCE_S
from tests.system.integration.harness import AQ, Installation
from tests.system.platform.conftest import Invoke

STATION = "283164601"
ROWS = [{"timestamp": f"2024-03-0{day} 11:00:00", "CO": day / 2} for day in (1, 2, 3)]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    answer = {"header": {"station_name": "SMART188"}, "data": ROWS}
    (folder / f"{STATION}_fetched_2024-03.json").write_text(json.dumps(answer))
    (folder / f"{STATION}_fetched_2023-12.json").write_text(json.dumps(ROWS[:1]))
    return folder


@contextmanager
def running(installation: Installation, *arguments: str) -> Iterator[dict[str, str]]:
    """The settings that the command prints, while it runs; it must end well on Ctrl-C."""
    process = installation.start("sandbox", "--port", "0", *arguments)
    try:
        assert process.stdout is not None
        exports = {}
        for line in process.stdout:
            if line.startswith("# sandbox ready at "):
                break
            name, _, value = line.removeprefix("export ").rstrip("\n").partition("=")
            exports[name] = value
        else:
            pytest.fail(f"never ready: {process.communicate()}")
        yield exports
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.communicate() == ("", "")
    finally:
        process.kill()
        process.communicate()


def ask(exports: dict[str, str], **params: str) -> httpx.Response:
    url = f"{exports['AQ_AIRQINO_URL']}/v3/getStationHourlyAvg/{STATION}"
    return httpx.get(url, params=params, trust_env=False)


def test_recordings_are_served_at_the_printed_address(tmp_path: Path, recordings: Path) -> None:
    with running(Installation(tmp_path), "--replay", str(recordings)) as exports:
        assert {name for name in exports if name.startswith("AQ_AIRQINO_")} == {
            "AQ_AIRQINO_URL",
            "AQ_AIRQINO_TOKEN_URL",
            "AQ_AIRQINO_CATALOGUE_URL",
        }
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", exports["AQ_AIRQINO_URL"])
        window = {"start_date": "20240301-0000", "end_date": "20240303-0000"}
        assert ask(exports, **window).json()["data"] == ROWS[:2]


def test_an_earlier_recording_can_be_chosen(tmp_path: Path, recordings: Path) -> None:
    arguments = ("--replay", str(recordings), "--fetched-by", "2023-12")
    with running(Installation(tmp_path), *arguments) as exports:
        window = {"start_date": "20240301-0000", "end_date": "20240304-0000"}
        assert ask(exports, **window).json()["data"] == ROWS[:1]


def test_a_login_can_be_demanded_and_the_clock_fixed(tmp_path: Path) -> None:
    arguments = ("--auth", "--now", "2025-06-18T09:20:00Z", "--stations", "1")
    with running(Installation(tmp_path), *arguments) as exports:
        assert ask(exports).status_code == 401
        form = {
            "grant_type": "password",
            **{
                name: exports[f"AQ_AIRQINO_{name.upper()}"]
                for name in ("username", "password", "client_id", "client_secret")
            },
        }
        token = httpx.post(exports["AQ_AIRQINO_TOKEN_URL"], data=form, trust_env=False).json()
        answer = httpx.get(
            f"{exports['AQ_AIRQINO_URL']}/v3/getStationHourlyAvg/{STATION}",
            headers={"Authorization": f"Bearer {token['access_token']}"},
            trust_env=False,
        )
        assert answer.json()["data"][-1]["timestamp"] == "2025-06-18 09:00:00"


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_on_a_signal_also_where_the_shell_ignores_it(
    tmp_path: Path, blow: signal.Signals
) -> None:
    """As after `nohup … &`."""
    installation = Installation(tmp_path)
    command = ["sh", "-c", "trap '' INT; exec \"$0\" sandbox --port 0", str(AQ)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=installation.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert any("sandbox ready" in line for line in process.stdout)
            process.send_signal(blow)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--replay", "nowhere"), "--replay nowhere: no such folder"),
        (("--now", "today"), "--now 'today' is no ISO 8601 time"),
        (("--now", "2025-06-18T09:20:00"), "needs a zone"),
    ],
)
def test_a_wrong_option_is_explained(
    tmp_path: Path, invoke: Invoke, arguments: tuple[str, ...], says: str
) -> None:
    result = invoke(Installation(tmp_path), "sandbox", *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert says in result.stderr


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done: subprocess.CompletedProcess[str] = Installation(tmp_path).run(
            "sandbox", "--port", port
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert port in done.stderr
    assert "Traceback" not in done.stderr
